<?php
// What PHP's two interfaces do all day: php story.php HOST PORT DATABASE TABLE. Ends with "told" or an uncaught exception.
[, $host, $port, $database, $table] = $argv;
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function expect($got, $wanted, $what)
{
    if ($got !== $wanted) {
        throw new Exception("$what: got " . var_export($got, true) . ', wanted ' . var_export($wanted, true));
    }
}

function code_of($action)
{
    try {
        $action();
    } catch (mysqli_sql_exception $error) {
        return $error->getCode();
    } catch (PDOException $error) {
        return $error->errorInfo[1];
    }
    return null;
}

// === mysqli ===
$db = new mysqli($host, 'root', '', $database, (int) $port);
$db->set_charset('utf8mb4');
$db->query("DROP TABLE IF EXISTS $table");
$db->query("CREATE TABLE $table (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) UNIQUE, price DECIMAL(10,2), raw LONGBLOB)");
$insert = $db->prepare("INSERT INTO $table (name, price, raw) VALUES (?, ?, ?)");
$name = '부탁하냥 🐈';
$price = 12.5;
$raw = "\0\xff'\"\\\n";
$insert->bind_param('sds', $name, $price, $raw);
$insert->execute();
expect($insert->insert_id, 1, 'the id of a prepared insert');
$big = $db->prepare("INSERT INTO $table (name, raw) VALUES ('big', ?)");
$null = null;
$big->bind_param('b', $null);
for ($i = 0; $i < 20; $i++) {
    $big->send_long_data(0, str_repeat(chr(65 + $i), 100000));
}
$big->execute();
expect($db->query("SELECT LENGTH(raw) AS n FROM $table WHERE name = 'big'")->fetch_assoc(), ['n' => '2000000'], 'a long parameter in pieces');
$select = $db->prepare("SELECT name, price, raw FROM $table WHERE id = ?");
$id = 1;
$select->bind_param('i', $id);
$select->execute();
expect($select->get_result()->fetch_row(), [$name, '12.50', $raw], 'a prepared select');
$db->multi_query("SELECT 1; SELECT 2 AS b; DO 0; SELECT 3");
$seen = [];
do {
    if ($result = $db->store_result()) {
        $seen[] = $result->fetch_row()[0];
    }
} while ($db->more_results() && $db->next_result());
expect($seen, ['1', '2', '3'], 'several statements at once');
$rows = 0;
foreach ($db->query("SELECT a.seq FROM seq_1_to_5000 a", MYSQLI_USE_RESULT) as $row) {
    $rows++;
}
expect($rows, 5000, 'rows that are read while they come');
$db->begin_transaction();
$db->query("INSERT INTO $table (name) VALUES ('gone')");
expect($db->affected_rows, 1, 'rows affected');
$db->rollback();
expect($db->query("SELECT COUNT(*) FROM $table")->fetch_row(), ['2'], 'rolled back');
$db->query("UPDATE $table SET price = 1 WHERE id <= 2");
expect($db->info, 'Rows matched: 2  Changed: 2  Warnings: 0', 'what the server says of an update');
expect(code_of(fn () => $db->query("INSERT INTO $table (name) VALUES ('big')")), 1062, 'a duplicate');
expect(code_of(fn () => $db->query('SELEKT')), 1064, 'a mistake');
$db->query("SELECT 1/0");
expect($db->query('SHOW WARNINGS')->num_rows, 1, 'warnings');
$db->change_user('root', '', $database);
expect($db->query('SELECT DATABASE()')->fetch_row(), [$database], 'after a change of user');
$db->close();

// === PDO, with statements prepared by the client and by the server ===
foreach ([true, false] as $emulate) {
    $pdo = new PDO("mysql:host=$host;port=$port;dbname=$database;charset=utf8mb4", 'root', '', [
        PDO::ATTR_EMULATE_PREPARES => $emulate,
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_PERSISTENT => !$emulate,
        PDO::MYSQL_ATTR_FOUND_ROWS => true,
    ]);
    $pdo->exec("DELETE FROM $table");
    $insert = $pdo->prepare("INSERT INTO $table (name, price) VALUES (:name, :price)");
    $pdo->beginTransaction();
    for ($i = 0; $i < 50; $i++) {
        $insert->execute(['name' => "n$i", 'price' => $i]);
    }
    $last = (int) $pdo->lastInsertId();
    $pdo->commit();
    expect((int) $pdo->query("SELECT MAX(id) FROM $table")->fetchColumn(), $last, 'the last id');
    $select = $pdo->prepare("SELECT COUNT(*) FROM $table WHERE price >= ?");
    $select->execute([40]);
    expect((int) $select->fetchColumn(), 10, 'a count');
    $select->closeCursor();
    expect($pdo->exec("UPDATE $table SET price = price"), 50, 'rows found, none changed');
    expect(code_of(fn () => $insert->execute(['name' => 'n7', 'price' => 0])), 1062, 'a duplicate');
    $both = $pdo->query("SELECT 1 AS a");
    expect($both->fetchAll(PDO::FETCH_ASSOC), [['a' => 1]], 'numbers are numbers');
    $pdo = null;
}
$pdo = new PDO("mysql:host=$host;port=$port;dbname=$database", 'root', '');
$pdo->exec("DROP TABLE $table");
echo "told\n";
