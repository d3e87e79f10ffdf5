import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * Logs in by pgjdbc, once for each line of its input: a URL, then key=value, parted by tabs. Says "ok" and what a
 * query has answered, or "refused" with SQLSTATE and message, parted by tabs as well.
 */
public class Login {
    public static void main(String[] args) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            System.out.println(login(line.split("\t")));
            System.out.flush();
        }
    }

    private static String login(String[] words) {
        Properties properties = new Properties();
        for (int i = 1; i < words.length; i++) {
            int sign = words[i].indexOf('=');
            properties.setProperty(words[i].substring(0, sign), words[i].substring(sign + 1));
        }
        try (Connection connection = DriverManager.getConnection(words[0], properties);
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT current_user")) {
            rows.next();
            return "ok\t" + rows.getString(1);
        } catch (SQLException refusal) {
            return "refused\t" + refusal.getSQLState() + "\t" + refusal.getMessage().replaceAll("\\s+", " ");
        }
    }
}
