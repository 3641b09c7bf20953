//! TLS on either side of the proxy: what a listener answers with, and what a server has to show.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use pumasi_config::{CertificatePlan, ServerTls};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

/// What is wrong with a file, or with a pair of them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no {what} in PEM form")]
    Empty { path: PathBuf, what: &'static str },
    #[error("{path}: {reason}")]
    Wrong { path: PathBuf, reason: String },
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// For clients of the proxy. Blocks on the disk.
pub fn for_clients(plan: &CertificatePlan) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()?;
    let chain = chain(&plan.chain)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&plan.key)?);
    let key = key.map_err(|_| TlsError::Empty { path: plan.key.clone(), what: "private key" })?;
    let wrong = |error: rustls::Error| TlsError::Wrong { path: plan.chain.clone(), reason: error.to_string() };
    Ok(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).map_err(wrong)?))
}

/// For connections to servers; none if they are in the clear. `authorities`: who may have signed a certificate that is verified.
/// Blocks on the disk.
pub fn for_servers(mode: ServerTls, authorities: Option<&Path>) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = match (mode, authorities) {
        (ServerTls::Off, _) => return Ok(None),
        (ServerTls::Verified, Some(path)) => {
            let mut roots = RootCertStore::empty();
            for authority in chain(path)? {
                roots.add(authority).map_err(|error| TlsError::Wrong { path: path.to_owned(), reason: error.to_string() })?;
            }
            builder.with_root_certificates(roots)
        }
        (ServerTls::Verified, None) | (ServerTls::Encrypted, _) => {
            debug_assert!(mode == ServerTls::Encrypted, "the configuration asks for authorities to verify against");
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        }
    };
    Ok(Some(Arc::new(config.with_no_client_auth())))
}

/// Takes any certificate, as long as whoever shows it has its key: safe from listeners, not from impostors.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

// === helpers ===

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// At least one certificate.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Wrong { path: path.to_owned(), reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let chain = chain.map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() { Err(TlsError::Empty { path: path.to_owned(), what: "certificate" }) } else { Ok(chain) }
}
