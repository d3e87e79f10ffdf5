-- Blocks, savepoints, isolation, two phases, and an error in every place of them.
\set VERBOSITY verbose
CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, balance numeric(12,2) CHECK (balance >= 0));
INSERT INTO account VALUES (1, 'ann', 100), (2, 'bob', 50), (3, 'cleo', 0);
BEGIN;
UPDATE account SET balance = balance - 30 WHERE id = 1;
UPDATE account SET balance = balance + 30 WHERE id = 3;
COMMIT;
SELECT * FROM account ORDER BY id;
BEGIN;
UPDATE account SET balance = balance - 1000 WHERE id = 2;
SELECT 'not looked at';
COMMIT;
SELECT * FROM account ORDER BY id;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SHOW transaction_isolation;
DELETE FROM account;
ROLLBACK;
-- savepoints
BEGIN;
SAVEPOINT a;
INSERT INTO account VALUES (4, 'dan', 1);
SAVEPOINT b;
INSERT INTO account VALUES (4, 'dan again', 1);
ROLLBACK TO b;
INSERT INTO account VALUES (5, 'eve', 2);
RELEASE b;
SAVEPOINT c;
SELECT 1 / 0;
SELECT 2;
ROLLBACK TO SAVEPOINT c;
ROLLBACK TO nowhere;
ROLLBACK TO a;
INSERT INTO account VALUES (6, 'fay', 3);
COMMIT AND CHAIN;
SELECT id FROM account ORDER BY id;
ROLLBACK AND NO CHAIN;
COMMIT;
ROLLBACK;
SAVEPOINT outside;
BEGIN;
BEGIN;
END;
-- psql's own savepoints
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO account VALUES (7, 'gus', 4);
INSERT INTO account VALUES (7, 'gus', 4);
INSERT INTO account VALUES (8, 'hal', 5);
COMMIT;
\set ON_ERROR_ROLLBACK off
SELECT count(*) FROM account;
-- without blocks that one sees
\set AUTOCOMMIT off
DELETE FROM account WHERE id > 6;
SELECT count(*) FROM account;
ROLLBACK;
SELECT count(*) FROM account;
COMMIT;
\set AUTOCOMMIT on
-- several statements in one message: one transaction, unless it says otherwise
INSERT INTO account VALUES (20, 'x', 1) \; INSERT INTO account VALUES (20, 'y', 1) \; SELECT 'never';
SELECT count(*) FROM account WHERE id = 20;
INSERT INTO account VALUES (21, 'x', 1) \; COMMIT \; INSERT INTO account VALUES (21, 'y', 1);
SELECT count(*) FROM account WHERE id = 21;
BEGIN \; INSERT INTO account VALUES (22, 'x', 1) \; SELECT 'inside';
INSERT INTO account VALUES (23, 'x', 1) \; COMMIT \; SELECT 'outside';
SELECT count(*) FROM account WHERE id IN (22, 23);
SELECT 1 \; SELECT 1 / 0 \; SELECT 3;
-- in two phases
BEGIN;
INSERT INTO account VALUES (30, 'two', 1);
PREPARE TRANSACTION 'phase';
SELECT gid FROM pg_prepared_xacts WHERE database = current_database();
SELECT count(*) FROM account WHERE id = 30;
COMMIT PREPARED 'phase';
SELECT count(*) FROM account WHERE id = 30;
BEGIN;
DELETE FROM account;
PREPARE TRANSACTION 'undone';
ROLLBACK PREPARED 'undone';
COMMIT PREPARED 'undone';
SELECT count(*) FROM account;
-- what is checked late
CREATE TABLE entry (account int REFERENCES account DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO entry VALUES (99);
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO entry VALUES (99);
COMMIT;
INSERT INTO entry VALUES (98);
-- procedures end transactions themselves
CREATE PROCEDURE step(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        INSERT INTO account VALUES (100 + i, 'step', i);
        IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
    END LOOP;
    RAISE NOTICE 'made % steps', n;
END $$;
CALL step(5);
SELECT id FROM account WHERE id > 100 ORDER BY id;
BEGIN;
CALL step(2);
ROLLBACK;
SET LOCAL work_mem = '1MB';
BEGIN;
SET LOCAL work_mem = '1MB';
SHOW work_mem;
COMMIT;
SHOW work_mem;
\echo :ERROR :SQLSTATE :ROW_COUNT :LAST_ERROR_SQLSTATE
-- the end
