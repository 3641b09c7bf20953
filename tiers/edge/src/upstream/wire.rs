//! What is spoken with a pool's upstreams: HTTP/1.1 or HTTP/2, with TLS or without.

use std::{
    future::{Future, poll_fn},
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use pumasi_balance::Upstream;
use pumasi_config::{UpstreamProtocol, UpstreamTlsPlan, WirePlan};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    connect::open_stream,
    timer::Timer,
    tls::{self, TlsError},
    upstream::{UpstreamFault, stream::Stream},
};

/// Where Linux distributions keep the authorities that the system trusts: Debian and Alpine, Fedora, openSUSE.
const SYSTEM_AUTHORITIES: [&str; 3] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// How to reach the members of one pool.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Connections of another one must not be used: they may speak something else, or have checked somebody else.
    pub id: u64,
    pub http2: bool,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    /// They offer different protocols (ALPN).
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    /// `None`: the host of the upstream's address.
    name: Option<ServerName<'static>>,
}

/// The protocol of one connection. Of a pool that speaks HTTP/2, WebSockets go over HTTP/1.1 where the upstream does not take them on a
/// stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speak {
    Http1,
    Http2,
}

impl Wire {
    /// HTTP/1.1 in the clear; the same for all pools.
    pub const PLAIN: Wire = Wire { id: 0, http2: false, tls: None };

    /// Reads the plan's files. Blocks on the disk.
    pub fn of(plan: &WirePlan) -> Result<Arc<Wire>, TlsError> {
        static NEXT: AtomicU64 = AtomicU64::new(Wire::PLAIN.id + 1);
        let http2 = plan.protocol == UpstreamProtocol::Http2;
        let tls = plan.tls.as_ref().map(Tls::of).transpose()?;
        let id = if http2 || tls.is_some() { NEXT.fetch_add(1, Ordering::Relaxed) } else { Wire::PLAIN.id };
        Ok(Arc::new(Wire { id, http2, tls }))
    }

    /// A connection to `upstream`, ready to be spoken on; gives up after `timeout` on the task's own `timer`, handshake included.
    pub async fn open(&self, upstream: &Upstream, speak: Speak, timeout: Duration, timer: &Timer) -> Result<Stream, UpstreamFault> {
        let began = Instant::now();
        let opened = self.open_uncounted(upstream, speak, timeout, timer).await;
        upstream.connected(began.elapsed(), opened.is_ok());
        opened
    }

    async fn open_uncounted(&self, upstream: &Upstream, speak: Speak, timeout: Duration, timer: &Timer) -> Result<Stream, UpstreamFault> {
        let socket = open_stream(upstream.address, timeout, timer).await?;
        if self.tls.is_none() {
            return Ok(Stream::Plain(socket));
        }
        timer.arm(timeout);
        let mut securing = pin!(self.secure(socket, upstream, speak));
        let outcome = poll_fn(|context| {
            if let Poll::Ready(result) = securing.as_mut().poll(context) {
                return Poll::Ready(result.map_err(UpstreamFault::Tls));
            }
            timer.watch(context);
            if timer.fired() { Poll::Ready(Err(UpstreamFault::ConnectTimeout)) } else { Poll::Pending }
        });
        let stream = outcome.await?;
        timer.disarm();
        Ok(stream)
    }

    /// Makes of `socket`, which leads to `upstream`, what the pool wants. Errors: the handshake failed, or the other side is not who it should
    /// be or does not speak what it should.
    pub async fn secure(&self, socket: TcpStream, upstream: &Upstream, speak: Speak) -> io::Result<Stream> {
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(socket)) };
        let config = if speak == Speak::Http2 { &tls.http2 } else { &tls.http1 };
        let name = match &tls.name {
            Some(name) => name.clone(),
            None => host_of(upstream).ok_or_else(|| io::Error::other("the upstream's host is no name that a certificate can be for"))?,
        };
        let stream = Stream::Tls(Box::new(TlsConnector::from(config.clone()).connect(name, socket).await?));
        match speak == Speak::Http2 && !stream.agreed_on_http2() {
            true => Err(io::Error::other("the upstream does not speak HTTP/2 (ALPN)")),
            false => Ok(stream),
        }
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl Tls {
    fn of(plan: &UpstreamTlsPlan) -> Result<Tls, TlsError> {
        let path = plan.authorities.clone().unwrap_or_else(system_authorities);
        let wrong = |reason: String| TlsError::Authorities { path: path.clone(), reason };
        let mut roots = RootCertStore::empty();
        for authority in tls::read_chain(&path)? {
            match (roots.add(authority), &plan.authorities) {
                (Err(error), Some(_)) => return Err(wrong(error.to_string())),
                // The system's own bundle may hold one that is of no use; the others are.
                (Ok(()), _) | (Err(_), None) => {}
            }
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let config = match &plan.certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = tls::read_chain(&own.chain)?;
                let key = PrivateKeyDer::from_pem_slice(&tls::read(&own.key)?).map_err(|e| tls::wrong_pem(&own.key, "private key", e))?;
                let pair = |source| TlsError::Pair { chain: own.chain.clone(), key: own.key.clone(), source };
                builder.with_client_auth_cert(chain, key).map_err(pair)?
            }
        };
        let offering = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        let name = plan.name.clone().map(ServerName::try_from).transpose().map_err(|error| wrong(error.to_string()))?;
        Ok(Tls { http1: offering(b"http/1.1"), http2: offering(b"h2"), name })
    }
}

// === helpers ===

/// The first that is there; if none is, the usual one, for the message.
fn system_authorities() -> PathBuf {
    let found = SYSTEM_AUTHORITIES.into_iter().find(|path| Path::new(path).exists());
    found.unwrap_or(SYSTEM_AUTHORITIES[0]).into()
}

/// Of `app.internal:8443`, or `app.internal:8443 (10.0.0.5:8443)` where the name was looked up. A worker, `app.1`, has only its address.
fn host_of(upstream: &Upstream) -> Option<ServerName<'static>> {
    let address = upstream.name.split(' ').next()?;
    let Some((host, _)) = address.rsplit_once(':') else { return Some(ServerName::from(upstream.address.ip())) };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}
