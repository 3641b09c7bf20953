//! What differs between the plan that runs and the one that shall run.

use pumasi_config::{PagesMode, Plan, SqlPlan};

/// Keys that a reload cannot change, of those that differ.
pub fn needs_restart(now: &Plan, then: &Plan) -> Vec<String> {
    let mut keys = vec![];
    let mut differs = |key: &str, differs: bool| {
        if differs {
            keys.push(key.to_owned());
        }
    };
    differs("state", now.state != then.state);
    differs("log.json", now.log.json != then.log.json);
    differs("trace", now.trace != then.trace);
    differs("edge.threads", now.edge.threads != then.edge.threads);
    differs("console.listen", now.console != then.console);
    // Databases are opened with or without what tells of their reads.
    differs("edge.route.pages to or from \"automatic\"", !now.sql.is_empty() && pages_automatic(now) != pages_automatic(then));
    for (name, sql) in &now.sql {
        if let Some(new) = then.sql.get(name) {
            of_database(sql, new).for_each(|(key, changed)| differs(&format!("sql.{name}.{key}"), changed));
        }
    }
    keys
}

/// Keys of one database, and whether they differ. Only `listen` follows a reload: the rest is what its sessions were opened with.
fn of_database<'p>(now: &'p SqlPlan, then: &'p SqlPlan) -> impl Iterator<Item = (&'static str, bool)> {
    // Written out, so that a new key does not compile until it stands here, too.
    let SqlPlan {
        name: _,
        listen: _,
        engine,
        results,
        results_bytes,
        connections_max,
        server_connections_max,
        server_connections_wait,
        server_tls,
        server_authorities,
        server_compression,
        slow_log,
        deny,
        user_statements_max,
        digest_statements_max,
        tls,
        tls_required,
        users_learned_max,
        users,
        cluster,
    } = now;
    [
        ("engine", *engine != then.engine),
        ("users", *users != then.users),
        ("users_learned_max", *users_learned_max != then.users_learned_max),
        ("connections_max", *connections_max != then.connections_max),
        ("results", *results != then.results || *results_bytes != then.results_bytes),
        ("server_connections_max", *server_connections_max != then.server_connections_max),
        ("server_connections_wait", *server_connections_wait != then.server_connections_wait),
        ("server_tls", *server_tls != then.server_tls),
        ("server_authorities", *server_authorities != then.server_authorities),
        ("server_compression", *server_compression != then.server_compression),
        ("slow_log", *slow_log != then.slow_log),
        ("deny", *deny != then.deny),
        ("user_statements_max", *user_statements_max != then.user_statements_max),
        ("digest_statements_max", *digest_statements_max != then.digest_statements_max),
        ("tls_chain", *tls != then.tls),
        ("tls_required", *tls_required != then.tls_required),
        ("reads", cluster.reads != then.cluster.reads),
        ("failover", cluster.failover != then.cluster.failover),
        ("failover_after", cluster.failover_after != then.cluster.failover_after),
    ]
    .into_iter()
}

/// Whether some route keeps pages until a write changes a row they were made of.
pub fn pages_automatic(plan: &Plan) -> bool {
    plan.edge.routes.iter().any(|route| route.pages == PagesMode::Automatic)
}

/// The parts that differ, in words for the operator; empty if nothing does.
pub fn changes(now: &Plan, then: &Plan) -> Vec<String> {
    let mut changes = vec![];
    if now.edge != then.edge {
        changes.push("the edge changed".to_owned());
    }
    if now.log != then.log {
        changes.push(format!("log level {}", then.log.level));
    }
    named("pool", now.pools.iter(), then.pools.iter(), &mut changes);
    named("sql", now.sql.iter(), then.sql.iter(), &mut changes);
    changes
}

fn named<'a, T: PartialEq + 'a>(
    kind: &str,
    now: impl Iterator<Item = (&'a String, &'a T)> + Clone,
    then: impl Iterator<Item = (&'a String, &'a T)> + Clone,
    changes: &mut Vec<String>,
) {
    for (name, new) in then.clone() {
        match now.clone().find(|(other, _)| *other == name) {
            None => changes.push(format!("{kind}.{name} added")),
            Some((_, old)) if old != new => changes.push(format!("{kind}.{name} changed")),
            Some(_) => {}
        }
    }
    for (name, _) in now.filter(|(name, _)| !then.clone().any(|(other, _)| other == *name)) {
        changes.push(format!("{kind}.{name} removed"));
    }
}

#[cfg(test)]
mod tests {
    use pumasi_config::{Source, Surroundings, load};

    use super::*;

    fn plan(text: &str) -> Plan {
        let source = Source { name: "t".into(), text: text.into(), directory: "/".into() };
        load(&source, &Surroundings { cores: 1, ..Surroundings::default() }).expect("a good configuration").plan
    }

    fn check(now: &str, then: &str, expected: &str) {
        assert_eq!(changes(&plan(now), &plan(then)).join(", "), expected);
    }

    #[test]
    fn differences_are_told_by_part() {
        let app = "[pool.app]\ncommand = \"x\"\n";
        check(app, app, "");
        check(app, "[pool.app]\ncommand = \"y\"\n", "pool.app changed");
        check(app, "[pool.web]\ncommand = \"x\"\n", "the edge changed, pool.web added, pool.app removed");
        check(app, &("[sql.a]\nengine = \"embedded:a.db\"\n".to_owned() + app), "sql.a added");
        check(app, &("[log]\nlevel = \"debug\"\n".to_owned() + app), "log level debug");
    }

    #[test]
    fn what_only_a_restart_can_change_is_named() {
        let app = "[sql.a]\nengine = \"embedded:a.db\"\n[pool.app]\ncommand = \"x\"\n";
        let other = "state = \"elsewhere\"\n[sql.a]\nengine = \"embedded:b.db\"\n[console]\nlisten = \"off\"\n[edge]\nthreads = 2\n[pool.app]\ncommand = \"x\"\n";
        assert_eq!(needs_restart(&plan(app), &plan(other)), ["state", "edge.threads", "console.listen", "sql.a.engine"]);
        assert!(needs_restart(&plan(app), &plan(app)).is_empty());
        let server = "[sql.a]\nprimary = \"mysql://root@10.0.0.9\"\nreplicas = [\"mysql://root@10.0.0.10\"]\n[pool.app]\ncommand = \"x\"\n";
        let differently = server.replace("[pool", "reads = \"bounded 2s\"\nfailover = \"manual\"\ndeny = [\"DELETE FROM orders\"]\n[pool");
        assert_eq!(needs_restart(&plan(server), &plan(&differently)), ["sql.a.deny", "sql.a.reads", "sql.a.failover"]);
    }
}
