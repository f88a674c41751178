//! TLS for plugins: the handshake, the check of the certificate, and what both tell.
//!
//! A certificate is always checked. Where a plugin asks for it, one that fails is let through, and what was wrong is told.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Network;
use super::certificate::describe;
use crate::bindings::stormglass::types::net::{Certificate, TlsOptions, TlsSession};
use crate::limits::PEM_BYTES_MAX;
use crate::net::stream::Stream;

/// Certificates that a server may show and have described; chains are a handful.
const CERTIFICATES_MAX: usize = 16;

/// Why TLS is not spoken.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// The options make no sense.
    Invalid(String),
    /// The handshake failed, or the certificate would not do.
    Handshake(String),
}

/// Makes the handshake.
pub(crate) async fn handshake(
    network: &Network,
    stream: TcpStream,
    host: &str,
    options: &TlsOptions,
) -> Result<(Stream, TlsSession), TlsError> {
    let name = options.server_name.as_deref().unwrap_or(host);
    let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|_| invalid("server-name is no name of a server"))?;
    let verifier = Arc::new(Verifier::new(network, options)?);
    let config = client_config(Arc::clone(&verifier), options)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|error| TlsError::Handshake(error.to_string()))?;
    let session = session(stream.get_ref().1, verifier.problem.lock().take());
    Ok((Stream::Tls(Box::new(stream)), session))
}

fn invalid(what: &str) -> TlsError {
    TlsError::Invalid(what.to_owned())
}

fn client_config(verifier: Arc<Verifier>, options: &TlsOptions) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Invalid(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = if options.certificate.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_slice(&options.key)
            .map_err(|_| invalid("key is no private key in PEM"))?;
        let chain = certificates(&options.certificate, "certificate")?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| TlsError::Invalid(format!("certificate and key: {error}")))?
    };
    config.alpn_protocols = options.protocols.iter().map(|name| name.clone().into_bytes()).collect();
    Ok(config)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(TlsError::Invalid(format!("{what} has more than {PEM_BYTES_MAX} bytes")));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Invalid(format!("{what} has no certificates in PEM"))),
    }
}

/// Checks certificates as ever, and where it was asked to lets those through that fail.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// None where nothing is trusted at all.
    inner: Option<Arc<WebPkiServerVerifier>>,
    accept_invalid: bool,
    /// What was wrong and let through.
    problem: Mutex<Option<String>>,
}

impl Verifier {
    fn new(network: &Network, options: &TlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = if options.authorities.is_empty() {
            network.roots()
        } else {
            let mut roots = RootCertStore::empty();
            for authority in certificates(&options.authorities, "authorities")? {
                let added = roots.add(authority);
                added.map_err(|error| TlsError::Invalid(format!("authorities: {error}")))?;
            }
            Arc::new(roots)
        };
        let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().ok();
        let (accept_invalid, problem) = (options.accept_invalid, Mutex::new(None));
        Ok(Self { provider, inner, accept_invalid, problem })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = match &self.inner {
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::Error::General(
                "the system has no certificates of authorities to trust".to_owned(),
            )),
        };
        match verified {
            Err(error) if self.accept_invalid => {
                *self.problem.lock() = Some(error.to_string());
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn session(connection: &ClientConnection, problem: Option<String>) -> TlsSession {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        other => other.and_then(|version| version.as_str()).unwrap_or_default().to_owned(),
    };
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let shown = connection.peer_certificates().unwrap_or_default();
    let certificates: Vec<Certificate> =
        shown.iter().take(CERTIFICATES_MAX).filter_map(|der| describe(der)).collect();
    let earliest = certificates.iter().map(|certificate| certificate.not_after).min();
    TlsSession {
        version,
        // rustls writes the suites of TLS 1.3 with their version.
        cipher: cipher.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
        protocol: String::from_utf8_lossy(connection.alpn_protocol().unwrap_or_default()).into_owned(),
        certificates,
        verified_until: earliest.filter(|_| problem.is_none()),
        problem,
    }
}
