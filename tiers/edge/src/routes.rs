//! Which pool a request goes to: the configuration as one immutable snapshot.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use pumasi_balance::Pool;
use pumasi_config::{AccessLog, Attribution, BalancePolicy, EdgeLimits, EdgePlan, HashBy, Network, PagesMode, PoolPlan, ProxyProtocol};
use pumasi_http1::{FIELDS_MAX, Limits};
use pumasi_pagestore::RouteCounters;

use rustls::ServerConfig;

use crate::{counters::TrafficCounters, sticky::Sticky, tls::TlsError, upstream::wire::Wire};

/// What a request is served by. Replaced as a whole by a reload; a request keeps the one it began with.
pub(crate) struct Snapshot {
    pub limits: EdgeLimits,
    pub http1: Limits,
    pub access_log: AccessLog,
    /// For connections accepted from now on.
    pub tls: Option<Arc<ServerConfig>>,
    /// Cookies that do not make a page personal; `*` at the end stands for the rest of a name.
    ignore_cookies: Vec<String>,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    pub proxy_protocol_from_trusted: bool,
    pub trusted_proxies: Vec<Network>,
    /// By the address as written.
    pub tcp: HashMap<SocketAddr, TcpPort>,
    routes: Vec<Arc<Route>>,
    /// Lower-case host to indices into `routes`, most specific path first.
    exact: HashMap<Box<[u8]>, Vec<u16>>,
    /// Lower-case suffix with its dot (`.example.org`), longest first.
    wildcard: Vec<(Box<[u8]>, Vec<u16>)>,
    any: Vec<u16>,
    /// Requests that no route took.
    pub unrouted: Arc<TrafficCounters>,
}

/// One route, ready to be used.
#[derive(Debug)]
pub struct Route {
    /// As written: `host/path`, for status and logs.
    pub name: String,
    host: Option<String>,
    path: String,
    pub pages: PagesMode,
    /// Where requests go; a pool that nobody is in, if files answer.
    pub pool: Arc<Pool>,
    pub(crate) files: Option<Files>,
    /// How long a request may wait for a place at an upstream.
    pub queue_timeout: Duration,
    /// What the pool's hash policy takes from a request; `None` under the other policies.
    pub hash_by: Option<HashBy>,
    /// Which of a worker's requests its statements count for.
    pub attribution: Attribution,
    pub(crate) wire: Arc<Wire>,
    pub(crate) sticky: Option<Arc<Sticky>>,
    pub(crate) traffic: Arc<TrafficCounters>,
    pub(crate) pages_counters: Arc<RouteCounters>,
}

/// The static content of one route.
#[derive(Debug)]
pub(crate) struct Files {
    pub directory: std::path::PathBuf,
    /// What Cache-Control says; `None`: nothing, and browsers ask each time if they like.
    pub cache_control: Option<String>,
    /// `style.css.br`, `.zst` and `.gz` beside `style.css` are its compressed forms.
    pub precompressed: bool,
}

/// Who gets the connections of one TCP listener.
#[derive(Debug, Default)]
pub(crate) struct TcpPort {
    /// By the name that a TLS client asks for; `*.example.org` for every name below it.
    by_name: HashMap<String, Arc<TcpRoute>>,
    /// Whatever no name leads to.
    pub any: Option<Arc<TcpRoute>>,
}

impl TcpPort {
    /// Whether the client's first words decide.
    pub fn asks_for_name(&self) -> bool {
        !self.by_name.is_empty()
    }

    /// `name`: in lower case. The exact name wins over the wildcard of the longest suffix.
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<TcpRoute>> {
        let wildcard = |name: &str| {
            let suffixes = name.match_indices('.').map(|(at, _)| &name[at..]);
            suffixes.into_iter().find_map(|suffix| self.by_name.get(&format!("*{suffix}")))
        };
        let named =
            name.map(|name| name.strip_suffix('.').unwrap_or(name)).and_then(|name| self.by_name.get(name).or_else(|| wildcard(name)));
        named.or(self.any.as_ref())
    }
}

/// Where such connections go.
#[derive(Debug)]
pub(crate) struct TcpRoute {
    pub pool: Arc<Pool>,
    pub queue_timeout: Duration,
    /// The pool keeps clients together, and an address is all there is to know them by.
    pub by_address: bool,
    pub send: ProxyProtocol,
}

/// A pool as a snapshot needs it.
pub(crate) struct PoolPart {
    pub pool: Arc<Pool>,
    pub queue_timeout: Duration,
    pub hash_by: Option<HashBy>,
    pub attribution: Attribution,
    pub wire: Arc<Wire>,
    pub sticky: Option<Arc<Sticky>>,
}

impl PoolPart {
    fn nobody() -> PoolPart {
        PoolPart {
            pool: Arc::new(Pool::new("files")),
            queue_timeout: Duration::ZERO,
            hash_by: None,
            attribution: Attribution::default(),
            wire: Arc::new(Wire::PLAIN),
            sticky: None,
        }
    }

    /// Errors: a file of the pool's TLS cannot be used.
    pub fn of(plan: &PoolPlan, pool: &Arc<Pool>) -> Result<PoolPart, TlsError> {
        let hashes = matches!(plan.policy, BalancePolicy::Ring | BalancePolicy::Maglev | BalancePolicy::Rendezvous);
        Ok(PoolPart {
            pool: pool.clone(),
            queue_timeout: plan.queue_timeout,
            hash_by: hashes.then(|| plan.hash_by.clone()),
            attribution: plan.attribution,
            wire: Wire::of(&plan.wire)?,
            sticky: plan.sticky.as_ref().and_then(Sticky::of).map(Arc::new),
        })
    }
}

