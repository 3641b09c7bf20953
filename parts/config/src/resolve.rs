//! From what was written to what the tiers are started with: defaults that depend on others, references, contradictions.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path as StdPath, PathBuf},
    time::Duration,
};

use crate::{
    Surroundings,
    declare::{Reader, Set},
    keys::{Console, Edge, File, Limits, Log, Pages, Pool, Probe, Route, Sql, Sticky, Tcp, Tls, Trace},
    nearest::nearest,
    plan::*,
    problem::Origin,
    template::{Hole, Template},
    value::{AddressOrOff, Command, EngineName, Span},
};

/// `None` after a problem was reported.
pub(crate) fn resolve(file: &File, directory: &StdPath, surroundings: &Surroundings, reader: &mut Reader) -> Option<Plan> {
    let state = directory.join(&file.state.value.0);
    let pools: BTreeMap<String, PoolPlan> = file
        .pool
        .value
        .0
        .iter()
        .filter_map(|(name, pool)| Some((name.clone(), resolve_pool(name, pool.as_ref()?, file, directory, surroundings, reader)?)))
        .collect();
    let sql: BTreeMap<String, SqlPlan> = file
        .sql
        .value
        .0
        .iter()
        .filter_map(|(name, sql)| Some((name.clone(), resolve_sql(name, sql.as_ref()?, directory, reader)?)))
        .collect();
    let edge = resolve_edge(&file.edge, &file.log.value, file, directory, surroundings, reader);
    check_listeners(file, reader);
    check_engines(file, reader);
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

// === Edge ===

fn resolve_edge(
    edge: &Set<Edge>,
    log: &Log,
    file: &File,
    directory: &StdPath,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> EdgePlan {
    let pools = &file.pool.value.0;
    let only_sql = pools.is_empty() && !file.sql.value.0.is_empty() && !edge.written();
    let files = edge.value.route.value.0.iter().any(|route| route.value.files.value.is_some());
    if pools.is_empty() && !only_sql && !files {
        let remedy = "Add [pool.app] with a command or with upstreams, or start one with `pumasi run -- COMMAND`.";
        reader.problem(&edge.origin, "pool", "there is no [pool.NAME], so nothing could answer a request", remedy);
    }
    let threads = edge.value.threads.value.map_or(surroundings.cores.max(1), |count| count.0 as usize);
    EdgePlan {
        listen: if only_sql { vec![] } else { edge.value.listen.value.0.iter().map(|address| address.value.0).collect() },
        tls: resolve_tls(&edge.value.tls, directory, reader),
        tcp: resolve_tcp(&edge.value, file, reader),
        proxy_protocol: edge.value.proxy_protocol.value,
        trusted_proxies: edge.value.trusted_proxies.value.0.iter().map(|network| network.value).collect(),
        proxy_protocol_from_trusted: edge.value.trusted_proxies.written(),
        threads,
        routes: resolve_routes(&edge.value, file, directory, reader),
        limits: resolve_limits(&edge.value.limits.value, reader),
        access_log: log.access.value,
        pages: resolve_pages(&edge.value.pages.value, directory, reader),
    }
}

fn resolve_tls(tls: &Set<Tls>, directory: &StdPath, reader: &mut Reader) -> Option<TlsPlan> {
    let keys = &tls.value;
    let listen: Vec<SocketAddr> = keys.listen.value.0.iter().map(|address| address.value.0).collect();
    let certificates: Vec<CertificatePlan> = keys
        .certificate
        .value
        .0
        .iter()
        .map(|c| CertificatePlan { chain: directory.join(&c.value.chain.value.0), key: directory.join(&c.value.key.value.0) })
        .collect();
    match (listen.is_empty(), certificates.is_empty()) {
        (true, true) => return None,
        (false, false) => {}
        (false, true) => {
            let remedy = "Add [[edge.tls.certificate]] with chain and key, or remove listen.";
            reader.problem(&keys.listen.origin, &keys.listen.path, "there is no certificate to answer with", remedy);
        }
        (true, false) => {
            let remedy = "Add listen = [\"0.0.0.0:443\"] under [edge.tls], or remove the certificates.";
            reader.problem(&keys.certificate.origin, &keys.certificate.path, "HTTPS is accepted nowhere", remedy);
        }
    }
    let client_authorities = keys.client_authorities.value.as_ref().map(|path| directory.join(&path.0));
    Some(TlsPlan { listen, certificates, client_authorities, http2: keys.http2.value })
}

fn resolve_tcp(edge: &Edge, file: &File, reader: &mut Reader) -> Vec<TcpPlan> {
    let ports = &edge.tcp.value.0;
    ports.iter().for_each(|tcp| check_pool(&tcp.value.pool.value, &tcp.value.pool, file.pool.value.0.keys(), reader));
    let plan = |tcp: &Tcp| TcpPlan {
        listen: tcp.listen.value.0,
        names: tcp.names.value.0.iter().map(|name| name.value.0.clone()).collect(),
        pool: tcp.pool.value.clone(),
        send: tcp.send_proxy_protocol.value,
    };
    check_names(ports, reader);
    ports.iter().map(|tcp| plan(&tcp.value)).collect()
}

/// At one address, a name leads to one section, and so does every other name.
fn check_names(ports: &[Set<Tcp>], reader: &mut Reader) {
    for (i, tcp) in ports.iter().enumerate() {
        let listen = tcp.value.listen.value.0;
        let others = || ports[..i].iter().filter(|other| listen.port() != 0 && other.value.listen.value.0 == listen);
        for name in &tcp.value.names.value.0 {
            let taken = others().find(|other| other.value.names.value.0.iter().any(|known| known.value.0 == name.value.0));
            if let Some(other) = taken {
                let what = format!("{:?} leads to {} already", name.value.0, other.path);
                reader.problem(&name.origin, &name.path, what, "Remove one of them: only one pool can get the connection.");
            }
        }
    }
}

fn resolve_routes(edge: &Edge, file: &File, directory: &StdPath, reader: &mut Reader) -> Vec<RoutePlan> {
    let pools = &file.pool.value.0;
    let routes = &edge.route.value.0;
    if routes.is_empty() {
        return match pools.keys().collect::<Vec<_>>()[..] {
            [] => vec![],
            [only] => vec![RoutePlan { host: None, path: "/*".into(), pool: only.clone(), pages: PagesMode::Off, files: None }],
            [..] => {
                let names = pools.keys().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
                let remedy = "Add an [[edge.route]] with path and pool for each.";
                reader.problem(&file.edge.origin, "edge.route", format!("there are several pools ({names}) and no route"), remedy);
                vec![]
            }
        };
    }
    for (i, route) in routes.iter().enumerate() {
        check_target(route, pools.keys(), reader);
        let same = |other: &&Set<Route>| route_of(&other.value) == route_of(&route.value);
        if let Some(first) = routes[..i].iter().find(same) {
            let what = format!("the same host and path as {}", first.path);
            reader.problem(&route.value.path.origin_or(&route.origin), &route.path, what, "Remove one of them: only one can answer.");
        }
    }
    for (name, pool) in pools {
        if let Some(pool) = pool
            && !routes.iter().any(|route| route.value.pool.value.as_ref() == Some(name))
            && !edge.tcp.value.0.iter().any(|tcp| tcp.value.pool.value == *name)
        {
            let remedy = format!("Add an [[edge.route]] with pool = {name:?}, or remove the pool.");
            reader.problem(&pool.origin, &pool.path, "no route leads to this pool", remedy);
        }
    }
    routes.iter().map(|route| resolve_route(&route.value, directory)).collect()
}

impl<T> Set<T> {
    /// Where the value was written, or else where its table was.
    fn origin_or(&self, table: &Origin) -> Origin {
        if self.written() { self.origin.clone() } else { table.clone() }
    }
}

fn route_of(route: &Route) -> (Option<&str>, &str) {
    (route.host.value.as_ref().map(|host| host.0.as_str()), &route.path.value.0)
}

/// Either a pool or files, and nothing that makes sense only for the other.
fn check_target<'a>(route: &Set<Route>, pools: impl Iterator<Item = &'a String> + Clone, reader: &mut Reader) {
    let keys = &route.value;
    match (&keys.pool.value, &keys.files.value) {
        (Some(name), None) => check_pool(name, &keys.pool, pools, reader),
        (None, Some(_)) if keys.pages.value == PagesMode::Automatic => {
            let remedy = "Write pages = \"standard\" and files_cache_control = \"max-age=60\", or leave both out.";
            reader.problem(&keys.pages.origin, &keys.pages.path, "files are not made of database rows", remedy);
        }
        (None, Some(_)) => {}
        (Some(_), Some(_)) => {
            reader.problem(
                &keys.files.origin,
                &keys.files.path,
                "the route has a pool as well",
                "Remove one of them: only one can answer.",
            );
        }
        (None, None) => reader.problem(&route.origin, &keys.pool.path, "nothing answers", "Add pool = \"NAME\", or files = \"DIRECTORY\"."),
    }
}

fn check_pool<'a, T>(name: &String, pool: &Set<T>, pools: impl Iterator<Item = &'a String> + Clone, reader: &mut Reader) {
    if pools.clone().any(|pool| pool == name) {
        return;
    }
    let remedy = match nearest(name, pools.clone().map(String::as_str)) {
        Some(near) => format!("Did you mean {near:?}?"),
        None => format!("Add [pool.{name}], or name one of: {}.", list(pools)),
    };
    reader.problem(&pool.origin, &pool.path, format!("{name:?}: there is no [pool.{name}]"), remedy);
}

