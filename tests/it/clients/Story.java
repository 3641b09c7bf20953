// What the MariaDB connector for Java does all day: java -cp mariadb-java-client.jar Story.java HOST PORT DATABASE TABLE. Ends with "told".

import java.sql.*;
import java.util.*;

public class Story {
    static void expect(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted)) throw new IllegalStateException(what + ": got " + got + ", wanted " + wanted);
    }

    static Object one(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
            r.next();
            return r.getObject(1);
        }
    }

    static int code(Connection c, String sql) {
        try (Statement s = c.createStatement()) {
            s.execute(sql);
            return 0;
        } catch (SQLException e) {
            return e.getErrorCode();
        }
    }

    public static void main(String[] args) throws Exception {
        String table = args[3];
        for (String options : new String[] {"", "?useServerPrepStmts=true", "?useServerPrepStmts=true&useBulkStmts=true", "?allowMultiQueries=true&rewriteBatchedStatements=true"}) {
            String url = "jdbc:mariadb://" + args[0] + ":" + args[1] + "/" + args[2] + options;
            try (Connection c = DriverManager.getConnection(url, "root", ""); Connection d = DriverManager.getConnection(url, "root", "")) {
                Statement s = c.createStatement();
                s.execute("DROP TABLE IF EXISTS " + table);
                s.execute("CREATE TABLE " + table + " (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) UNIQUE, price DECIMAL(10,2), seen DATETIME(6), raw BLOB)");
                try (PreparedStatement p = c.prepareStatement("INSERT INTO " + table + " (name, price, seen, raw) VALUES (?, ?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                    p.setString(1, "부탁하냥 🐈");
                    p.setBigDecimal(2, new java.math.BigDecimal("12345678.90"));
                    p.setTimestamp(3, Timestamp.valueOf("2024-02-29 23:59:59.123456"));
                    p.setBytes(4, new byte[] {0, -1, 39, 34, 92, 10});
                    expect(p.executeUpdate(), 1, options + " rows");
                    ResultSet keys = p.getGeneratedKeys();
                    keys.next();
                    expect(keys.getLong(1), 1L, options + " the generated key");
                    for (int i = 0; i < 100; i++) {
                        p.setString(1, "n" + i);
                        p.setInt(2, i);
                        p.setNull(3, Types.TIMESTAMP);
                        p.setNull(4, Types.BLOB);
                        p.addBatch();
                    }
                    expect(p.executeBatch().length, 100, options + " a batch");
                }
                try (PreparedStatement p = c.prepareStatement("SELECT name, price, seen, raw FROM " + table + " WHERE id = ?")) {
                    for (int i = 0; i < 3; i++) {
                        p.setLong(1, 1);
                        ResultSet r = p.executeQuery();
                        expect(r.next(), true, options + " the row");
                        expect(r.getString(1), "부탁하냥 🐈", options + " text");
                        expect(r.getBigDecimal(2).toString(), "12345678.90", options + " decimal");
                        expect(r.getTimestamp(3), Timestamp.valueOf("2024-02-29 23:59:59.123456"), options + " time");
                        expect(Arrays.toString(r.getBytes(4)), "[0, -1, 39, 34, 92, 10]", options + " bytes");
                    }
                }
                try (PreparedStatement p = c.prepareStatement("SELECT id FROM " + table + " ORDER BY id")) {
                    p.setFetchSize(7);
                    ResultSet r = p.executeQuery();
                    int rows = 0;
                    while (r.next()) rows++;
                    expect(rows, 101, options + " rows fetched a few at a time");
                }
                c.setAutoCommit(false);
                c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
                s.executeUpdate("UPDATE " + table + " SET price = 7 WHERE id <= 3");
                Savepoint point = c.setSavepoint();
                s.executeUpdate("DELETE FROM " + table);
                c.rollback(point);
                expect(one(d, "SELECT COUNT(*) FROM " + table + " WHERE price = 7.00"), 1L, options + " not committed, not seen");
                c.commit();
                expect(one(d, "SELECT COUNT(*) FROM " + table + " WHERE price = 7.00"), 4L, options + " committed and seen");
                c.setAutoCommit(true);
                expect(code(c, "INSERT INTO " + table + " (name) VALUES ('n7')"), 1062, options + " a duplicate");
                expect(code(c, "SELEKT"), 1064, options + " a mistake");
                c.setReadOnly(true);
                expect(((Number) one(c, "SELECT COUNT(*) FROM " + table)).intValue(), 101, options + " read only");
                c.setReadOnly(false);
                ResultSet columns = c.getMetaData().getColumns(args[2], null, table, null);
                int n = 0;
                while (columns.next()) n++;
                expect(n, 5, options + " columns");
                try (CallableStatement call = c.prepareCall("{? = call CONCAT('a', ?)}")) {
                    call.registerOutParameter(1, Types.VARCHAR);
                    call.setString(2, "b");
                    call.execute();
                    expect(call.getString(1), "ab", options + " a function called");
                }
                s.execute("DROP TABLE " + table);
            }
        }
        System.out.println("told");
    }
}
