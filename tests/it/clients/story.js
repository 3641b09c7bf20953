// The same story told by mysql2: node story.js HOST PORT DATABASE TABLE. Text protocol and prepared statements.
const mysql = require("mysql2/promise");
const assert = require("node:assert");
const [host, port, database, table] = process.argv.slice(2);

(async () => {
  const pool = mysql.createPool({ host, port: Number(port), user: "root", database, connectionLimit: 3, decimalNumbers: false });
  await pool.query(`DROP TABLE IF EXISTS ${table}`);
  await pool.query(`CREATE TABLE ${table} (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL UNIQUE, price DECIMAL(10,2), seen DATETIME(3), flag TINYINT(1), doc JSON)`);
  const seen = new Date("2024-02-29T23:59:59.123Z");
  const [put] = await pool.execute(`INSERT INTO ${table} (name, price, seen, flag, doc) VALUES (?, ?, ?, ?, ?)`, ["부탁하냥 🐈", "12.50", seen, true, JSON.stringify({ a: [1, 2] })]);
  assert.equal(put.insertId, 1);
  assert.equal(put.affectedRows, 1);
  for (const ask of ["execute", "query"]) {
    const [[row]] = await pool[ask](`SELECT name, price, seen, flag, doc FROM ${table} WHERE id = ?`, [1]);
    assert.equal(row.name, "부탁하냥 🐈", ask);
    assert.equal(row.price, "12.50", ask);
    assert.equal(row.seen.getTime(), seen.getTime(), ask);
    assert.equal(row.flag, 1, ask);
    assert.deepEqual(row.doc, { a: [1, 2] }, ask);
  }
  await assert.rejects(pool.execute(`INSERT INTO ${table} (name) VALUES (?)`, ["부탁하냥 🐈"]), { errno: 1062, sqlState: "23000" });
  await assert.rejects(pool.query("SELEKT 1"), { errno: 1064, sqlState: "42000" });

  const connection = await pool.getConnection();
  await connection.beginTransaction();
  await connection.execute(`INSERT INTO ${table} (name) VALUES (?)`, ["gone"]);
  await connection.rollback();
  const [[count]] = await connection.execute(`SELECT COUNT(*) AS n FROM ${table}`);
  assert.equal(count.n, 1);
  connection.release();

  await Promise.all(Array.from({ length: 30 }, (_, i) => pool.execute(`INSERT INTO ${table} (name, price) VALUES (?, ?)`, [`n${i}`, i])));
  const [rows] = await pool.execute(`SELECT name, price FROM ${table} WHERE price >= ? ORDER BY price DESC LIMIT ?`, [10, "3"]);
  assert.deepEqual(rows.map((row) => row.name), ["n29", "n28", "n27"]);
  await pool.query(`DROP TABLE ${table}`);
  await pool.end();
  console.log("told");
})().catch((error) => { console.error(error); process.exit(1); });