impl Snapshot {
    /// `pools` has every pool that a route names. Counters of routes that `before` has too are kept.
    pub fn new(
        plan: &EdgePlan,
        pools: &HashMap<String, PoolPart>,
        tls: Option<Arc<ServerConfig>>,
        before: Option<&Snapshot>,
    ) -> Result<Snapshot, UnknownPool> {
        let mut routes = Vec::with_capacity(plan.routes.len());
        for written in &plan.routes {
            let nobody = PoolPart::nobody();
            let part = match written.files {
                Some(_) => &nobody,
                None => pools.get(&written.pool).ok_or_else(|| UnknownPool(written.pool.clone()))?,
            };
            let name = format!("{}{}", written.host.as_deref().unwrap_or(""), written.path);
            let former = before.and_then(|b| b.routes.iter().find(|r| r.name == name));
            routes.push(Arc::new(Route {
                host: written.host.as_ref().map(|h| h.to_ascii_lowercase()),
                path: written.path.clone(),
                pages: written.pages,
                files: written.files.as_ref().map(|files| Files {
                    directory: files.directory.clone(),
                    cache_control: files.cache_control.clone(),
                    precompressed: files.precompressed,
                }),
                pool: part.pool.clone(),
                queue_timeout: part.queue_timeout,
                hash_by: part.hash_by.clone(),
                attribution: part.attribution,
                wire: part.wire.clone(),
                sticky: part.sticky.clone(),
                traffic: former.map(|r| r.traffic.clone()).unwrap_or_default(),
                pages_counters: former.map(|r| r.pages_counters.clone()).unwrap_or_default(),
                name,
            }));
        }
        let mut tcp = HashMap::new();
        for written in &plan.tcp {
            let part = pools.get(&written.pool).ok_or_else(|| UnknownPool(written.pool.clone()))?;
            let (pool, queue_timeout, by_address) = (part.pool.clone(), part.queue_timeout, part.hash_by.is_some());
            let route = Arc::new(TcpRoute { pool, queue_timeout, by_address, send: written.send });
            let port: &mut TcpPort = tcp.entry(written.listen).or_default();
            match written.names.is_empty() {
                true => port.any = Some(route),
                false => port.by_name.extend(written.names.iter().map(|name| (name.clone(), route.clone()))),
            }
        }
        let mut snapshot = Snapshot {
            http1: Limits { head_bytes_max: plan.limits.header_bytes_max, fields_max: plan.limits.headers_max.min(FIELDS_MAX) },
            limits: plan.limits.clone(),
            access_log: plan.access_log,
            tls,
            ignore_cookies: plan.pages.ignore_cookies.clone(),
            proxy_protocol: plan.proxy_protocol,
            proxy_protocol_from_trusted: plan.proxy_protocol_from_trusted,
            trusted_proxies: plan.trusted_proxies.clone(),
            tcp,
            exact: HashMap::new(),
            wildcard: Vec::new(),
            any: Vec::new(),
            unrouted: before.map_or_else(Arc::default, |b| b.unrouted.clone()),
            routes,
        };
        snapshot.index();
        Ok(snapshot)
    }

    /// The most specific route: exact host before wildcard host before any, then exact path before the longest prefix.
    pub fn find(&self, host: &[u8], path: &[u8]) -> Option<&Arc<Route>> {
        self.position(host, path).map(|i| &self.routes[usize::from(i)])
    }

    /// Where that one stands among [`Snapshot::routes`].
    pub fn position(&self, host: &[u8], path: &[u8]) -> Option<u16> {
        self.find_for_host(host, path).or_else(|| self.first(&self.any, path))
    }

    /// Whether a cookie of this name says nothing of who asks, in the operator's word.
    pub fn ignores_cookie(&self, name: &[u8]) -> bool {
        self.ignore_cookies.iter().any(|known| match known.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix.as_bytes()),
            None => name == known.as_bytes(),
        })
    }

    /// Whether what `ip` says about who asked is believed.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(ip))
    }

    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    fn find_for_host(&self, host: &[u8], path: &[u8]) -> Option<u16> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(b".").unwrap_or(&host); // `example.org.` is the same name, written absolutely
        let exact = self.exact.get(host).and_then(|routes| self.first(routes, path));
        exact.or_else(|| {
            let mut suffixes = self.wildcard.iter().filter(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix));
            suffixes.find_map(|(_, routes)| self.first(routes, path))
        })
    }

    fn first(&self, routes: &[u16], path: &[u8]) -> Option<u16> {
        routes.iter().copied().find(|&i| self.routes[usize::from(i)].takes(path))
    }

    fn index(&mut self) {
        let mut order: Vec<u16> = (0..self.routes.len() as u16).collect();
        order.sort_by_key(|&i| {
            let path = &self.routes[i as usize].path;
            (path.ends_with('*'), std::cmp::Reverse(path.len()))
        });
        for i in order {
            match self.routes[i as usize].host.as_deref() {
                None => self.any.push(i),
                Some(host) => match host.strip_prefix('*') {
                    None => self.exact.entry(host.as_bytes().into()).or_default().push(i),
                    Some(suffix) => match self.wildcard.iter_mut().find(|(s, _)| **s == *suffix.as_bytes()) {
                        Some((_, routes)) => routes.push(i),
                        None => self.wildcard.push((suffix.as_bytes().into(), vec![i])),
                    },
                },
            }
        }
        self.wildcard.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    }
}

impl Route {
    /// The pattern as written.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn takes(&self, path: &[u8]) -> bool {
        match self.path.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix.as_bytes()),
            None => path == self.path.as_bytes(),
        }
    }
}

/// A route names a pool that was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownPool(pub String);

#[cfg(test)]
mod tests;
