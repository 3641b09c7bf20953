//! The connection of our own at the primary: reads the catalogue, and sees statements to their end whose answers were lost.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use pumasi_freshness::Fence;
use pumasi_mysqlwire::SqlError;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tracing::{debug, warn};

use super::{
    Follow, Order, Thread, binlog,
    catalogue::{Catalogue, Row, Rows, SYSTEM_SCHEMAS},
};
use crate::{
    front::wire::Lost,
    identity::Identity,
    proxy::{
        backend::{Backend, Key, NoBackend},
        target::Target,
    },
};

/// Rows of one question to the catalogue. A database with more columns than this is not followed.
const CATALOGUE_ROWS_MAX: usize = 1_000_000;

/// Between two attempts to reach the server.
const RETRY: Duration = Duration::from_millis(500);

/// Between two looks at whether a thread is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Until the proxy is gone.
pub async fn run(follow: Weak<Follow>, mut target: Target, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut settling = JoinSet::new();
    let (primary, watched) = watch::channel(target.clone());
    let _binlog = tokio::task::spawn_local(binlog::run(follow.clone(), watched));
    loop {
        let opened = open(&target).await;
        let Some(followed) = follow.upgrade() else { return };
        let mut connection = match opened {
            Ok((connection, catalogue)) => {
                followed.replace(catalogue, Vec::new());
                Some(connection)
            }
            Err(error) => {
                debug!(server = %target.address(), %error, "the catalogue cannot be read");
                if followed.generation().followed() {
                    followed.replace(Err("server-unreachable".to_owned()), Vec::new());
                }
                None
            }
        };
        drop(followed);
        // Until the connection is lost, or until it is time to try again.
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                () = ended(&mut connection) => break,
                Some(_) = settling.join_next(), if !settling.is_empty() => continue,
            };
            match order {
                None => return,
                Some(Order::Settle { fence, thread }) => _ = settling.spawn_local(settle(fence, thread)),
                Some(Order::Primary(next)) => {
                    // What was not settled at the old one is as the new one has it.
                    settling.abort_all();
                    target = next;
                    let _ = primary.send(target.clone());
                    break;
                }
                Some(Order::Read { fence, done }) => {
                    let (mut fences, mut waiting) = (vec![fence], vec![done]);
                    // One reading serves all that were waiting when it began.
                    let mut others = Vec::new();
                    while let Ok(order) = orders.try_recv() {
                        match order {
                            Order::Read { fence, done } => {
                                fences.push(fence);
                                waiting.push(done);
                            }
                            other => others.push(other),
                        }
                    }
                    for order in others {
                        match order {
                            Order::Settle { fence, thread } => _ = settling.spawn_local(settle(fence, thread)),
                            Order::Primary(next) => {
                                settling.abort_all();
                                (target, connection) = (next, None);
                                let _ = primary.send(target.clone());
                            }
                            Order::Read { .. } => {}
                        }
                    }
                    let read = match &mut connection {
                        Some(connection) => read(connection).await.ok(),
                        None => None,
                    };
                    let Some(followed) = follow.upgrade() else { return };
                    let lost = read.is_none();
                    followed.replace(read.unwrap_or_else(|| Err("server-unreachable".to_owned())), fences);
                    waiting.into_iter().for_each(|done| _ = done.send(()));
                    if lost {
                        connection = None;
                    }
                }
            }
        }
        if follow.strong_count() == 0 {
            return;
        }
    }
}

/// Returns when the connection is lost; without one, when it is time for the next attempt.
async fn ended(connection: &mut Option<Backend>) {
    match connection {
        // The server says nothing of itself but goodbye.
        Some(connection) => _ = connection.link.fill().await,
        None => sleep(RETRY).await,
    }
}

async fn open(target: &Target) -> Result<(Backend, Result<Catalogue, String>), NoBackend> {
    let mut connection = connect(target, &target.login()).await?;
    let lost = |error| NoBackend::Unreachable { address: target.address(), error };
    let catalogue = read(&mut connection).await.map_err(lost)?;
    Ok((connection, catalogue))
}

/// A connection of our own.
pub async fn connect(target: &Target, user: &Identity) -> Result<Backend, NoBackend> {
    Backend::connect(target, &Arc::new(Key::plain(&user.name)), user).await
}

