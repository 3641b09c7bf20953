//! TLS for generated connections: whom to trust, and the client's side of one connection without I/O of its own.

use crate::plan::{Target, Trust};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// Where systems keep the certificates they trust: Debian and Alpine, Red Hat, SUSE, the BSDs. `SSL_CERT_FILE` goes before them.
const SYSTEM_BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// What every connection of a run shares. Sessions are resumed, as browsers do.
#[derive(Clone, Debug)]
pub struct Tls {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Tls {
    /// Errors: nobody to trust can be found or read; the host is no name that a certificate could have.
    pub fn new(target: &Target, trust: &Trust) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = versions.map_err(|error| error.to_string())?;
        let mut config = match trust {
            Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth(),
            Trust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
            Trust::File(path) => builder.with_root_certificates(roots_of(path)?).with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(target.host.clone()).map_err(|_| format!("\"{}\" is not a name for TLS", target.host))?;
        Ok(Tls { config: Arc::new(config), name })
    }

    /// Offers another protocol instead (ALPN, RFC 7301).
    pub fn offering(&self, protocol: &[u8]) -> Tls {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.to_vec()];
        Tls { config: Arc::new(config), name: self.name.clone() }
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let set = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    let found = set.or_else(|| SYSTEM_BUNDLES.iter().map(|path| Path::new(path).to_path_buf()).find(|path| path.is_file()));
    match found {
        Some(path) => roots_of(&path),
        None => Err("the system has no list of trusted certificates; give one with --ca FILE, or --insecure to trust anybody".to_string()),
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // A bundle may hold certificates too old for us; those that can be used suffice.
    let (added, _) = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if added == 0 { Err(format!("{} has no certificate in PEM form", path.display())) } else { Ok(roots) }
}

/// `--insecure`: the handshake must still be signed with the certificate that was shown, whoever's that is.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
