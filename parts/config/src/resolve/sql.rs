//! Databases: which engine, which servers, which certificates.

use std::{path::Path as StdPath, path::PathBuf, time::Duration};

use crate::{
    declare::{Reader, Set},
    keys::{File, Sql, User},
    plan::*,
    value::EngineName,
};

pub(super) fn resolve(name: &str, sql: &Set<Sql>, directory: &StdPath, reader: &mut Reader) -> Option<SqlPlan> {
    let keys = &sql.value;
    let engine = match (&keys.engine.value, &keys.primary.value) {
        (Some(_), Some(_)) => {
            reader.problem(&keys.primary.origin, &sql.path, "has both engine and primary", "Keep the one that shall hold the data.");
            return None;
        }
        (None, None) => {
            let remedy = format!("Write engine = \"embedded:{name}.db\", or primary = \"mysql://USER@HOST/DATABASE\".");
            reader.problem(&sql.origin, &sql.path, "has neither engine nor primary", remedy);
            return None;
        }
        (Some(engine), None) => {
            if keys.replicas.written() {
                let remedy = "Remove it, or write primary instead of engine.";
                let what = match engine {
                    EngineName::Embedded { .. } => "the embedded engine has no replicas",
                    EngineName::MariaDb { .. } => "the engine has the replicas that it names",
                };
                reader.problem(&keys.replicas.origin, &keys.replicas.path, what, remedy);
            }
            match engine {
                EngineName::Embedded { file } => {
                    check_only_for_servers(keys, reader);
                    EnginePlan::Embedded { file: file.clone() }
                }
                EngineName::MariaDb { replicas, database } => {
                    EnginePlan::Local { replicas: *replicas, database: database.clone(), redo_log_bytes: redo_log(keys, reader) }
                }
            }
        }
        (None, Some(primary)) => {
            check_server_tls(keys, reader);
            EnginePlan::Servers {
                primary: primary.0.clone(),
                replicas: keys.replicas.value.0.iter().map(|replica| replica.value.0.clone()).collect(),
            }
        }
    };
    check_of_clusters(keys, &engine, reader);
    let users = &keys.users.value.0;
    for (i, user) in users.iter().enumerate() {
        let name = &user.value.name;
        if users[..i].iter().any(|other| other.value.name.value == name.value) {
            reader.problem(&name.origin, &name.path, format!("{:?} is listed twice", name.value), "Remove one of them.");
        }
        let (password, at_server) = (&user.value.password, &user.value.server_password);
        let key = matches!(password.value, SqlPassword::Ed25519Key { .. });
        let servers = !matches!(engine, EnginePlan::Embedded { .. });
        if key && servers && at_server.value.is_none() {
            let remedy = "Add server_password, by which the server lets Pumasi in as this user, or write the password instead of the key.";
            reader.problem(&password.origin, &password.path, "lets the user in here, and Pumasi nowhere", remedy);
        }
        if at_server.value.is_some() && !(key && servers) {
            let remedy = "Remove it, or write password = \"ed25519:...\".";
            reader.problem(&at_server.origin, &at_server.path, "is for users of servers whose password is a public key", remedy);
        }
    }
    let listen = keys.listen.value.0;
    if users.is_empty() && !listen.ip().is_loopback() && !matches!(engine, EnginePlan::Servers { .. }) {
        let remedy = format!("Add users = [{{ name = \"app\", password = \"...\" }}], or listen on 127.0.0.1:{}.", listen.port());
        reader.problem(
            &keys.listen.origin,
            &keys.listen.path,
            format!("\"{listen}\" can be reached from other machines, but there are no users who could log in from there"),
            remedy,
        );
    }
    Some(SqlPlan {
        name: name.to_owned(),
        listen,
        engine,
        results: keys.results.value,
        results_bytes: keys.results_memory.value.0,
        connections_max: keys.connections_max.value.0 as usize,
        server_connections_max: keys.server_connections_max.value.0 as usize,
        server_connections_wait: keys.server_connections_wait.value.0,
        server_tls: keys.server_tls.value,
        server_authorities: keys.server_authorities.value.as_ref().map(|path| directory.join(&path.0)),
        server_compression: keys.server_compression.value,
        slow_log: keys.slow_log.value.map(|span| span.0),
        deny: keys.deny.value.0.iter().map(|sql| sql.value.clone()).collect(),
        user_statements_max: keys.user_statements_max.value.map(|count| count.0 as usize),
        digest_statements_max: keys.digest_statements_max.value.map(|count| count.0 as usize),
        tls: resolve_sql_tls(keys, directory, reader),
        tls_required: keys.tls_required.value,
        users_learned_max: keys.users_learned_max.value.map(|count| count.0 as usize),
        users: users.iter().map(|user| sql_user(&user.value)).collect(),
        cluster: ClusterPlan {
            reads: keys.reads.value.unwrap_or(ReadsMode::Fresh),
            failover: keys.failover.value.unwrap_or(FailoverMode::Automatic),
            failover_after: keys.failover_after.value.as_ref().map_or(FAILOVER_AFTER, |span| span.0),
        },
    })
}

