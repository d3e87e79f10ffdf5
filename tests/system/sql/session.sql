-- What a session remembers: settings, roles, temporary tables, statements, cursors, locks, channels.
\set VERBOSITY verbose
SET work_mem = '3MB';
SELECT set_config('my.own', 'value', false);
SET DateStyle = 'German, DMY';
SET TimeZone = 'Europe/Lisbon';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = 0;
SET bytea_output = 'escape';
SET search_path = pg_temp, public;
SELECT current_setting('work_mem'), current_setting('my.own'), date '2026-02-03', interval '1 day 2 hours', 1::float8 / 3,
       timestamptz '2026-07-01 12:00+00', '\x00ff'::bytea;
\encoding
\encoding LATIN1
SHOW client_encoding;
SET client_encoding = 'UTF8';
\encoding
SET client_encoding = 'nonsense';
SET nonsense = 1;
BEGIN;
SET work_mem = '4MB';
SET LOCAL DateStyle = 'SQL, MDY';
SELECT current_setting('work_mem'), date '2026-02-03';
ROLLBACK;
SELECT current_setting('work_mem'), date '2026-02-03';
RESET work_mem;
SHOW work_mem;
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SHOW transaction_isolation;
SET application_name = 'changed on the way';
SHOW application_name;
SET standard_conforming_strings = off;
SELECT 'a\\b';
SET default_transaction_read_only = on;
CREATE TABLE refused ();
RESET ALL;
SHOW TimeZone;
SELECT date '2026-02-03', 1::float8 / 3, 'a\\b';
SET search_path = public;
-- the unnamed statement, from message to message
SELECT 1 AS number, 'x'::varchar(10) AS word, now() AS moment \gdesc
SELECT * FROM nowhere \gdesc
SET client_min_messages = debug1;
DO $$ BEGIN RAISE DEBUG 'but this'; END $$;
SET client_min_messages = error;
DO $$ BEGIN RAISE WARNING 'not this'; END $$;
RESET client_min_messages;
-- roles
SELECT current_user = session_user AS same;
SET ROLE pg_read_all_data;
SELECT current_user;
CREATE TABLE refused ();
RESET ROLE;
SET SESSION AUTHORIZATION pg_monitor;
SELECT session_user, current_user;
RESET SESSION AUTHORIZATION;
SELECT current_user = session_user AS same;
-- temporary tables
CREATE TEMP TABLE t (i int);
INSERT INTO t SELECT generate_series(1, 3);
SELECT * FROM t;
CREATE TEMP TABLE gone (i int) ON COMMIT DROP;
SELECT * FROM gone;
BEGIN;
CREATE TEMP TABLE emptied (i int) ON COMMIT DELETE ROWS;
INSERT INTO emptied VALUES (1);
SELECT * FROM emptied;
COMMIT;
SELECT * FROM emptied;
CREATE TEMP VIEW tv AS SELECT i * i AS square FROM t;
SELECT * FROM tv;
CREATE TEMP SEQUENCE ts;
SELECT nextval('ts'), nextval('ts');
SELECT currval('ts'), lastval();
-- statements
PREPARE plus (int, int) AS SELECT $1 + $2 AS sum;
EXECUTE plus (1, 2);
EXECUTE plus (1, 'x');
EXECUTE plus (1);
PREPARE plus AS SELECT 1;
SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements ORDER BY 1;
PREPARE rows AS SELECT * FROM t ORDER BY i;
EXECUTE rows;
ALTER TABLE t ADD COLUMN late text;
EXECUTE rows;
EXPLAIN (COSTS OFF) EXECUTE plus (3, 4);
DEALLOCATE plus;
EXECUTE plus (1, 2);
DEALLOCATE plus;
DEALLOCATE ALL;
SELECT count(*) FROM pg_prepared_statements;
-- cursors
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT i FROM generate_series(1, 10) i;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
MOVE ABSOLUTE 8 IN c;
FETCH ALL FROM c;
FETCH PRIOR FROM c;
FETCH RELATIVE -3 FROM c;
SELECT name, is_holdable, is_scrollable FROM pg_cursors;
DECLARE one NO SCROLL CURSOR FOR SELECT 1;
FETCH one;
FETCH PRIOR FROM one;
ROLLBACK;
FETCH c;
DECLARE c CURSOR FOR SELECT 1;
DECLARE held CURSOR WITH HOLD FOR SELECT i, 12 / i FROM generate_series(1, 5) i;
FETCH 2 FROM held;
FETCH FORWARD ALL FROM held;
CLOSE held;
CLOSE held;
BEGIN;
DECLARE broken CURSOR WITH HOLD FOR SELECT 1 / (3 - i) FROM generate_series(1, 5) i;
FETCH 2 FROM broken;
COMMIT;
FETCH broken;
BEGIN;
DECLARE m CURSOR FOR SELECT * FROM t FOR UPDATE;
FETCH 2 FROM m;
UPDATE t SET late = 'here' WHERE CURRENT OF m;
DELETE FROM t WHERE CURRENT OF nowhere;
COMMIT;
CREATE FUNCTION pg_temp.open_one(INOUT r refcursor) LANGUAGE plpgsql
    AS $$ BEGIN OPEN r FOR SELECT 'from a function'; END $$;
BEGIN;
SELECT pg_temp.open_one('mine');
FETCH ALL FROM mine;
COMMIT;
-- locks
SELECT pg_advisory_lock(77), pg_try_advisory_lock(77), pg_try_advisory_lock_shared(1, 2);
SELECT locktype, classid, objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 3, 4;
SELECT pg_advisory_unlock(77), pg_advisory_unlock(77), pg_advisory_unlock(77);
SELECT pg_advisory_unlock_all();
BEGIN;
SELECT pg_advisory_xact_lock(78);
COMMIT;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
-- channels
LISTEN news;
LISTEN "Other News";
SELECT * FROM pg_listening_channels() ORDER BY 1;
NOTIFY news, 'first';
BEGIN;
NOTIFY news, 'second';
NOTIFY news, 'second';
SELECT pg_notify('Other News', repeat('long ', 1000));
SELECT 'not yet';
COMMIT;
BEGIN;
NOTIFY news, 'never';
ROLLBACK;
UNLISTEN news;
NOTIFY news, 'nobody';
UNLISTEN *;
SELECT * FROM pg_listening_channels();
-- the end of it all
DISCARD PLANS;
DISCARD SEQUENCES;
DISCARD TEMP;
SELECT * FROM t;
LISTEN news;
SET work_mem = '3MB';
PREPARE again AS SELECT 1;
BEGIN;
DISCARD ALL;
ROLLBACK;
DISCARD ALL;
EXECUTE again;
SHOW work_mem;
SELECT * FROM pg_listening_channels();
LOAD 'plpgsql';
DO $$ BEGIN PERFORM pg_sleep(0); END $$;
CHECKPOINT;
-- the end
