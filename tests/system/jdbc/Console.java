import java.math.BigDecimal;
import java.sql.*;
import java.util.Properties;

/**
 * Asks the console as Java programs do: with and without parameters, in and outside of a transaction, often enough that
 * pgjdbc prepares the statement by name and asks for binary results. Prints one line an answer.
 */
public class Console {
    static String timeout(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("SHOW CONFIG")) {
            while (rows.next())
                if (rows.getString("key").equals("query_timeout"))
                    return rows.getString("value");
        }
        return null;
    }

    public static void main(String[] args) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", args[1]);
        properties.setProperty("sslmode", "disable");
        properties.setProperty("prepareThreshold", "2");
        properties.setProperty("targetServerType", "primary");
        try (Connection connection = DriverManager.getConnection(args[0], properties)) {
            try (PreparedStatement statement = connection.prepareStatement("SHOW STATS")) {
                for (int i = 0; i < 5; i++)
                    try (ResultSet rows = statement.executeQuery()) {
                        while (rows.next())
                            if (i == 4)
                                System.out.println(rows.getString("database") + " " + (rows.getBigDecimal(2).signum() >= 0));
                    }
            }
            connection.setAutoCommit(false);
            try (PreparedStatement statement = connection.prepareStatement("SET query_timeout = ?")) {
                statement.setInt(1, 7);
                statement.execute();
            }
            connection.commit();
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SHOW NOTHING");
            } catch (SQLException error) {
                System.out.println(error.getSQLState());
                connection.rollback();
            }
            System.out.println(timeout(connection));
            for (Object value : new Object[]{30L, 2.5, new BigDecimal("1.25")}) {
                try (PreparedStatement statement = connection.prepareStatement("SET query_timeout = ?")) {
                    for (int i = 0; i < 3; i++) {
                        statement.setObject(1, value);
                        statement.execute();
                    }
                }
                System.out.println(timeout(connection));
            }
            try (PreparedStatement statement = connection.prepareStatement("SET server_fast_close = ?")) {
                statement.setBoolean(1, true);
                statement.execute();
            }
            System.out.println(connection.isValid(10));
        }
    }
}