fn sql_user(user: &User) -> SqlUser {
    let mut password = user.password.value.clone();
    if let (SqlPassword::Ed25519Key { at_server, .. }, Some(secret)) = (&mut password, &user.server_password.value) {
        *at_server = Some(secret.0.clone());
    }
    SqlUser { name: user.name.value.clone(), password }
}

/// What means nothing to the embedded engine is refused rather than ignored.
fn check_only_for_servers(keys: &Sql, reader: &mut Reader) {
    let written = [
        keys.server_connections_max.written().then_some((&keys.server_connections_max.origin, &keys.server_connections_max.path)),
        keys.server_connections_wait.written().then_some((&keys.server_connections_wait.origin, &keys.server_connections_wait.path)),
        keys.server_tls.written().then_some((&keys.server_tls.origin, &keys.server_tls.path)),
        keys.server_authorities.written().then_some((&keys.server_authorities.origin, &keys.server_authorities.path)),
        keys.server_compression.written().then_some((&keys.server_compression.origin, &keys.server_compression.path)),
        keys.slow_log.written().then_some((&keys.slow_log.origin, &keys.slow_log.path)),
        keys.deny.written().then_some((&keys.deny.origin, &keys.deny.path)),
        keys.user_statements_max.written().then_some((&keys.user_statements_max.origin, &keys.user_statements_max.path)),
        keys.digest_statements_max.written().then_some((&keys.digest_statements_max.origin, &keys.digest_statements_max.path)),
        keys.users_learned_max.written().then_some((&keys.users_learned_max.origin, &keys.users_learned_max.path)),
        keys.tls_chain.written().then_some((&keys.tls_chain.origin, &keys.tls_chain.path)),
        keys.tls_key.written().then_some((&keys.tls_key.origin, &keys.tls_key.path)),
        keys.tls_required.written().then_some((&keys.tls_required.origin, &keys.tls_required.path)),
    ];
    for (origin, path) in written.into_iter().flatten() {
        reader.problem(origin, path, "is for the proxy in front of a real server, and the embedded engine is none", "Remove it.");
    }
}

/// Both files or none.
fn resolve_sql_tls(keys: &Sql, directory: &StdPath, reader: &mut Reader) -> Option<CertificatePlan> {
    match (&keys.tls_chain.value, &keys.tls_key.value) {
        (Some(chain), Some(key)) => Some(CertificatePlan { chain: directory.join(&chain.0), key: directory.join(&key.0) }),
        (None, None) => {
            if keys.tls_required.value {
                let remedy = "Add tls_chain and tls_key, or remove it.";
                reader.problem(&keys.tls_required.origin, &keys.tls_required.path, "there is no certificate to answer with", remedy);
            }
            None
        }
        (Some(_), None) => {
            reader.problem(&keys.tls_chain.origin, &keys.tls_chain.path, "has no key beside it", "Add tls_key, or remove tls_chain.");
            None
        }
        (None, Some(_)) => {
            reader.problem(&keys.tls_key.origin, &keys.tls_key.path, "has no certificate beside it", "Add tls_chain, or remove tls_key.");
            None
        }
    }
}

