"""A story any DB-API driver can tell: python story.py DRIVER HOST PORT DATABASE TABLE. Ends with "told" or a traceback."""
import datetime
import decimal
import importlib
import sys

driver, host, port, database, table = sys.argv[1:6]
module = importlib.import_module(driver)
errors = module.err if driver == "pymysql" else module
if driver == "mysql.connector":
    module = importlib.import_module("mysql.connector")
    errors = module.errors


def connect(**more):
    names = {"MySQLdb": dict(user="root", passwd="", db=database)}.get(driver, dict(user="root", password="", database=database))
    return module.connect(host=host, port=int(port), charset="utf8mb4", **names, **more)


def one(cursor, sql, parameters=()):
    cursor.execute(sql, parameters)
    return cursor.fetchone()


def expect(got, wanted, what):
    if got != wanted:
        raise SystemExit(f"{driver}: {what}: got {got!r}, wanted {wanted!r}")


def code_of(action):
    try:
        action()
    except module.Error as error:
        return error.args[0] if driver != "mysql.connector" else error.errno
    return None


a, b = connect(), connect()
on = a.cursor()
on.execute(f"DROP TABLE IF EXISTS {table}")
on.execute(
    f"""CREATE TABLE {table} (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        name VARCHAR(40) NOT NULL,
        price DECIMAL(10,2) DEFAULT NULL,
        seen DATETIME(6) DEFAULT NULL,
        born DATE DEFAULT NULL,
        ratio DOUBLE DEFAULT NULL,
        raw BLOB,
        UNIQUE KEY name (name)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""
)

# Everything that was put in comes out, byte for byte and type for type.
seen = datetime.datetime(2024, 2, 29, 23, 59, 59, 123456)
row = ("부탁하냥 🐈", decimal.Decimal("12345678.90"), seen, datetime.date(1999, 12, 31), 0.1, b"\x00\xff'\"\\\n")
on.execute(f"INSERT INTO {table} (name, price, seen, born, ratio, raw) VALUES (%s, %s, %s, %s, %s, %s)", row)
expect(on.rowcount, 1, "rows inserted")
expect(on.lastrowid, 1, "first id")
a.commit()
expect(one(on, f"SELECT name, price, seen, born, ratio, raw FROM {table} WHERE id = %s", (1,)), row, "the row")
a.commit()

# Many rows, nulls, counts.
on.executemany(f"INSERT INTO {table} (name) VALUES (%s)", [(f"n{i}",) for i in range(100)])
a.commit()
expect(one(on, f"SELECT COUNT(*), COUNT(price), MIN(name) FROM {table}"), (101, 1, "n0"), "counts")
on.execute(f"SELECT id FROM {table} ORDER BY id LIMIT 5, 3")
expect([r[0] for r in on.fetchall()], [6, 7, 8], "limit with offset")
a.commit()

# The case-insensitive collation of MySQL's default.
expect(one(on, f"SELECT COUNT(*) FROM {table} WHERE name = 'N7'"), (1,), "case-insensitive equality")
a.commit()

# Errors have MySQL's numbers.
expect(code_of(lambda: on.execute(f"INSERT INTO {table} (name) VALUES ('N7')")), 1062, "duplicate")
expect(code_of(lambda: on.execute("SELEKT 1")), 1064, "syntax")
expect(code_of(lambda: on.execute("SELECT * FROM no_such_table")), 1146, "unknown table")
expect(code_of(lambda: on.execute(f"SELECT nothing FROM {table}")), 1054, "unknown column")
a.rollback()

# What is rolled back never was; what is not committed is nobody else's; a snapshot does not move.
other = b.cursor()
on.execute(f"UPDATE {table} SET price = 1.50 WHERE id <= 3")
expect(on.rowcount, 3, "rows updated")
expect(one(other, f"SELECT COUNT(*) FROM {table} WHERE price = 1.50"), (0,), "uncommitted rows are not seen")
a.commit()
expect(one(other, f"SELECT COUNT(*) FROM {table} WHERE price = 1.50"), (0,), "the snapshot stays")
b.commit()
expect(one(other, f"SELECT COUNT(*) FROM {table} WHERE price = 1.50"), (3,), "the next one has moved")
b.commit()
on.execute(f"DELETE FROM {table} WHERE id > %s", (1,))
expect(on.rowcount, 100, "rows deleted")
a.rollback()
expect(one(on, f"SELECT COUNT(*) FROM {table}"), (101,), "rolled back")
a.commit()

on.execute(f"DROP TABLE {table}")
a.close()
b.close()
print("told")
