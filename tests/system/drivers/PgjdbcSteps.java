import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;

/** The steps of test_drivers.py with pgjdbc; prepare=N is its prepareThreshold. Its pipelines are batches. */
public class PgjdbcSteps {
    private static final Map<String, String> options = new HashMap<>();
    private static final Map<String, AtomicInteger> done = new HashMap<>();
    private static final List<String> failures = Collections.synchronizedList(new ArrayList<>());

    public static void main(String[] args) throws Exception {
        for (String word : args) {
            options.put(word.substring(0, word.indexOf('=')), word.substring(word.indexOf('=') + 1));
        }
        String[] steps = options.get("steps").split(",");
        Arrays.stream(steps).forEach(step -> done.put(step, new AtomicInteger()));
        List<Thread> threads = IntStream.range(0, Integer.parseInt(options.get("clients")))
                .mapToObj(number -> new Thread(() -> work(new Client(number), steps))).collect(Collectors.toList());
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.printf("{\"driver\": \"pgjdbc %s\", \"done\": {%s}, \"failures\": [%s]}%n",
                org.postgresql.util.DriverInfo.DRIVER_VERSION,
                Arrays.stream(steps).map(step -> quoted(step) + ": " + done.get(step)).collect(Collectors.joining(", ")),
                failures.stream().map(PgjdbcSteps::quoted).collect(Collectors.joining(", ")));
    }

    private static String quoted(String text) {
        return '"' + text.replaceAll("[\\s\"\\\\]+", " ") + '"';
    }

    private static void work(Client client, String[] steps) {
        String step = "open";
        try {
            client.open();
            for (int turn = 0; turn < Integer.parseInt(options.get("rounds")) * steps.length; turn++) {
                // Each client begins with another step, so that all of them meet.
                step = steps[(client.number + turn) % steps.length];
                client.step(step);
                done.get(step).incrementAndGet();
            }
            step = "close";
            client.close();
        } catch (Exception | AssertionError error) {
            failures.add(client.token + ": " + step + ": " + error);
        }
    }

    private static class Client {
        final int number;
        final String token;
        Connection connection;

        Client(int number) {
            this.number = number;
            token = "pgjdbc-" + number;
        }

        void open() throws SQLException {
            Properties properties = new Properties();
            properties.setProperty("user", options.get("user"));
            properties.setProperty("ApplicationName", token);
            properties.setProperty("prepareThreshold", options.getOrDefault("prepare", "5"));
            properties.setProperty("preparedStatementCacheQueries", "8"); // few, so it closes some
            connection = DriverManager.getConnection(String.format("jdbc:postgresql://%s:%s/%s?sslmode=disable",
                    options.get("host"), options.get("port"), options.get("dbname")), properties);
        }

        void close() throws SQLException {
            connection.close();
        }

        void step(String name) throws Exception {
            switch (name) {
                case "named": named(); break;
                case "types": types(); break;
                case "settings": settings(); break;
                case "transaction": transaction(); break;
                case "pipeline": pipeline(); break;
                case "copy": copy(); break;
                case "error": error(); break;
                case "cursor": cursor(); break;
                case "large": large(); break;
                case "cancel": cancel(); break;
                case "forget": forget(); break;
                case "changing": changing(); break;
                default: throw new IllegalArgumentException(name);
            }
        }

        interface Action {
            void run() throws Exception;
        }

        static void same(Object found, Object expected) {
            if (!expected.equals(found)) {
                throw new AssertionError(found + " instead of " + expected);
            }
        }

        static void fails(String sqlstate, Action action) throws Exception {
            try {
                action.run();
            } catch (SQLException error) {
                same(error.getSQLState(), sqlstate);
                return;
            }
            throw new AssertionError("no error " + sqlstate);
        }

        PreparedStatement prepare(String sql, Object... values) throws SQLException {
            PreparedStatement statement = connection.prepareStatement(sql);
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            return statement;
        }

        /** The columns of the first row as texts. */
        List<String> row(String sql, Object... values) throws SQLException {
            try (PreparedStatement statement = prepare(sql, values); ResultSet rows = statement.executeQuery()) {
                rows.next();
                List<String> columns = new ArrayList<>();
                for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                    columns.add(rows.getString(i));
                }
                return columns;
            }
        }

        int update(String sql, Object... values) throws SQLException {
            try (PreparedStatement statement = prepare(sql, values)) {
                return statement.executeUpdate();
            }
        }

        void execute(String sql) throws SQLException {
            try (Statement statement = connection.createStatement()) {
                statement.execute(sql);
            }
        }

        void named() throws SQLException {
            for (int turn = 0; turn < 6; turn++) {
                for (int kind = 0; kind < 4; kind++) {
                    same(row("SELECT ?::text || '-" + kind + "', ?::int + " + kind, token, turn),
                            Arrays.asList(token + "-" + kind, String.valueOf(turn + kind)));
                }
            }
        }

        void types() throws SQLException {
            same(row("SELECT ROW(?::text, ?::int)::pair, 'busy'::mood, ARRAY[?::int, 2]::text, NULL::text,"
                    + " encode(convert_to(?::text, 'UTF8'), 'escape'), 12345.678::numeric, 1.5::float8, true",
                    token, number, number, token),
                    Arrays.asList("(" + token + "," + number + ")", "busy", "{" + number + ",2}", null, token, "12345.678",
                            "1.5", "t"));
        }

