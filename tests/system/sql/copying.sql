-- COPY both ways, in all formats, and broken off in all places.
\set VERBOSITY verbose
CREATE TABLE copied (i int PRIMARY KEY, t text, d date);
COPY copied FROM STDIN;
1	one	2026-01-01
2	back\\slash and \ttab	\N
3	\N	2026-01-03
\.
COPY copied (i, t) FROM STDIN (FORMAT csv, HEADER, NULL 'nothing', DELIMITER ';');
i;t
4;"quoted; ""twice"""
5;nothing
6;"two
lines"
\.
COPY copied FROM STDIN;
7	seven	2026-01-07
8	eight	not a date
9	nine	2026-01-09
\.
COPY copied FROM STDIN;
7	too few
\.
COPY copied FROM STDIN;
1	there already	\N
\.
COPY copied FROM STDIN;
\.
COPY nowhere FROM STDIN;
COPY copied FROM '/nonexistent/file';
COPY copied TO STDOUT;
COPY copied TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *);
COPY (SELECT i, 10 / (4 - i) FROM copied ORDER BY i) TO STDOUT;
COPY (SELECT * FROM copied WHERE false) TO STDOUT;
COPY (SELECT repeat('x', 100000)) TO STDOUT;
COPY (INSERT INTO copied VALUES (10, 'ten') RETURNING *) TO STDOUT;
\copy (SELECT i, t FROM copied ORDER BY i) TO PSTDOUT (FORMAT csv)
\copy (SELECT g, md5(g::text), repeat('y', g % 100) FROM generate_series(1, 20000) g) TO 'many.copy' (FORMAT binary)
CREATE TABLE many (g int, m text, y text);
\copy many FROM 'many.copy' (FORMAT binary)
\copy many FROM 'many.copy'
SELECT count(*), sum(g), md5(string_agg(m || y, '' ORDER BY g)) FROM many;
\copy nowhere FROM 'many.copy'
\copy many FROM 'no such file'
-- inside of a block, and among other statements of a message
BEGIN;
COPY many FROM STDIN;
30000	a	b
\.
SELECT count(*) FROM many;
COPY many FROM STDIN;
broken
\.
SELECT count(*) FROM many;
ROLLBACK;
SELECT 1 \; COPY (SELECT 2) TO STDOUT \; SELECT 3;
SELECT 4 \; COPY many FROM STDIN \; SELECT count(*) FROM many;
40000	a	b
\.
COPY many FROM STDIN \; COPY many FROM STDIN;
50000	a	b
\.
50001	a	b
\.
SELECT count(*) FROM many;
-- large objects: by SQL, and by psql, which calls functions without SQL
SELECT lo_from_bytea(424242, 'the content');
SELECT lo_get(424242);
SELECT lo_put(424242, 4, 'CONTENT');
\lo_export 424242 'object'
\set QUIET on
BEGIN;
\lo_import 'object' 'a comment'
COMMIT;
SELECT :LASTOID AS imported \gset
\set QUIET off
SELECT convert_from(lo_get(:imported), 'UTF8');
BEGIN;
SELECT lo_open(424242, x'60000'::int) AS fd \gset
SELECT loread(:fd, 3), lo_lseek64(:fd, 0, 2), lowrite(:fd, ' and more'), lo_tell(:fd);
SELECT lo_truncate(:fd, 5), lo_close(:fd);
COMMIT;
SELECT lo_get(424242), lo_close(0);
\set QUIET on
\lo_unlink :imported
\set QUIET off
\lo_unlink 424242
\lo_unlink 424242
-- the end
