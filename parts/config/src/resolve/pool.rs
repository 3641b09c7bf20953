//! Pools: workers or upstreams, how they are balanced, probed and kept to.

use std::path::Path as StdPath;

use super::check_not_zero;
use crate::{
    Surroundings,
    declare::{Reader, Set},
    keys::{File, Pool, Probe, Route, Sticky},
    nearest::nearest,
    plan::*,
    problem::Origin,
    template::{Hole, Template},
    value::{Command, Span},
};

pub(super) fn resolve(
    name: &str,
    pool: &Set<Pool>,
    file: &File,
    directory: &StdPath,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<PoolPlan> {
    let keys = &pool.value;
    let members = match (&keys.command.value, &keys.upstreams.value.0[..]) {
        (Some(_), [_, ..]) => {
            let remedy = "Keep command if Pumasi shall run the processes, upstreams if they run elsewhere.";
            reader.problem(&keys.upstreams.origin, &pool.path, "has both command and upstreams", remedy);
            return None;
        }
        (None, []) => {
            let remedy = "Write command = \"...\" to let Pumasi run your application, or upstreams = [\"host:port\"].";
            reader.problem(&pool.origin, &pool.path, "has neither command nor upstreams", remedy);
            return None;
        }
        (None, upstreams) => {
            check_no_worker_keys(keys, reader);
            check_upstreams_differ(keys, reader);
            check_not_zero(&keys.resolve_every, reader);
            let plan = |upstream: &Set<crate::value::UpstreamSpec>| UpstreamPlan {
                address: upstream.value.address.clone(),
                weight: upstream.value.weight,
            };
            Members::Upstreams(upstreams.iter().map(plan).collect())
        }
        (Some(command), []) => {
            if keys.resolve_every.written() {
                let remedy = "Remove it, or write upstreams instead of command.";
                reader.problem(&keys.resolve_every.origin, &keys.resolve_every.path, "is about names, and workers have none", remedy);
            }
            Members::Workers(resolve_workers(keys, command, file, directory, surroundings, reader))
        }
    };
    let sticky = keys.sticky.value.as_ref().map(|sticky| resolve_sticky(sticky, name, file, reader));
    Some(PoolPlan {
        name: name.to_owned(),
        members,
        wire: WirePlan {
            protocol: keys.protocol.value,
            tls: keys.tls.value.as_ref().map(|tls| UpstreamTlsPlan {
                authorities: tls.authorities.value.as_ref().map(|path| directory.join(&path.0)),
                name: tls.name.value.as_ref().map(|name| name.0.clone()),
                certificate: tls
                    .certificate
                    .value
                    .as_ref()
                    .map(|c| CertificatePlan { chain: directory.join(&c.chain.value.0), key: directory.join(&c.key.value.0) }),
            }),
        },
        resolve_every: keys.resolve_every.value.0,
        sticky,
        attribution: keys.attribution.value,
        policy: keys.policy.value,
        probe: keys.probe.value.as_ref().map(|probe| resolve_probe(probe, reader)),
        eject_after: keys.eject_after.value.0,
        eject_for: keys.eject_for.value.0,
        concurrency_max: keys.concurrency_max.value.map(|count| count.0),
        queue_max: keys.queue_max.value.0 as usize,
        hash_by: keys.hash_by.value.clone(),
        hash_bound_percent: keys.hash_bound.value.map(|count| count.0),
        slow_start: keys.slow_start.value.0,
        ejected_percent_max: keys.ejected_max.value.0,
        retry_percent: keys.retry_percent.value.0,
        queue_timeout: keys.queue_timeout.value.0,
    })
}

fn resolve_sticky(sticky: &Sticky, pool: &str, file: &File, reader: &mut Reader) -> StickyPlan {
    /// Of a key for HMAC-SHA-256 that is written by hand: fewer characters hold less than the signature promises.
    const KEY_LENGTH_MIN: usize = 32;
    check_not_zero(&sticky.lasts, reader);
    let key = sticky.key.value.as_ref().map(|key| key.0.clone());
    if key.as_ref().is_some_and(|key| key.len() < KEY_LENGTH_MIN) {
        let what = format!("has fewer than {KEY_LENGTH_MIN} characters");
        reader.problem(&sticky.key.origin, &sticky.key.path, what, "Write a longer one, or remove the key: a random one is made and kept.");
    }
    let keeps = |route: &&Set<Route>| route.value.pool.value.as_deref() == Some(pool) && route.value.pages.value != PagesMode::Off;
    if let Some(route) = file.edge.value.route.value.0.iter().find(keeps) {
        let what = format!("pages of pool {pool:?} are kept for everybody, and its clients are told apart by a cookie");
        let remedy = "Remove pages here, or sticky from the pool; a route of its own may keep what is the same for everybody.";
        reader.problem(&route.value.pages.origin, &route.value.pages.path, what, remedy);
    }
    StickyPlan { cookie: sticky.cookie.value.0.clone(), lasts: sticky.lasts.value.0, key }
}

/// Keys that would be accepted and ignored are refused.
fn check_no_worker_keys(pool: &Pool, reader: &mut Reader) {
    let written: [(&Origin, &str); 8] = [
        (&pool.workers.origin, &pool.workers.path),
        (&pool.env.origin, &pool.env.path),
        (&pool.attribution.origin, &pool.attribution.path),
        (&pool.directory.origin, &pool.directory.path),
        (&pool.ready_timeout.origin, &pool.ready_timeout.path),
        (&pool.stop_timeout.origin, &pool.stop_timeout.path),
        (&pool.early_deaths_max.origin, &pool.early_deaths_max.path),
        (&pool.stable_after.origin, &pool.stable_after.path),
    ];
    for (origin, path) in written.into_iter().filter(|(origin, _)| **origin != Origin::Default) {
        reader.problem(
            origin,
            path,
            "is about processes that Pumasi runs, and this pool has upstreams",
            "Remove it, or write command instead of upstreams.",
        );
    }
}

fn check_upstreams_differ(pool: &Pool, reader: &mut Reader) {
    let upstreams = &pool.upstreams.value.0;
    for (i, upstream) in upstreams.iter().enumerate() {
        if upstreams[..i].iter().any(|other| other.value.address == upstream.value.address) {
            let remedy = "Remove one, or give it a weight: { address = \"...\", weight = 2 }.";
            reader.problem(&upstream.origin, &upstream.path, format!("{:?} is listed twice", upstream.value.address), remedy);
        }
    }
}

fn resolve_workers(
    pool: &Pool,
    command: &Command,
    file: &File,
    directory: &StdPath,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> WorkersPlan {
    let command = match command {
        Command::Shell(text) => CommandPlan::Shell(text.clone()),
        Command::Program(arguments) => {
            for argument in arguments {
                check_holes(argument, &pool.command.origin, &pool.command.path, file, surroundings, reader);
            }
            CommandPlan::Program(arguments.clone())
        }
    };
    for variable in pool.env.value.0.values() {
        check_holes(&variable.value, &variable.origin, &variable.path, file, surroundings, reader);
    }
    let span = |key: &Set<Option<Span>>, default: u64| key.value.map_or(std::time::Duration::from_secs(default), |span| span.0);
    WorkersPlan {
        command,
        workers: pool.workers.value.map_or(2, |count| count.0 as usize),
        env: pool.env.value.0.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect(),
        directory: match &pool.directory.value {
            Some(path) => directory.join(&path.0),
            None => directory.to_path_buf(),
        },
        ready_timeout: span(&pool.ready_timeout, 30),
        stop_timeout: span(&pool.stop_timeout, 10),
        early_deaths_max: pool.early_deaths_max.value.map_or(5, |count| count.0),
        stable_after: span(&pool.stable_after, 10),
    }
}

fn check_holes(text: &Template, origin: &Origin, path: &str, file: &File, surroundings: &Surroundings, reader: &mut Reader) {
    let databases = &file.sql.value.0;
    for hole in text.holes() {
        match hole {
            Hole::SqlHost(name) | Hole::SqlPort(name) if !databases.contains_key(name) => {
                let remedy = match nearest(name, databases.keys().map(String::as_str)) {
                    Some(near) => format!("Did you mean {}?", hole.to_string().replacen(&format!(".{name}."), &format!(".{near}."), 1)),
                    None => format!("Add [sql.{name}] with an engine."),
                };
                reader.problem(origin, path, format!("{hole}: there is no [sql.{name}]"), remedy);
            }
            Hole::Env(name) if !surroundings.environment.contains_key(name) => {
                let remedy = format!("Set {name} before starting Pumasi, or write the value here.");
                reader.problem(origin, path, format!("{hole}: the environment has no {name}"), remedy);
            }
            _ => {}
        }
    }
}

fn resolve_probe(probe: &Probe, reader: &mut Reader) -> ProbePlan {
    check_not_zero(&probe.every, reader);
    check_not_zero(&probe.timeout, reader);
    if probe.path.value.0.ends_with("/*") {
        let what = format!("{:?} is a pattern", probe.path.value.0);
        reader.problem(&probe.path.origin, &probe.path.path, what, "Write one path, such as \"/health\".");
    }
    if probe.status_min.value.0 > probe.status_max.value.0 {
        let what = format!("{} is more than status_max ({})", probe.status_min.value.0, probe.status_max.value.0);
        let origin = probe.status_min.origin_or(&probe.status_max.origin);
        reader.problem(&origin, &probe.status_min.path, what, "No status could be a success: lower it or raise status_max.");
    }
    let asks = match probe.kind.value {
        ProbeKind::Tcp => {
            check_no_http_keys(probe, reader);
            ProbeAsks::Tcp
        }
        ProbeKind::Http => ProbeAsks::Http(HttpProbe {
            path: probe.path.value.0.clone(),
            host: probe.host.value.as_ref().map(|host| host.0.clone()),
            status_min: probe.status_min.value.0 as u16,
            status_max: probe.status_max.value.0 as u16,
            contains: probe.contains.value.clone(),
        }),
    };
    ProbePlan { asks, every: probe.every.value.0, timeout: probe.timeout.value.0 }
}

/// Keys that would be accepted and ignored are refused.
fn check_no_http_keys(probe: &Probe, reader: &mut Reader) {
    let written: [(&Origin, &str); 5] = [
        (&probe.path.origin, &probe.path.path),
        (&probe.host.origin, &probe.host.path),
        (&probe.status_min.origin, &probe.status_min.path),
        (&probe.status_max.origin, &probe.status_max.path),
        (&probe.contains.origin, &probe.contains.path),
    ];
    for (origin, path) in written.into_iter().filter(|(origin, _)| **origin != Origin::Default) {
        let what = "is about an HTTP answer, and this probe only opens a connection (kind = \"tcp\")";
        reader.problem(origin, path, what, "Remove it, or write kind = \"http\".");
    }
}