fn resolve_route(route: &Route, directory: &StdPath) -> RoutePlan {
    RoutePlan {
        host: route.host.value.as_ref().map(|host| host.0.clone()),
        path: route.path.value.0.clone(),
        pool: route.pool.value.clone().unwrap_or_default(),
        pages: route.pages.value,
        files: route.files.value.as_ref().map(|path| FilesPlan {
            directory: directory.join(&path.0),
            cache_control: route.files_cache_control.value.clone(),
            precompressed: route.files_precompressed.value,
        }),
    }
}

fn resolve_limits(limits: &Limits, reader: &mut Reader) -> EdgeLimits {
    for timeout in [
        &limits.header_timeout,
        &limits.idle_timeout,
        &limits.body_idle_timeout,
        &limits.tunnel_idle_timeout,
        &limits.connect_timeout,
        &limits.first_byte_timeout,
    ] {
        check_not_zero(timeout, reader);
    }
    /// A head must fit at least an ordinary browser's request; and it is held in memory for each connection.
    const HEADER_BYTES: std::ops::RangeInclusive<u64> = 1024..=1 << 20;
    let header_bytes = limits.header_bytes_max.value.0;
    if !HEADER_BYTES.contains(&header_bytes) {
        let what = format!("{header_bytes} bytes is out of range");
        reader.problem(&limits.header_bytes_max.origin, &limits.header_bytes_max.path, what, "Choose a size from 1KiB to 1MiB.");
    }
    EdgeLimits {
        connections_max: limits.connections_max.value.0 as usize,
        header_bytes_max: header_bytes as usize,
        headers_max: limits.headers_max.value.0 as usize,
        header_timeout: limits.header_timeout.value.0,
        idle_timeout: limits.idle_timeout.value.0,
        body_idle_timeout: limits.body_idle_timeout.value.0,
        tunnel_idle_timeout: limits.tunnel_idle_timeout.value.0,
        body_rate_min: limits.body_rate_min.value.0,
        body_bytes_max: limits.body_bytes_max.value.0,
        connect_timeout: limits.connect_timeout.value.0,
        first_byte_timeout: limits.first_byte_timeout.value.0,
        upstream_idle_max: limits.upstream_idle_max.value.0 as usize,
        upstream_idle_timeout: limits.upstream_idle_timeout.value.0,
        drain_timeout: limits.drain_timeout.value.0,
    }
}

