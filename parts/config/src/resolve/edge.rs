//! The edge: where it listens, its routes, limits and pages.

use std::{net::SocketAddr, path::Path as StdPath};

use super::check_not_zero;
use crate::{
    Surroundings,
    declare::{Reader, Set},
    keys::{Edge, File, Limits, Log, Pages, Route, Tcp, Tls},
    nearest::nearest,
    plan::*,
};

pub(super) fn resolve(
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

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
