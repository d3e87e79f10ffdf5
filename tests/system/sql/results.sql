-- What comes back: rows of all shapes, notices, errors with all their fields, descriptions without rows.
\set VERBOSITY verbose
SELECT;
SELECT WHERE false;
;
SELECT NULL::int AS nothing, '' AS empty, ' ' AS blank, E'tab\tline\nquote''back\\slash' AS odd;
SELECT 1 AS a, 1 AS a, 1 AS "Ünïcode ☃", 'x'::"char", 1.5::float4, 'NaN'::float8, 12345.678900::numeric;
SELECT true, B'1011', '\xdeadbeef'::bytea, '{1,NULL,3}'::int[], '{{a,"b c"},{NULL,"\""}}'::text[];
SELECT date '2026-02-28', timestamptz '2026-02-28 12:00:00.5+00', interval '1 year 2 days 03:04:05.6', time '24:00';
SELECT row(1, 'a', NULL)::text, '{"a": [1, 2, {"b": null}]}'::jsonb, '<a>b</a>'::text, '10.0.0.1/8'::inet;
SELECT int4range(1, 5), '(1,2)'::point, '5 apples'::tsvector, 'f47ac10b-58cc-4372-a567-0e02b2c3d479'::uuid;
VALUES (1, 'one'), (2, 'two'), (3, NULL);
TABLE pg_namespace LIMIT 0;
SELECT i, repeat(chr(64 + i), i * 7) FROM generate_series(1, 26) i;
SELECT md5(string_agg(i::text, ',')) FROM generate_series(1, 100000) i;
SELECT length(repeat('0123456789', 300000)), md5(repeat('0123456789', 300000));
\pset format unaligned
\pset tuples_only on
SELECT repeat('abcdefgh', 20000);
SELECT i, md5(i::text) FROM generate_series(1, 5000) i;
SELECT format('SELECT %s', string_agg(format('%s AS c%s', i, i), ', ')) AS wide FROM generate_series(1, 1600) i \gset
:wide;
:wide, 1601;
\pset tuples_only off
\pset format aligned
\x on
SELECT 1 AS one, 'two' AS two;
\x off
SELECT 1 AS one \; SELECT 'two' AS two, 3 \; SELECT WHERE false \; VALUES (4), (5);
\set FETCH_COUNT 7
SELECT i FROM generate_series(1, 20) i;
SELECT 10 / (15 - i) FROM generate_series(1, 20) i;
\unset FETCH_COUNT
-- kept, run
SELECT 5 AS five, 'six' AS six \gset kept_
\echo :kept_five :kept_six
SELECT format('SELECT %s AS n', i) FROM generate_series(1, 3) i \gexec
SELECT v % 2 AS odd, v AS at, v * v AS square FROM generate_series(1, 4) v \crosstabview
-- notices
DO $$ BEGIN
    RAISE NOTICE 'a notice';
    RAISE INFO 'an info' USING DETAIL = 'its detail', HINT = 'its hint', ERRCODE = '01ABC';
    RAISE WARNING 'a warning';
    RAISE LOG 'nobody sees this';
    RAISE DEBUG 'nor this';
    RAISE NOTICE '%', repeat('long ', 5000);
END $$;
DROP TABLE IF EXISTS nowhere;
DO $$ BEGIN FOR i IN 1..2000 LOOP RAISE NOTICE 'number %', i; END LOOP; END $$;
-- errors
SELEC 1;
SELECT 'unterminated
;
';
SELECT * FROM nowhere;
SELECT nothing FROM pg_class;
SELECT pg_class.nothing, 1 / 0 FROM pg_class;
SELECT 1 / 0;
SELECT 1 / (i - 500) FROM generate_series(1, 1000) i;
SELECT 'abc'::int;
SELECT no_such_function(1);
SELECT lower(1, 2);
INSERT INTO pg_class DEFAULT VALUES;
CREATE TABLE checked (i int PRIMARY KEY, v text NOT NULL, CONSTRAINT small CHECK (i < 100));
INSERT INTO checked VALUES (1, 'a'), (1, 'b');
INSERT INTO checked VALUES (1, NULL);
INSERT INTO checked VALUES (1000, 'a');
DO $$ BEGIN
    RAISE EXCEPTION 'all fields' USING DETAIL = 'd', HINT = 'h', ERRCODE = 'AB123', COLUMN = 'c', CONSTRAINT = 'k',
                                       DATATYPE = 'y', TABLE = 't', SCHEMA = 's';
END $$;
\errverbose
DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught %', SQLSTATE; END $$;
CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n = 0 THEN RETURN 1 / n; END IF;
    RETURN deep(n - 1);
END $$;
SELECT deep(5);
BEGIN;
SET LOCAL statement_timeout = '50ms';
SELECT pg_sleep(10);
COMMIT;
SELECT 'still here';
EXPLAIN (COSTS OFF) SELECT relname, count(*) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid GROUP BY 1;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM generate_series(1, 3);
EXPLAIN (COSTS OFF, FORMAT JSON) SELECT 1;
-- the end