fn check_not_zero(timeout: &Set<Span>, reader: &mut Reader) {
    if timeout.value.0.is_zero() {
        reader.problem(&timeout.origin, &timeout.path, "is no time at all", "Choose a duration above zero, such as \"10s\".");
    }
}

fn resolve_pages(pages: &Pages, directory: &StdPath, reader: &mut Reader) -> PagesPlan {
    /// Below this the disk tier's segments would be too few to drop one at a time.
    const DISK_MIN: u64 = 4 << 20;
    if pages.disk.value.is_some() && pages.disk_size.value.0 < DISK_MIN {
        let what = format!("{} bytes is too little", pages.disk_size.value.0);
        reader.problem(
            &pages.disk_size.origin_or(&pages.disk.origin),
            &pages.disk_size.path,
            what,
            "Choose 4MiB or more, or remove edge.pages.disk.",
        );
    }
    if pages.object_max.value.0 > pages.memory.value.0 {
        let what = format!("{} bytes is more than the whole store ({} bytes)", pages.object_max.value.0, pages.memory.value.0);
        let origin = pages.object_max.origin_or(&pages.memory.origin);
        reader.problem(&origin, &pages.object_max.path, what, "Raise edge.pages.memory, or lower this.");
    }
    PagesPlan {
        memory_bytes: pages.memory.value.0,
        object_bytes_max: pages.object_max.value.0,
        ignore_cookies: pages.ignore_cookies.value.0.iter().map(|cookie| cookie.value.clone()).collect(),
        waiters_max: pages.waiters_max.value.0 as usize,
        wait_max: pages.wait_max.value.0,
        eviction: pages.eviction.value,
        stale_if_error: pages.stale_if_error.value.0,
        stale_while_revalidate: pages.stale_while_revalidate.value.0,
        missing_for: pages.missing_for.value.0,
        disk: pages.disk.value.as_ref().map(|path| DiskPlan { directory: directory.join(&path.0), bytes: pages.disk_size.value.0 }),
        compress: pages.compress.value.0.iter().map(|coding| coding.value).collect(),
        compress_bytes_min: pages.compress_min.value.0,
        compress_types: pages.compress_types.value.0.iter().map(|listed| listed.value.to_ascii_lowercase()).collect(),
    }
}

