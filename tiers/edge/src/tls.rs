//! TLS in front of HTTP: certificates by name, read again at every reload without touching a connection.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use pumasi_config::{CertificatePlan, TlsPlan};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use thiserror::Error;

/// Sessions that a client may resume by their id (TLS 1.2 without tickets). About 200 bytes each.
const SESSIONS_MAX: usize = 4096;

/// A certificate that cannot be used, and why.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{path}: cannot be read: {source}. Check the path, and that this user may read it.")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}: holds no {what} in PEM form.")]
    Empty { path: PathBuf, what: &'static str },
    #[error("{path}: is not a PEM file: {reason}.")]
    Pem { path: PathBuf, reason: String },
    #[error("{chain} and {key} do not belong together, or are not supported: {source}.")]
    Pair {
        chain: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("{path}: {reason}.")]
    Authorities { path: PathBuf, reason: String },
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What outlives a reload: the keys of session tickets, so that clients can resume across one.
#[derive(Debug)]
pub(crate) struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    pub fn new() -> Result<Tickets, TlsError> {
        Ok(Tickets(ring::Ticketer::new()?))
    }
}

/// Reads every file of `plan` and makes what a listener needs. Blocks on the disk.
pub(crate) fn configure(plan: &TlsPlan, tickets: &Tickets) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &plan.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |reason: String| TlsError::Authorities { path: path.clone(), reason };
            let mut roots = RootCertStore::empty();
            for authority in read_chain(path)? {
                roots.add(authority).map_err(|error| wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Certificates::read(&plan.certificates, &provider)?));
    config.ticketer = tickets.0.clone();
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.alpn_protocols = match plan.http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

/// Chooses by the name in the client's hello (RFC 6066 §3); the first certificate answers for names that none has.
#[derive(Debug)]
struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// `example.org` for `*.example.org`: a wildcard stands for exactly one label (RFC 6125 §6.4.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    fn read(plans: &[CertificatePlan], provider: &rustls::crypto::CryptoProvider) -> Result<Certificates, TlsError> {
        let mut all = Certificates { exact: HashMap::new(), wildcard: HashMap::new(), first: None };
        for plan in plans {
            let chain = read_chain(&plan.chain)?;
            let names = names_of(&chain[0]);
            let key = PrivateKeyDer::from_pem_slice(&read(&plan.key)?).map_err(|error| wrong_pem(&plan.key, "private key", error))?;
            let pair = CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Pair {
                chain: plan.chain.clone(),
                key: plan.key.clone(),
                source,
            })?;
            let pair = Arc::new(pair);
            for name in names {
                match name.strip_prefix("*.") {
                    Some(parent) => all.wildcard.entry(parent.to_owned()).or_insert_with(|| pair.clone()),
                    None => all.exact.entry(name).or_insert_with(|| pair.clone()),
                };
            }
            all.first.get_or_insert(pair);
        }
        Ok(all)
    }

    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(wildcard).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.find(name)).or_else(|| self.first.clone())
    }
}

// === helpers ===

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// At least one certificate.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| wrong_pem(path, "certificate", error))?;
    match chain.is_empty() {
        true => Err(TlsError::Empty { path: path.to_owned(), what: "certificate" }),
        false => Ok(chain),
    }
}

pub(crate) fn wrong_pem(path: &Path, what: &'static str, error: pem::Error) -> TlsError {
    match error {
        pem::Error::NoItemsFound => TlsError::Empty { path: path.to_owned(), what },
        other => TlsError::Pem { path: path.to_owned(), reason: other.to_string() },
    }
}

/// The DNS names a certificate is valid for, in lower case. None for one without any: it can still be the first.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(parsed) => parsed.valid_dns_names().map(str::to_ascii_lowercase).collect(),
        Err(_) => Vec::new(),
    }
}
