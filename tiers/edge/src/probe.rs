//! What an upstream is asked to learn whether it is well: in the protocol its pool speaks, on a connection of its own.

pub(crate) mod verdict;

use std::sync::Arc;

use pumasi_balance::Upstream;
use pumasi_config::{HttpProbe, PoolPlan, ProbeAsks, ProbePlan};
use pumasi_http1::{Asked, Limits, ResponseDecoder, ResponseEvent, write};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::verdict::{PROBE_BYTES_MAX, Verdict};
use crate::{
    tls::TlsError,
    upstream::{
        http2,
        stream::Stream,
        wire::{Speak, Wire},
    },
};

/// A pool's probe, ready to be asked again and again.
#[derive(Clone, Debug)]
pub struct Prober {
    plan: ProbePlan,
    wire: Arc<Wire>,
}

impl Prober {
    /// The probe of `pool`; `None` if it has none. Blocks on the disk: it reads the files of the pool's TLS.
    pub fn of(pool: &PoolPlan) -> Result<Option<Prober>, TlsError> {
        let Some(plan) = pool.probe.clone() else { return Ok(None) };
        Ok(Some(Prober { plan, wire: Wire::of(&pool.wire)? }))
    }

    pub(crate) fn plan(&self) -> &ProbePlan {
        &self.plan
    }

    /// Whether `upstream` does what the probe wants, within its time; else why not, as a sentence about it. Needs a runtime with sockets and
    /// timers. Cancel-safe.
    pub async fn ask(&self, upstream: &Upstream) -> Result<(), String> {
        match tokio::time::timeout(self.plan.timeout, self.ask_now(upstream)).await {
            Ok(verdict) => verdict,
            Err(_) => Err("it did not answer in time".to_owned()),
        }
    }

    async fn ask_now(&self, upstream: &Upstream) -> Result<(), String> {
        let socket = TcpStream::connect(upstream.address).await.map_err(|error| error.to_string())?;
        let speak = if self.wire.http2 { Speak::Http2 } else { Speak::Http1 };
        let stream = self.wire.secure(socket, upstream, speak).await.map_err(|error| error.to_string())?;
        let ProbeAsks::Http(wanted) = &self.plan.asks else { return Ok(()) };
        let request = head_of(wanted, upstream);
        match speak {
            Speak::Http1 => ask_http1(stream, &request, wanted).await,
            Speak::Http2 => http2::ask(stream, &request, self.wire.scheme(), wanted).await,
        }
    }
}

// === helpers ===

fn head_of(wanted: &HttpProbe, upstream: &Upstream) -> Vec<u8> {
    let mut request = Vec::new();
    write::request_line(&mut request, b"GET", wanted.path.as_bytes());
    let host = wanted.host.clone().unwrap_or_else(|| upstream.address.to_string());
    write::field(&mut request, "Host", host.as_bytes());
    write::field(&mut request, "User-Agent", b"pumasi-probe");
    request.extend_from_slice(b"Connection: close\r\n");
    write::head_end(&mut request);
    request
}

async fn ask_http1(mut stream: Stream, request: &[u8], wanted: &HttpProbe) -> Result<(), String> {
    stream.write_all(request).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let mut decoder = ResponseDecoder::default();
    decoder.expect(Asked::default());
    let limits = Limits { head_bytes_max: PROBE_BYTES_MAX, fields_max: 256 };
    let mut input = Vec::new();
    let (mut verdict, mut found) = (None, false);
    loop {
        let (used, event) = decoder.decode(&input, &limits).map_err(|refusal| refusal.to_string())?;
        match (&event, &mut verdict) {
            (ResponseEvent::Head, _) => match Verdict::of(wanted, decoder.head().status)? {
                Some(begun) => verdict = Some(begun),
                None => return Ok(()),
            },
            (ResponseEvent::Data(range), Some(judged)) => found = judged.read(&input[range.clone()])?,
            (ResponseEvent::End, Some(judged)) => return Err(judged.missing()),
            _ => {}
        }
        if found {
            return Ok(());
        }
        input.drain(..used);
        if event == ResponseEvent::NeedMore && stream.read_buf(&mut input).await.map_err(|error| error.to_string())? == 0 {
            return match (decoder.close(&input), verdict) {
                (Ok(true), Some(verdict)) => Err(verdict.missing()),
                _ => Err("it closed the connection".to_owned()),
            };
        }
    }
}

#[cfg(test)]
mod tests;