fn check_server_tls(keys: &Sql, reader: &mut Reader) {
    if keys.server_tls.value == ServerTls::Verified && keys.server_authorities.value.is_none() {
        let remedy = "Add server_authorities, or write \"encrypted\".";
        reader.problem(&keys.server_tls.origin, &keys.server_tls.path, "there is nothing to verify certificates against", remedy);
    }
}

/// Two of the heartbeats that a replica of a local cluster waits for, and long beyond a pause for breath.
const FAILOVER_AFTER: Duration = Duration::from_secs(2);

/// Holds minutes of a developer's writes, and three of them do not fill a small disk.
const REDO_LOG_BYTES: u64 = 16 << 20;

/// The least that InnoDB takes.
const REDO_LOG_BYTES_MIN: u64 = 4 << 20;

fn redo_log(keys: &Sql, reader: &mut Reader) -> u64 {
    let bytes = keys.redo_log.value.as_ref().map_or(REDO_LOG_BYTES, |bytes| bytes.0);
    if bytes < REDO_LOG_BYTES_MIN {
        let what = format!("{bytes} bytes are less than a server takes");
        reader.problem(&keys.redo_log.origin, &keys.redo_log.path, what, "Write at least \"4MiB\".");
    }
    bytes
}

/// Keys that the engine would accept and ignore are refused.
fn check_of_clusters(keys: &Sql, engine: &EnginePlan, reader: &mut Reader) {
    let mut refuse = |written: bool, origin, path: &str, what: &str| {
        if written {
            reader.problem(origin, path, what, "Remove it.");
        }
    };
    if !matches!(engine, EnginePlan::Local { .. }) {
        let what = "only servers that Pumasi starts have a redo log that it can size";
        refuse(keys.redo_log.written(), &keys.redo_log.origin, &keys.redo_log.path, what);
    }
    if matches!(engine, EnginePlan::Local { .. }) {
        let what = "servers that Pumasi starts are on the loopback and spoken to in the clear";
        refuse(keys.server_tls.written(), &keys.server_tls.origin, &keys.server_tls.path, what);
        refuse(keys.server_authorities.written(), &keys.server_authorities.origin, &keys.server_authorities.path, what);
        refuse(keys.server_compression.written(), &keys.server_compression.origin, &keys.server_compression.path, what);
    }
    let alone = match engine {
        EnginePlan::Embedded { .. } => true,
        EnginePlan::Servers { replicas, .. } => replicas.is_empty(),
        EnginePlan::Local { replicas, .. } => *replicas == 0,
    };
    if alone {
        let what = "there are no replicas";
        refuse(keys.reads.written(), &keys.reads.origin, &keys.reads.path, what);
        refuse(keys.failover.written(), &keys.failover.origin, &keys.failover.path, what);
        refuse(keys.failover_after.written(), &keys.failover_after.origin, &keys.failover_after.path, what);
    }
}

/// Two engines on one file would each believe that they alone write it.
pub(super) fn check_engines(file: &File, reader: &mut Reader) {
    let mut seen: Vec<(PathBuf, &str)> = vec![];
    for sql in file.sql.value.0.values().flatten() {
        let Some(EngineName::Embedded { file }) = &sql.value.engine.value else { continue };
        if let Some((_, first)) = seen.iter().find(|(other, _)| other == file) {
            let key = &sql.value.engine;
            let what = format!("{} is already the file of {first}", file.display());
            reader.problem(&key.origin, &key.path, what, "Give each database a file of its own.");
        }
        seen.push((file.clone(), &sql.path));
    }
}