        void settings() throws SQLException {
            same(row("SHOW application_name"), Arrays.asList(token));
            connection.setAutoCommit(false);
            row("SELECT set_config('statement_timeout', ?, true)", number + "min");
            same(row("SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::int"),
                    Arrays.asList(String.valueOf(number * 60)));
            connection.commit();
            connection.setAutoCommit(true);
            same(row("SHOW statement_timeout"), Arrays.asList("0"));
        }

        void expectCount(int n) throws SQLException {
            same(row("SELECT count(*) FROM tokens WHERE token = ?", token), Arrays.asList(String.valueOf(n)));
        }

        void expectClear(int n) throws SQLException {
            same(update("DELETE FROM tokens WHERE token = ?", token), n);
        }

        void insert(int n) throws SQLException {
            update("INSERT INTO tokens VALUES (?, ?)", token, n);
        }

        void transaction() throws SQLException {
            connection.setAutoCommit(false);
            insert(1);
            expectCount(1);
            connection.rollback();
            expectCount(0);
            insert(1);
            insert(2);
            connection.commit();
            connection.setAutoCommit(true);
            expectClear(2);
        }

        int[] insertAll(IntStream numbers) throws SQLException {
            try (PreparedStatement statement = connection.prepareStatement("INSERT INTO tokens VALUES (?, ?)")) {
                for (int n : numbers.toArray()) {
                    statement.setString(1, token);
                    statement.setInt(2, n);
                    statement.addBatch();
                }
                return statement.executeBatch();
            }
        }

        void pipeline() throws Exception {
            same(Arrays.stream(insertAll(IntStream.range(0, 200))).sum(), 200);
            expectClear(200);
            try {
                insertAll(IntStream.concat(IntStream.range(0, 50), IntStream.range(40, 60)));
                throw new AssertionError("no error in the batch");
            } catch (BatchUpdateException error) {
                same(error.getSQLState(), "23505");
            }
            expectCount(0);
        }

        void copy() throws Exception {
            CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
            String lines = IntStream.range(0, 100).mapToObj(n -> token + "\t" + n + "\n").collect(Collectors.joining());
            StringWriter found = new StringWriter();
            same(manager.copyIn("COPY tokens FROM STDIN", new StringReader(lines)), 100L);
            manager.copyOut("COPY (SELECT * FROM tokens WHERE token = '" + token + "' ORDER BY n) TO STDOUT", found);
            same(found.toString(), lines);

            String wrong = token + "\t101\n" + token + "\tx\n";
            fails("22P02", () -> manager.copyIn("COPY tokens FROM STDIN", new StringReader(wrong)));
            CopyIn broken = manager.copyIn("COPY tokens FROM STDIN");
            byte[] line = (token + "\t101\n").getBytes("UTF-8");
            broken.writeToCopy(line, 0, line.length);
            broken.cancelCopy();
            expectClear(100);
        }

        void error() throws Exception {
            fails("22012", () -> row("SELECT 7 / ?::int", 0));
            same(row("SELECT 7 / ?::int", 1), Arrays.asList("7"));
            fails("42601", () -> execute("SELEC 1"));
            for (int i = 0; i < 2; i++) {
                fails("42P01", () -> row("SELECT * FROM nowhere WHERE token = ?", token));
            }
            connection.setAutoCommit(false);
            insert(1);
            fails("23505", () -> insert(1));
            fails("25P02", () -> insert(2));
            connection.rollback();
            connection.setAutoCommit(true);
            expectCount(0);
        }

        void cursor() throws SQLException {
            connection.setAutoCommit(false);
            try (PreparedStatement statement = prepare("SELECT ?::text, n FROM generate_series(1, 35) n", token)) {
                statement.setFetchSize(10);
                try (ResultSet rows = statement.executeQuery()) {
                    for (int n = 1; n <= 35; n++) {
                        same(rows.next(), true);
                        same(rows.getString(1), token);
                        same(rows.getInt(2), n);
                    }
                    same(rows.next(), false);
                }
            }
            connection.commit();
            connection.setAutoCommit(true);
        }

        void large() throws SQLException {
            String text = token + "x".repeat(300_000);
            same(row("SELECT ?::text", text), Arrays.asList(text));
        }

        void cancel() throws Exception {
            CountDownLatch ended = new CountDownLatch(1);
            try (Statement statement = connection.createStatement()) {
                Thread canceller = new Thread(() -> {
                    try {
                        while (!ended.await(100, TimeUnit.MILLISECONDS)) { // what is not running yet is not cancelled
                            statement.cancel();
                        }
                    } catch (InterruptedException | SQLException error) {
                        failures.add(token + ": canceller: " + error);
                    }
                });
                canceller.start();
                fails("57014", () -> statement.execute("SELECT pg_sleep(60)"));
                ended.countDown();
                canceller.join();
            }
            same(row("SELECT ?::text", token), Arrays.asList(token));
        }

        /** The driver sees the tag, and prepares again. */
        void forget() throws SQLException {
            named();
            execute("DEALLOCATE ALL");
            named();
        }

        void changing() throws SQLException {
            try (PreparedStatement statement = prepare("SELECT * FROM changing WHERE id = ?", number);
                    ResultSet rows = statement.executeQuery()) {
                same(rows.next(), true);
                for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                    String name = rows.getMetaData().getColumnName(i);
                    int expected = name.equals("id") ? number : name.equals("value") ? 1000 + number : 5;
                    same(rows.getString(i), String.valueOf(expected));
                }
                same(rows.findColumn("id") + rows.findColumn("value") > 2, true);
            }
        }
    }
}
