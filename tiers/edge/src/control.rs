//! The thread beside the cores: probes members, resolves their names, takes a sample of the counters every second.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use pumasi_balance::{Pool, Upstream};
use pumasi_config::{Members, ProbePlan, UpstreamPlan};
use pumasi_freshness::Witness;
use pumasi_http1::{Asked, Limits, ResponseDecoder, ResponseEvent, write};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};
use tracing::{info, warn};

use crate::{
    edge::PoolConfig,
    upstream::{
        http2,
        wire::{Speak, Wire},
    },
};

/// How often the names of fixed upstreams are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// A name that does not resolve is tried again this soon.
const RESOLVE_RETRY: Duration = Duration::from_secs(2);

/// Bytes of a probe's answer that are read: its status line and fields are in it, or it is no answer.
const PROBE_BYTES_MAX: usize = 64 << 10;

/// Runs until `pools` is closed. Each new value replaces all tasks: a reload is rare, and probes start at once.
pub(crate) async fn run(mut pools: watch::Receiver<Arc<Vec<PoolConfig>>>, mut each_second: impl FnMut()) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let current = pools.borrow_and_update().clone();
        let mut tasks = JoinSet::new();
        for pool in current.iter() {
            if let Members::Upstreams(upstreams) = &pool.plan.members {
                tasks.spawn(keep_resolved(pool.pool.clone(), upstreams.clone()));
            }
            if let Some(probe) = &pool.plan.probe {
                match Wire::of(&pool.plan.wire) {
                    Ok(wire) => _ = tasks.spawn(keep_probing(pool.pool.clone(), probe.clone(), wire)),
                    // It was readable a moment ago, when the edge took the configuration over.
                    Err(error) => warn!(pool = %pool.plan.name, %error, "no probes: TLS cannot be set up"),
                }
            }
        }
        loop {
            tokio::select! {
                changed = pools.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                _ = second.tick() => each_second(),
            }
        }
    }
}

// === names ===

/// Makes the pool's members what the names of `upstreams` stand for, again and again.
async fn keep_resolved(pool: Arc<Pool>, upstreams: Vec<UpstreamPlan>) {
    // The plan's weights count when it is new; afterwards an operator may have changed them.
    let mut weights = Weights::Set;
    loop {
        let mut wanted = Vec::new();
        let mut failed = false;
        for upstream in &upstreams {
            match tokio::net::lookup_host(upstream.address.as_str()).await {
                Ok(addresses) => {
                    wanted.extend(addresses.map(|address| Wanted { written: upstream.address.clone(), address, weight: upstream.weight }))
                }
                Err(error) => {
                    failed = true;
                    warn!(pool = %pool.name, upstream = %upstream.address, %error, "upstream's name does not resolve");
                    // What it stood for before may well be alive: an outage of the name service must not become one of the site.
                    let known = pool.upstreams();
                    let members = known.iter().filter(|u| written_as(&u.name) == upstream.address);
                    wanted.extend(members.map(|u| Wanted {
                        written: upstream.address.clone(),
                        address: u.address,
                        weight: upstream.weight,
                    }));
                }
            }
        }
        set_members(&pool, &wanted, weights);
        weights = Weights::Keep;
        tokio::time::sleep(if failed { RESOLVE_RETRY } else { RESOLVE_EVERY }).await;
    }
}

/// One member as it should be.
pub(crate) struct Wanted {
    /// `host:port` as in the configuration.
    pub written: String,
    pub address: SocketAddr,
    pub weight: u32,
}

/// What becomes of the weights of members that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    Set,
    Keep,
}

/// Joins who is new, lets leave who is gone, leaves everybody else alone: their connections and health stay.
pub(crate) fn set_members(pool: &Pool, wanted: &[Wanted], weights: Weights) {
    let now = pool.upstreams();
    for upstream in now.iter().filter(|u| !wanted.iter().any(|w| w.address == u.address)) {
        info!(pool = %pool.name, upstream = %upstream.name, "upstream left");
        pool.leave(upstream);
    }
    for (i, new) in wanted.iter().enumerate() {
        if wanted[..i].iter().any(|earlier| earlier.address == new.address) {
            continue; // written twice, or two names of one address
        }
        match now.iter().find(|u| u.address == new.address) {
            Some(known) if weights == Weights::Set && known.weight() != new.weight => pool.set_weight(known, new.weight),
            Some(_) => {}
            None => pool.join(Arc::new(Upstream::new(name_of(new), new.address, new.weight, None))),
        }
    }
}

