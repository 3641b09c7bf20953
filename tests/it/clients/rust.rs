//! The drivers of Rust: mysql_async, which prepares everything it is given values for, and sqlx with its pool.

use std::net::SocketAddr;

use ::sqlx::{
    Connection, Executor, Row,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use futures_util::TryStreamExt;
use mysql_async::{prelude::*, *};

fn blocking(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(story);
}

pub fn mysql_async(address: SocketAddr, database: &str) {
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some("root"))
        .db_name(Some(database))
        .prefer_socket(false);
    blocking(async {
        let pool = Pool::new(options.pool_opts(PoolOpts::default().with_constraints(PoolConstraints::new(1, 3).expect("a range"))));
        let mut connection = pool.get_conn().await.expect("it connects");
        "CREATE TABLE rust (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL, n BIGINT UNSIGNED)"
            .ignore(&mut connection)
            .await
            .expect("created");
        let rows = (0..20u64).map(|n| (format!("이름{n}"), i64::MAX as u64 - n));
        "INSERT INTO rust (name, n) VALUES (?, ?)".with(rows).batch(&mut connection).await.expect("inserted");
        assert_eq!((connection.last_insert_id(), connection.affected_rows()), (Some(20), 1));
        let found: Option<(i32, String, u64)> =
            "SELECT id, name, n FROM rust WHERE name = ?".with(("이름7",)).first(&mut connection).await.expect("read");
        assert_eq!(found, Some((8, "이름7".into(), i64::MAX as u64 - 7)));
        let mut transaction = connection.start_transaction(TxOpts::default()).await.expect("begun");
        "DELETE FROM rust".ignore(&mut transaction).await.expect("deleted");
        transaction.rollback().await.expect("rolled back");
        let count: Option<u64> = "SELECT COUNT(*) FROM rust".first(&mut connection).await.expect("read");
        assert_eq!(count, Some(20));
        // Back in the pool it is reset: what was set is gone for whoever has it next.
        connection.query_drop("SET autocommit = 0").await.expect("set");
        drop(connection);
        for _ in 0..4 {
            let mut connection = pool.get_conn().await.expect("it connects");
            let on: Option<u8> = connection.query_first("SELECT @@autocommit").await.expect("read");
            assert_eq!(on, Some(1), "a session's setting outlived it");
        }
        let mut connection = pool.get_conn().await.expect("it connects");
        let refused = connection.query_drop("INSERT INTO rust (id, name) VALUES (1, 'again')").await;
        assert!(matches!(refused, Err(Error::Server(ref error)) if error.code == 1062), "{refused:?}");
        "DROP TABLE rust".ignore(&mut connection).await.expect("dropped");
        drop(connection);
        pool.disconnect().await.expect("closed");
    });
}

pub fn sqlx(address: SocketAddr, database: &str) {
    let options = MySqlConnectOptions::new().host(&address.ip().to_string()).port(address.port()).username("root").database(database);
    blocking(async {
        let pool = MySqlPoolOptions::new().max_connections(4).connect_with(options).await.expect("it connects");
        pool.execute("DROP TABLE IF EXISTS crate_x").await.expect("dropped");
        let create = "CREATE TABLE crate_x (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL UNIQUE, ratio DOUBLE, raw BLOB, flag TINYINT(1))";
        pool.execute(create).await.expect("created");
        let put = ::sqlx::query("INSERT INTO crate_x (name, ratio, raw, flag) VALUES (?, ?, ?, ?)")
            .bind("부탁하냥 🐈")
            .bind(0.1)
            .bind(&b"\x00\xff'\"\\\n"[..])
            .bind(true)
            .execute(&pool)
            .await
            .expect("inserted");
        assert_eq!((put.last_insert_id(), put.rows_affected()), (1, 1));
        let row = ::sqlx::query("SELECT name, ratio, raw, flag FROM crate_x WHERE id = ?").bind(1).fetch_one(&pool).await.expect("read");
        assert_eq!(row.get::<String, _>("name"), "부탁하냥 🐈");
        assert_eq!(row.get::<f64, _>("ratio").to_bits(), 0.1f64.to_bits());
        assert_eq!(row.get::<Vec<u8>, _>("raw"), b"\x00\xff'\"\\\n");
        assert!(row.get::<bool, _>("flag"));

        let twice =
            ::sqlx::query("INSERT INTO crate_x (name) VALUES (?)").bind("부탁하냥 🐈").execute(&pool).await.expect_err("it is unique");
        let twice = twice.into_database_error().expect("the server's");
        assert!(twice.is_unique_violation() && twice.code().as_deref() == Some("23000"), "{twice}");

        // A transaction that is dropped is rolled back; one within another is a savepoint.
        let mut dropped = pool.begin().await.expect("begun");
        dropped.execute("INSERT INTO crate_x (name) VALUES ('gone')").await.expect("inserted");
        drop(dropped);
        let mut outer = pool.begin().await.expect("begun");
        outer.execute("INSERT INTO crate_x (name) VALUES ('stays')").await.expect("inserted");
        let mut inner = outer.begin().await.expect("a savepoint");
        inner.execute("INSERT INTO crate_x (name) VALUES ('goes')").await.expect("inserted");
        inner.rollback().await.expect("rolled back");
        outer.commit().await.expect("committed");
        let names: Vec<(String,)> = ::sqlx::query_as("SELECT name FROM crate_x ORDER BY id").fetch_all(&pool).await.expect("read");
        assert_eq!(names.iter().map(|(name,)| name.as_str()).collect::<Vec<_>>(), ["부탁하냥 🐈", "stays"]);

        // More tasks than connections, each reads what it wrote; then rows as they come.
        let tasks = (0..12).map(|n: i64| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    let name = format!("{n}-{round}");
                    ::sqlx::query("INSERT INTO crate_x (name, ratio) VALUES (?, ?)")
                        .bind(&name)
                        .bind(n as f64)
                        .execute(&pool)
                        .await
                        .expect("inserted");
                    let (ratio,): (f64,) =
                        ::sqlx::query_as("SELECT ratio FROM crate_x WHERE name = ?").bind(&name).fetch_one(&pool).await.expect("read");
                    assert_eq!(ratio as i64, n);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        let mut rows = ::sqlx::query("SELECT id FROM crate_x").fetch(&pool);
        let mut count = 0;
        while rows.try_next().await.expect("a row").is_some() {
            count += 1;
        }
        drop(rows);
        assert_eq!(count, 62);
        pool.execute("DROP TABLE crate_x").await.expect("dropped");
        pool.close().await;
    });
}
