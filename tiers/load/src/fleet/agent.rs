//! `pumasi load agent`: dials in, does its share of one load test after another.

use super::wire::{Job, Order, Peer, Said, Shape, Token, Work};
use crate::{
    command::raise_descriptor_limit,
    plan::{Plan, Target, Trust},
    run,
    scenario::{self, Overrides},
};
use pumasi_config::Source;
use std::{
    fs, io,
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// The greeting takes no longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The controller takes each message in this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two attempts to reach the controller.
const DIAL_EVERY: Duration = Duration::from_secs(1);

/// Serves the controller at `controller` until `interrupt`; with `once`, one load test.
///
/// Errors: the token is not the controller's (trying again would not help); with `once`, whatever kept it from its one test.
pub fn serve(controller: &str, token: &Token, name: &str, once: bool, interrupt: &AtomicBool, told: &dyn Fn(&str)) -> io::Result<()> {
    let mut waiting = false;
    while !interrupt.load(Ordering::Relaxed) {
        let greeted = dial(controller).and_then(|stream| Peer::greet(stream, token, name, HANDSHAKE_TIMEOUT));
        let mut peer = match greeted {
            Ok(peer) => peer,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(error) => {
                // Said once per wait: controllers come and go.
                if !std::mem::replace(&mut waiting, true) {
                    told(&format!("no controller at {controller} yet ({error}); waiting for one"));
                }
                pause(interrupt);
                continue;
            }
        };
        waiting = false;
        told(&format!("in the fleet of {controller}"));
        let done = follow(&mut peer, interrupt);
        match &done {
            Ok(()) => told("the test is over"),
            Err(error) => told(&format!("the test ended without us: {error}")),
        }
        if once {
            return done;
        }
    }
    Ok(())
}

fn pause(interrupt: &AtomicBool) {
    let until = Instant::now() + DIAL_EVERY;
    while Instant::now() < until && !interrupt.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn dial(controller: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in controller.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One job to its end.
fn follow(peer: &mut Peer, interrupt: &AtomicBool) -> io::Result<()> {
    peer.set_timeout(WRITE_TIMEOUT)?;
    let Some(order) = next_order(peer, interrupt)? else { return Ok(()) };
    let Order::Job(job) = order else { return Err(io::Error::other("a controller begins with a job")) };
    let room = Room::make()?;
    let plan = match compile(&job, &room.path) {
        Ok(plan) => plan,
        Err(reason) => {
            peer.send(&Said::Refused { reason: reason.clone() })?;
            return Err(io::Error::other(reason));
        }
    };
    raise_descriptor_limit(plan.limits.connections_max);
    peer.send(&Said::Ready)?;
    match next_order(peer, interrupt)? {
        Some(Order::Begin) => {}
        _ => return Err(io::Error::other("the controller did not begin")),
    }
    let stop = AtomicBool::new(false);
    let (sender, slices) = mpsc::channel();
    let ears = peer.try_clone()?;
    ears.wait_forever()?;
    let total = std::thread::scope(|scope| {
        let first_lane = job.machine * plan.limits.threads;
        let (plan, stop) = (&plan, &stop);
        let work = scope.spawn(move || run::work(plan, first_lane, Instant::now() + Duration::from_millis(20), stop, sender));
        let listening = scope.spawn(|| hear(ears, stop));
        for (lane, slice) in slices {
            if interrupt.load(Ordering::Relaxed) || peer.send(&Said::Slice { lane, slice: Box::new(slice) }).is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        let total = work.join().map_err(|_| io::Error::other("the generator panicked")).flatten();
        let sent = total.and_then(|total| peer.send(&Said::Done { total: Box::new(total) }));
        if sent.is_err() {
            peer.hang_up();
        }
        // Until the controller has it, or is gone.
        let heard = listening.join().map_err(|_| io::Error::other("the listener panicked"));
        sent.and(heard)
    });
    peer.hang_up();
    total
}

/// Waits for an order, looking up for Ctrl-C now and then. None when it came.
fn next_order(peer: &mut Peer, interrupt: &AtomicBool) -> io::Result<Option<Order>> {
    let ears = peer.try_clone()?;
    ears.wait_forever()?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut ears = ears;
            ears.order()
        });
        while !waiting.is_finished() {
            if interrupt.load(Ordering::Relaxed) {
                peer.hang_up();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let order = waiting.join().map_err(|_| io::Error::other("the listener panicked")).flatten();
        if interrupt.load(Ordering::Relaxed) { Ok(None) } else { order.map(Some) }
    })
}

/// Listens while the lanes run. A controller that is gone ends them: nobody would hear of the result.
fn hear(mut ears: Peer, stop: &AtomicBool) {
    loop {
        match ears.order() {
            Ok(Order::Stop) => stop.store(true, Ordering::Relaxed),
            Ok(Order::Ended) => return,
            Ok(Order::Job(_) | Order::Begin) => {}
            Err(_) => {
                stop.store(true, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// The plan of a job; its files go into `room`.
fn compile(job: &Job, room: &Path) -> Result<Plan, String> {
    for (name, content) in &job.files {
        // They become files here: names that the controller makes, and no others.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') || name.starts_with('.') {
            return Err(format!("\"{name}\" is no name for a data file"));
        }
        fs::write(room.join(name), content).map_err(|error| format!("{name}: {error}"))?;
    }
    let overrides = overrides(&job.shape, job.machines, room)?;
    let plan = match &job.work {
        Work::Url { url, method, body } => scenario::from_url(url, method, body.as_deref(), &overrides)?,
        Work::Scenario { name, text, target } => {
            let target = target.as_deref().map(|url| Target::resolve(url, &overrides.trust)).transpose()?;
            let source = Source { name: name.clone(), text: text.clone(), directory: room.to_path_buf() };
            scenario::compile(&source, &Overrides { target, ..overrides }).map_err(|problems| problems.to_string())?
        }
    };
    plan.start_counters_at(job.machine as u64 * COUNTERS_APART);
    Ok(plan)
}

/// `${counter}` of one machine is this far from the next machine's.
const COUNTERS_APART: u64 = 1_000_000_000;

fn overrides(shape: &Shape, machines: usize, room: &Path) -> Result<Overrides, String> {
    let trust = match &shape.ca {
        _ if shape.insecure => Trust::Anybody,
        None => Trust::System,
        Some(pem) => {
            let file = room.join("ca.pem");
            fs::write(&file, pem).map_err(|error| format!("ca.pem: {error}"))?;
            Trust::File(file)
        }
    };
    Ok(Overrides {
        trust,
        rate: shape.rate,
        vusers: shape.vusers,
        lasts: shape.lasts,
        warmup: shape.warmup,
        threads: Some(shape.threads.clamp(1, 1024)),
        connections_max: shape.connections_max,
        in_flight_max: shape.in_flight_max,
        timeout: shape.timeout,
        http2: shape.http2,
        streams_max: shape.streams_max,
        machines: machines.clamp(1, super::AGENTS_MAX),
        seed: shape.seed,
        headers: shape.headers.clone(),
        ..Overrides::default()
    })
}

/// A folder for a job's files, gone with it.
struct Room {
    path: PathBuf,
}

impl Room {
    fn make() -> io::Result<Room> {
        use std::os::unix::fs::DirBuilderExt;
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pumasi-agent-{}-{number}", std::process::id()));
        // Data files may hold what only their owner should read.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Room { path })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