/// The address as written; with what it resolved to behind it when that differs.
fn name_of(wanted: &Wanted) -> String {
    match wanted.written == wanted.address.to_string() {
        true => wanted.written.clone(),
        false => format!("{} ({})", wanted.written, wanted.address),
    }
}

fn written_as(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

// === probes ===

/// Asks every member for the probe's path, each at its own pace, and tells the pool.
async fn keep_probing(pool: Arc<Pool>, probe: ProbePlan, wire: Arc<Wire>) {
    let mut every = tokio::time::interval(probe.every.max(Duration::from_millis(10)));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running: HashMap<SocketAddr, tokio::task::JoinHandle<()>> = HashMap::new();
    let mut under_way = JoinSet::new();
    loop {
        every.tick().await;
        while under_way.try_join_next().is_some() {}
        running.retain(|_, task| !task.is_finished());
        for upstream in pool.upstreams().iter() {
            if running.contains_key(&upstream.address) {
                continue; // the last probe still waits for its timeout
            }
            let (pool, upstream, probe, wire) = (pool.clone(), upstream.clone(), probe.clone(), wire.clone());
            let address = upstream.address;
            // In the set as well, so that dropping this task ends them.
            let (done, finished) = tokio::sync::oneshot::channel::<()>();
            under_way.spawn(async move {
                probe_once(&pool, &upstream, &probe, &wire).await;
                drop(done);
            });
            running.insert(address, tokio::spawn(async move { drop(finished.await) }));
        }
    }
}

async fn probe_once(pool: &Arc<Pool>, upstream: &Arc<Upstream>, probe: &ProbePlan, wire: &Wire) {
    // A probe is a request too: what it makes the application read belongs to a request that ends.
    let window = upstream.witness.as_ref().map(Witness::open_for_nobody);
    let result = tokio::time::timeout(probe.timeout, ask(upstream, probe, wire)).await;
    drop(window);
    let verdict = match result {
        Ok(Ok(status)) if (probe.status_min..=probe.status_max).contains(&status) => Ok(()),
        Ok(Ok(status)) => Err(format!("it answered {status}")),
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err("it did not answer in time".to_owned()),
    };
    if let Some(change) = pool.probed(upstream, verdict.is_ok(), Instant::now()) {
        let reason = verdict.err().unwrap_or_default();
        info!(pool = %pool.name, upstream = %upstream.name, from = change.from.word(), to = change.to.word(), reason, "a probe changed an upstream's health");
    }
}

/// One GET on a connection of its own: the status, or why there is none.
async fn ask(upstream: &Upstream, probe: &ProbePlan, wire: &Wire) -> Result<u16, String> {
    let address = upstream.address;
    let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let speak = if wire.http2 { Speak::Http2 } else { Speak::Http1 };
    let mut stream = wire.secure(socket, &upstream.name, speak).await.map_err(|error| error.to_string())?;
    let mut request = Vec::new();
    write::request_line(&mut request, b"GET", probe.path.as_bytes());
    let host = probe.host.clone().unwrap_or_else(|| address.to_string());
    write::field(&mut request, "Host", host.as_bytes());
    write::field(&mut request, "User-Agent", b"pumasi-probe");
    request.extend_from_slice(b"Connection: close\r\n");
    write::head_end(&mut request);
    if wire.http2 {
        return http2::ask(stream, &request, wire.scheme()).await;
    }
    stream.write_all(&request).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let mut decoder = ResponseDecoder::default();
    decoder.expect(Asked::default());
    let limits = Limits { head_bytes_max: PROBE_BYTES_MAX, fields_max: 256 };
    let mut input = Vec::new();
    loop {
        let (used, event) = decoder.decode(&input, &limits).map_err(|refusal| refusal.to_string())?;
        input.drain(..used);
        if event == ResponseEvent::Head {
            return Ok(decoder.head().status);
        }
        let more = event == ResponseEvent::NeedMore;
        if more && stream.read_buf(&mut input).await.map_err(|error| error.to_string())? == 0 {
            return Err("it closed the connection".to_owned());
        }
    }
}
