-- Definitions of all kinds, and psql's own queries about them.
CREATE SCHEMA s;
CREATE TYPE s.mood AS ENUM ('low', 'high');
CREATE DOMAIN s.small AS int CHECK (VALUE BETWEEN 0 AND 99) NOT NULL;
CREATE TYPE s.pair AS (a int, b text);
CREATE TABLE s.item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mood s.mood DEFAULT 'low', size s.small DEFAULT 1,
                     pair s.pair, twice int GENERATED ALWAYS AS (size * 2) STORED, made date DEFAULT '2026-01-01');
INSERT INTO s.item (mood, size, pair) VALUES ('high', 5, (1, 'x')) RETURNING *;
INSERT INTO s.item (size) VALUES (100);
INSERT INTO s.item (id) VALUES (7);
INSERT INTO s.item (mood) VALUES ('medium');
UPDATE s.item SET size = size + 1, pair.b = 'y' RETURNING id, twice, (pair).b;
MERGE INTO s.item t USING (VALUES (1, 9), (2, 8)) v (id, size) ON t.id = v.id
    WHEN MATCHED THEN UPDATE SET size = v.size WHEN NOT MATCHED THEN INSERT (size) VALUES (v.size);
INSERT INTO s.item (id, size) OVERRIDING SYSTEM VALUE VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET size = excluded.size;
WITH gone AS (DELETE FROM s.item WHERE id = 1 RETURNING *) SELECT id, mood, size FROM gone;
CREATE UNIQUE INDEX ON s.item (size) WHERE mood = 'low';
CREATE INDEX CONCURRENTLY by_date ON s.item (made);
CREATE VIEW s.shown AS SELECT id, size FROM s.item WHERE size > 2 WITH CHECK OPTION;
INSERT INTO s.shown (size) VALUES (1);
CREATE MATERIALIZED VIEW s.kept AS SELECT count(*) FROM s.item WITH NO DATA;
SELECT * FROM s.kept;
REFRESH MATERIALIZED VIEW s.kept;
SELECT * FROM s.kept;
CREATE FUNCTION s.add(a int, b int DEFAULT 1, OUT total int, OUT words text) LANGUAGE sql IMMUTABLE
    AS $$ SELECT a + b, a || '+' || b $$;
SELECT * FROM s.add(1);
SELECT s.add(b => 5, a => 2);
CREATE FUNCTION s.many(n int) RETURNS SETOF s.pair LANGUAGE plpgsql
    AS $$ BEGIN RETURN QUERY SELECT i, i::text FROM generate_series(1, n) i; END $$;
SELECT * FROM s.many(3);
CREATE FUNCTION s.note() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE NOTICE '% % %', TG_OP, TG_WHEN, coalesce(NEW.size, OLD.size); RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER noted BEFORE INSERT OR UPDATE OR DELETE ON s.item FOR EACH ROW EXECUTE FUNCTION s.note();
INSERT INTO s.item (size) VALUES (40), (41);
UPDATE s.item SET size = 42 WHERE size = 41;
DELETE FROM s.item WHERE size > 39;
CREATE RULE quiet AS ON DELETE TO s.shown DO INSTEAD NOTHING;
DELETE FROM s.shown;
CREATE TABLE s.log (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE s.log_old PARTITION OF s.log FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE s.log_new PARTITION OF s.log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO s.log VALUES ('2025-05-05', 'old'), ('2026-06-06', 'new');
INSERT INTO s.log VALUES ('2030-01-01', 'homeless');
SELECT tableoid::regclass, * FROM s.log ORDER BY at;
CREATE TABLE s.child (extra int) INHERITS (s.item);
ALTER TABLE s.item ADD COLUMN late text DEFAULT 'added', ALTER COLUMN made TYPE timestamp, DROP COLUMN mood CASCADE;
SELECT * FROM s.item ORDER BY id;
ALTER TABLE s.item RENAME late TO later;
COMMENT ON TABLE s.item IS 'It''s a comment';
COMMENT ON COLUMN s.item.later IS NULL;
GRANT SELECT ON s.item TO PUBLIC;
REVOKE ALL ON s.item FROM PUBLIC;
\d s.item
\d+ s.log
\dt s.*
\df s.*
\dT s.*
\dv s.*
\di s.*
\sf s.many
\d nowhere
SELECT relname, relkind FROM pg_class WHERE relnamespace = 's'::regnamespace AND relkind <> 'i' ORDER BY 1;
BEGIN;
LOCK TABLE s.item IN ACCESS EXCLUSIVE MODE;
TRUNCATE s.item, s.log;
SELECT mode FROM pg_locks WHERE relation = 's.item'::regclass AND pid = pg_backend_pid() ORDER BY 1;
ROLLBACK;
VACUUM s.item;
VACUUM (ANALYZE) s.item;
BEGIN;
VACUUM s.item;
ROLLBACK;
ANALYZE s.log;
REINDEX TABLE s.item;
CLUSTER s.item USING item_pkey;
CREATE STATISTICS s.related ON size, later FROM s.item;
CREATE SEQUENCE s.count START 10 INCREMENT 5 MAXVALUE 20 CYCLE;
SELECT nextval('s.count'), nextval('s.count'), nextval('s.count'), nextval('s.count');
CREATE TABLE s.copied AS SELECT i FROM generate_series(1, 10) i;
SELECT i INTO s.again FROM s.copied WHERE i > 5;
CREATE AGGREGATE s.product (int) (SFUNC = int4mul, STYPE = int, INITCOND = '1');
SELECT s.product(i) FROM s.again;
CREATE OPERATOR s.+++ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
SELECT 1 OPERATOR(s.+++) 2;
CREATE CAST (s.pair AS text) WITH INOUT AS ASSIGNMENT;
DROP SCHEMA s;
DROP SCHEMA s CASCADE;
-- the end
