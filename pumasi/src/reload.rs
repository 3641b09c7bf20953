//! What differs between the plan that runs and the one that shall run.

use pumasi_config::{PagesMode, Plan};

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
            differs(&format!("sql.{name}.engine"), sql.engine != new.engine);
            differs(&format!("sql.{name}.users"), sql.users != new.users);
            differs(&format!("sql.{name}.connections_max"), sql.connections_max != new.connections_max);
            differs(&format!("sql.{name}.results"), sql.results != new.results || sql.results_bytes != new.results_bytes);
        }
    }
    keys
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
    }
}