// === Pools ===

fn resolve_pool(
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

// === SQL ===

fn resolve_sql(name: &str, sql: &Set<Sql>, directory: &StdPath, reader: &mut Reader) -> Option<SqlPlan> {
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
        users: users
            .iter()
            .map(|user| SqlUser { name: user.value.name.value.clone(), password: user.value.password.value.clone() })
            .collect(),
        cluster: ClusterPlan {
            reads: keys.reads.value.unwrap_or(ReadsMode::Fresh),
            failover: keys.failover.value.unwrap_or(FailoverMode::Automatic),
            failover_after: keys.failover_after.value.as_ref().map_or(FAILOVER_AFTER, |span| span.0),
        },
    })
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
fn check_engines(file: &File, reader: &mut Reader) {
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

// === Listeners ===

fn check_listeners(file: &File, reader: &mut Reader) {
    let mut listeners: Vec<(SocketAddr, Origin, String)> = vec![];
    for address in file.edge.value.listen.value.0.iter().chain(&file.edge.value.tls.value.listen.value.0) {
        listeners.push((address.value.0, address.origin.clone(), address.path.clone()));
    }
    let ports = &file.edge.value.tcp.value.0;
    for (i, tcp) in ports.iter().enumerate() {
        let listen = &tcp.value.listen;
        // They share it by the name asked for; only one can have every other name.
        let others = || ports[..i].iter().filter(|other| other.value.listen.value.0 == listen.value.0);
        let for_every_name = |tcp: &Set<Tcp>| tcp.value.names.value.0.is_empty();
        if others().next().is_some() && !(for_every_name(tcp) && others().any(for_every_name)) {
            continue;
        }
        listeners.push((listen.value.0, listen.origin.clone(), listen.path.clone()));
    }
    for sql in file.sql.value.0.values().flatten() {
        let listen = &sql.value.listen;
        listeners.push((listen.value.0, listen.origin_or(&sql.origin), listen.path.clone()));
    }
    let console = &file.console.value.listen;
    if let AddressOrOff::Address(address) = console.value {
        listeners.push((address, console.origin.clone(), console.path.clone()));
    }
    for (i, (address, origin, path)) in listeners.iter().enumerate() {
        if let Some((other, other_origin, other_path)) = listeners[..i].iter().find(|(other, ..)| overlap(*address, *other)) {
            // A default collides with what was written: the mistake is shown where something was written.
            let (origin, path, other, other_path) = match origin {
                Origin::Default => (other_origin, other_path, address, path),
                _ => (origin, path, other, other_path),
            };
            let shown = if other == address { format!("\"{address}\"") } else { format!("\"{address}\" and \"{other}\" overlap:") };
            let what = match other == address {
                true => format!("{shown} is already the address of {other_path}"),
                false => format!("{shown} the other one is {other_path}"),
            };
            reader.problem(
                origin,
                path,
                what,
                format!("Choose another port for one of them, {} for example.", free_port_near(address.port())),
            );
        }
    }
}

/// Whether the kernel would refuse the second of these listeners.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wildcard = |ip: IpAddr| ip.is_unspecified();
    let takes_all = |a: SocketAddr, b: SocketAddr| wildcard(a.ip()) && (a.is_ipv6() || a.is_ipv4() == b.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || takes_all(a, b) || takes_all(b, a))
}

fn free_port_near(port: u16) -> u16 {
    port.checked_add(1).unwrap_or(port - 1)
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