/// The catalogue, or why it must not be relied on.
async fn read(connection: &mut Backend) -> Result<Result<Catalogue, String>, Lost> {
    let mut rows = Rows::default();
    let excluded = SYSTEM_SCHEMAS.map(|schema| format!("'{schema}'")).join(",");
    let settings = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation', 'wsrep_on', 'sql_mode')";
    let seen = match ask(connection, "SHOW GRANTS").await? {
        Ok(grants) => Seen::of(&grants),
        Err(error) => return Ok(Err(error)),
    };
    match ask(connection, settings).await? {
        Err(error) => return Ok(Err(error)),
        Ok(settings) => {
            let is = |name: &str, value: &str| {
                settings.iter().any(|row| {
                    matches!(&row[..], [Some(known), Some(set)] if known.eq_ignore_ascii_case(name) && set.eq_ignore_ascii_case(value))
                })
            };
            if is("tx_isolation", "READ-UNCOMMITTED") || is("transaction_isolation", "READ-UNCOMMITTED") {
                return Ok(Err("read-uncommitted".to_owned()));
            }
            let modes = settings.iter().filter(|row| row.first().is_some_and(|name| name.as_deref() == Some("sql_mode")));
            if modes
                .flat_map(|row| row.get(1).cloned().flatten())
                .any(|modes| modes.split(',').any(|mode| matches!(mode, "ANSI_QUOTES" | "NO_BACKSLASH_ESCAPES")))
            {
                // Texts mean something else then than the lexer thinks.
                return Ok(Err("sql-mode".to_owned()));
            }
            if is("wsrep_on", "ON") {
                // A node may answer from before what another node has acknowledged.
                return Ok(Err("galera".to_owned()));
            }
        }
    }
    let questions: [(&mut Vec<Row>, String); 7] = [
        (
            &mut rows.tables,
            format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ({excluded})"
            ),
        ),
        (
            &mut rows.columns,
            format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA NOT IN ({excluded}) ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
            ),
        ),
        (
            &mut rows.views,
            format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN ({excluded})"
            ),
        ),
        (
            &mut rows.triggers,
            "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, ACTION_STATEMENT FROM information_schema.TRIGGERS".to_owned(),
        ),
        (
            &mut rows.references,
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE \
             FROM information_schema.REFERENTIAL_CONSTRAINTS"
                .to_owned(),
        ),
        (
            &mut rows.referenced,
            "SELECT REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
             WHERE REFERENCED_TABLE_NAME IS NOT NULL"
                .to_owned(),
        ),
        (
            &mut rows.routines,
            "SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA <> 'sys'".to_owned(),
        ),
    ];
    for (into, sql) in questions {
        match ask(connection, &sql).await? {
            Ok(answer) => *into = answer,
            Err(error) => return Ok(Err(error)),
        }
    }
    if let Seen::Databases(databases) = seen {
        let known = |row: &Row| row[0].as_ref().is_some_and(|schema| databases.contains(&schema.to_lowercase()));
        rows.partial = true;
        rows.tables.retain(known);
        rows.columns.retain(known);
        rows.views.retain(known);
    }
    Ok(Ok(Catalogue::of(&rows)))
}

/// The databases whose triggers, views and routines our user can see: information_schema leaves out what one has no rights to.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    All,
    Databases(Vec<String>),
}

impl Seen {
    fn of(grants: &[Row]) -> Seen {
        let mut databases = Vec::new();
        for line in grants.iter().filter_map(|row| row.first()?.as_ref()) {
            let Some((privileges, rest)) = line.strip_prefix("GRANT ").and_then(|line| line.split_once(" ON ")) else { continue };
            let enough = privileges == "ALL PRIVILEGES"
                || ["SELECT", "TRIGGER", "SHOW VIEW", "EXECUTE"]
                    .iter()
                    .all(|wanted| privileges.split(", ").any(|privilege| privilege == *wanted));
            let Some((place, _)) = rest.split_once(" TO ") else { continue };
            if !enough {
                continue;
            }
            if place == "*.*" {
                return Seen::All;
            }
            if let Some(name) = place.strip_suffix(".*") {
                // `my\_shop`: an underscore that is none of LIKE's.
                databases.push(name.trim_matches('`').replace('\\', "").to_lowercase());
            }
        }
        Seen::Databases(databases)
    }
}

async fn ask(connection: &mut Backend, sql: &str) -> Result<Result<Vec<Row>, String>, Lost> {
    Ok(match connection.rows(sql, CATALOGUE_ROWS_MAX).await? {
        Ok(rows) => Ok(rows),
        Err(SqlError { code, message, .. }) => {
            warn!(code, %message, sql, "the catalogue cannot be read");
            Err(format!("catalogue-error-{code}"))
        }
    })
}

/// Waits until the server's thread is gone, and makes it go. Then the outcome can no longer change: dropping the fence forgets what was kept.
async fn settle(fence: Fence, thread: Thread) {
    loop {
        if let Ok(true) = gone(&thread).await {
            return drop(fence);
        }
        sleep(RETRY).await;
    }
}

async fn gone(thread: &Thread) -> Result<bool, NoBackend> {
    let mut connection = connect(&thread.target, &thread.user).await?;
    let lost = |error| NoBackend::Unreachable { address: thread.target.address(), error };
    let look = format!("SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = {}", thread.id);
    loop {
        let rows = connection.rows(&look, 1).await.map_err(lost)?.map_err(NoBackend::Refused)?;
        let Some(row) = rows.into_iter().next() else { return Ok(true) };
        let host = row.into_iter().next().flatten().unwrap_or_default();
        // After a restart the number may be somebody else's: that one is not ours to end.
        if host.rsplit_once(':').is_some_and(|(_, port)| port == thread.port.to_string()) {
            let kill = format!("KILL {}", thread.id);
            let _ = connection.rows(&kill, 1).await.map_err(lost)?;
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(grants: &[&str]) -> Seen {
        Seen::of(&grants.iter().map(|grant| vec![Some((*grant).to_owned())]).collect::<Vec<_>>())
    }

    #[test]
    fn triggers_are_seen_by_whom_the_server_shows_them() {
        assert_eq!(seen(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"]), Seen::All);
        assert_eq!(seen(&["GRANT SELECT, INSERT, EXECUTE, SHOW VIEW, TRIGGER ON *.* TO `app`@`%`"]), Seen::All);
        assert_eq!(seen(&["GRANT SELECT, INSERT, UPDATE ON *.* TO `app`@`%`"]), Seen::Databases(vec![]));
        let one = ["GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*AB'", "GRANT ALL PRIVILEGES ON `My\\_shop`.* TO `app`@`%`"];
        assert_eq!(seen(&one), Seen::Databases(vec!["my_shop".to_owned()]));
    }
}
