import java.sql.*;
import java.util.Properties;

/**
 * Asks the console in SQL as Java programs do: with parameters of several types, often enough that pgjdbc prepares the
 * statement by name and asks for binary results, and with a cursor. Prints one line an answer.
 */
public class ConsoleSql {
    public static void main(String[] args) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", args[1]);
        properties.setProperty("sslmode", "disable");
        properties.setProperty("prepareThreshold", "2");
        try (Connection connection = DriverManager.getConnection(args[0], properties)) {
            String sql = "SELECT name, pool_size, pool_size / 3.0 AS third, count(*) OVER () AS n FROM databases"
                + " WHERE name = ? AND pool_size > ? AND 1.5 < ? LIMIT ?";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                for (int i = 0; i < 5; i++) {
                    statement.setString(1, "shop");
                    statement.setInt(2, i);
                    statement.setDouble(3, 2.5);
                    statement.setLong(4, 10);
                    try (ResultSet rows = statement.executeQuery()) {
                        while (rows.next())
                            System.out.println(rows.getString("name") + " " + rows.getInt(2) + " " + rows.getDouble(3) + " "
                                + rows.getLong("n") + " " + rows.getMetaData().getColumnTypeName(3));
                    }
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(10);
                int sum = 0;
                try (ResultSet rows = statement.executeQuery(
                        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n")) {
                    while (rows.next())
                        sum += rows.getInt(1);
                }
                System.out.println(sum);
            }
            connection.commit();
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT * FROM cows");
            } catch (SQLException error) {
                System.out.println(error.getSQLState());
                connection.rollback();
            }
        }
    }
}
