//! Tells an OpenTelemetry collector of single requests: OTLP over HTTP with JSON, from a thread of its own.

use pumasi_trace::{Tap, otlp};
use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// Requests, and statements, of one request to the collector.
const BATCH_MAX: usize = 512;
/// How often what has gathered is sent.
const EVERY: Duration = Duration::from_millis(500);
/// Connecting, and each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of a collector's answer that is read; only its status matters.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Exports until it is dropped; what has gathered by then is sent.
#[derive(Debug)]
pub struct Exporter {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A collector.
#[derive(Clone, Debug)]
pub struct Collector {
    /// `HOST:PORT`.
    pub authority: String,
    /// Empty for [`otlp::PATH`].
    pub path: String,
}

impl Exporter {
    /// Begins to sample, one in `one_in` of the requests whose caller has not decided.
    ///
    /// Errors: no thread can be had. A collector that is not there yet is no error: it is tried again with each batch.
    pub fn start(collector: Collector, tap: Arc<Tap>, one_in: u32, version: &'static str) -> io::Result<Exporter> {
        tap.trace(one_in);
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("otlp".into()).spawn(move || export(&collector, &tap, version, &stopped))?;
        Ok(Exporter { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn export(collector: &Collector, tap: &Tap, version: &str, stopped: &mpsc::Receiver<()>) {
    let mut failing = false;
    let mut dropped = 0;
    loop {
        let over = stopped.recv_timeout(EVERY) != Err(mpsc::RecvTimeoutError::Timeout);
        loop {
            let (batch, statements) = (tap.tracing.take(BATCH_MAX), tap.statements.take(BATCH_MAX));
            if batch.is_empty() && statements.is_empty() {
                break;
            }
            match send(collector, &otlp::body(&batch, &statements, version)) {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!(collector = %collector.authority, dropped, "traces are taken again");
                    dropped = 0;
                }
                Ok(()) => {}
                // Dropped, not kept: a collector that is down must not cost memory here. Said once, not with every batch.
                Err(error) => {
                    dropped += batch.len() + statements.len();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(collector = %collector.authority, %error, "traces are not taken");
                    }
                    break;
                }
            }
        }
        let lost = tap.tracing.lost() + tap.statements.lost();
        if lost > 0 {
            tracing::warn!(lost, "traces came faster than the collector takes them");
        }
        if over {
            return;
        }
    }
}

fn send(collector: &Collector, body: &str) -> io::Result<()> {
    let mut last = io::Error::other("its name has no address");
    for address in collector.authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return post(stream, collector, body),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn post(mut stream: TcpStream, collector: &Collector, body: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let path = if collector.path.is_empty() { otlp::PATH } else { &collector.path };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        collector.authority,
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let status = answer.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match status {
        [b'2', _, _] => Ok(()),
        status => Err(io::Error::other(format!("it answers {:?}", String::from_utf8_lossy(&status[..status.len().min(3)])))),
    }
}
