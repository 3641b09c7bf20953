//! From what was written to what the tiers are started with: defaults that depend on others, references, contradictions.

mod edge;
mod listeners;
mod pool;
mod sql;

use std::{collections::BTreeMap, path::Path as StdPath};

use crate::{
    Surroundings,
    declare::{Reader, Set},
    keys::{Console, File, Log, Trace},
    plan::*,
    value::{AddressOrOff, Span},
};

/// `None` after a problem was reported.
pub(crate) fn resolve(file: &File, directory: &StdPath, surroundings: &Surroundings, reader: &mut Reader) -> Option<Plan> {
    let state = directory.join(&file.state.value.0);
    let pools: BTreeMap<String, PoolPlan> = file
        .pool
        .value
        .0
        .iter()
        .filter_map(|(name, pool)| Some((name.clone(), pool::resolve(name, pool.as_ref()?, file, directory, surroundings, reader)?)))
        .collect();
    let sql: BTreeMap<String, SqlPlan> = file
        .sql
        .value
        .0
        .iter()
        .filter_map(|(name, sql)| Some((name.clone(), sql::resolve(name, sql.as_ref()?, directory, reader)?)))
        .collect();
    let edge = edge::resolve(&file.edge, &file.log.value, file, directory, surroundings, reader);
    listeners::check(file, reader);
    sql::check_engines(file, reader);
    Some(Plan {
        state,
        log: resolve_log(&file.log.value),
        trace: resolve_trace(&file.trace.value),
        edge,
        pools,
        sql,
        console: resolve_console(&file.console.value),
    })
}

fn resolve_log(log: &Log) -> LogPlan {
    LogPlan { level: log.level.value.0.clone(), json: log.json.value }
}

fn resolve_trace(trace: &Trace) -> TracePlan {
    let collector = trace.otlp.value.as_ref().map(|url| (url.authority.clone(), url.path.clone()));
    TracePlan { collector, one_in: trace.one_in.value.0 }
}

fn resolve_console(console: &Console) -> Option<ConsolePlan> {
    match console.listen.value {
        AddressOrOff::Off => None,
        AddressOrOff::Address(listen) => Some(ConsolePlan { listen }),
    }
}

fn check_not_zero(timeout: &Set<Span>, reader: &mut Reader) {
    if timeout.value.0.is_zero() {
        reader.problem(&timeout.origin, &timeout.path, "is no time at all", "Choose a duration above zero, such as \"10s\".");
    }
}
