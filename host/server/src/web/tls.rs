//! What a TLS handshake needs, from the web configuration.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, NamedGroup, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion, version,
};

use super::config::{ClientAuth, TlsServerConfig, Version};

/// Reads certificates and keys, and puts together what is offered.
pub(super) fn server(config: &TlsServerConfig, http2: bool) -> anyhow::Result<Arc<ServerConfig>> {
    let mut provider = ring::default_provider();
    choose_suites(&mut provider, &config.cipher_suites)?;
    choose_curves(&mut provider, &config.curve_preferences)?;
    let provider = Arc::new(provider);
    let verifier = verifier(config, &provider)?;
    let cert = pem(config.cert.as_deref(), config.cert_file.as_deref(), "cert_file")?;
    let certificates = CertificateDer::pem_slice_iter(&cert).collect::<Result<Vec<_>, _>>();
    let certificates =
        certificates.map_err(|error| anyhow::anyhow!("cert_file holds no certificate: {error}"))?;
    ensure!(!certificates.is_empty(), "cert_file holds no certificate");
    let key = pem(config.key.as_ref().map(|key| key.0.as_str()), config.key_file.as_deref(), "key_file")?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| anyhow::anyhow!("key_file holds no key: {error}"))?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(config))
        .context("no cipher suite is left for these versions of TLS")?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)
        .context("certificate and key do not go together")?;
    if http2 {
        server.alpn_protocols.push(b"h2".to_vec());
    }
    server.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Arc::new(server))
}

fn pem(text: Option<&str>, file: Option<&Path>, what: &str) -> anyhow::Result<Vec<u8>> {
    match (text, file) {
        (Some(text), _) => Ok(text.as_bytes().to_vec()),
        (None, Some(path)) => std::fs::read(path).with_context(|| format!("read {what} {}", path.display())),
        (None, None) => bail!("{what} is missing"),
    }
}

/// Versions before 1.2 are not spoken, so that a lower bound of theirs is none.
fn versions(config: &TlsServerConfig) -> Vec<&'static SupportedProtocolVersion> {
    let max = config.max_version.unwrap_or(Version::V1_3);
    let spoken = [(Version::V1_2, &version::TLS12), (Version::V1_3, &version::TLS13)];
    spoken.iter().filter(|(v, _)| (config.min_version..=max).contains(v)).map(|(_, spoken)| *spoken).collect()
}

/// Keeps the suites that are named; those of TLS 1.3 are not for choice, as in Go.
fn choose_suites(provider: &mut CryptoProvider, names: &[String]) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    // Go leaves the hash out of the names of some.
    let plain = |name: &str| name.trim_end_matches("_SHA256").to_owned();
    let spoken = |suite: &rustls::SupportedCipherSuite| suite.suite().as_str().map(plain).unwrap_or_default();
    for name in names {
        let known = provider.cipher_suites.iter().any(|suite| spoken(suite) == plain(name));
        ensure!(
            known || name.starts_with("TLS_AES_"),
            "unknown cipher suite {name:?}, or one that is not spoken"
        );
    }
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some() || names.iter().any(|name| plain(name) == spoken(suite)));
    Ok(())
}

fn choose_curves(provider: &mut CryptoProvider, names: &[String]) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut wanted = Vec::new();
    for name in names {
        wanted.push(match name.as_str() {
            "CurveP256" => NamedGroup::secp256r1,
            "CurveP384" => NamedGroup::secp384r1,
            "CurveP521" => NamedGroup::secp521r1,
            "X25519" => NamedGroup::X25519,
            _ => bail!("unknown curve {name:?}"),
        });
    }
    provider.kx_groups.retain(|group| wanted.contains(&group.name()));
    provider.kx_groups.sort_by_key(|group| wanted.iter().position(|name| *name == group.name()));
    ensure!(!provider.kx_groups.is_empty(), "none of curve_preferences is spoken");
    Ok(())
}

fn verifier(
    config: &TlsServerConfig,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let algorithms = provider.signature_verification_algorithms;
    let mandatory = match config.client_auth_type {
        ClientAuth::NoClientCert => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::RequestClientCert => {
            return Ok(Arc::new(AnyCertificate { mandatory: false, algorithms }));
        }
        ClientAuth::RequireAnyClientCert => {
            return Ok(Arc::new(AnyCertificate { mandatory: true, algorithms }));
        }
        ClientAuth::VerifyClientCertIfGiven => false,
        ClientAuth::RequireAndVerifyClientCert => true,
    };
    let ca = pem(config.client_ca.as_deref(), config.client_ca_file.as_deref(), "client_ca_file")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&ca) {
        let certificate = certificate.map_err(|error| anyhow::anyhow!("client_ca_file: {error}"))?;
        roots.add(certificate).context("client_ca_file holds what is no certificate")?;
    }
    ensure!(!roots.is_empty(), "client_ca_file holds no certificate");
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if mandatory { builder } else { builder.allow_unauthenticated() };
    let inner = builder.build().context("client_ca_file")?;
    if config.client_allowed_sans.is_empty() {
        return Ok(inner);
    }
    let allowed = config.client_allowed_sans.iter().map(|name| {
        ServerName::try_from(name.clone())
            .map_err(|_| anyhow::anyhow!("client_allowed_sans: {name:?} is no host"))
    });
    Ok(Arc::new(AllowedNames { inner, allowed: allowed.collect::<anyhow::Result<_>>()? }))
}

/// Takes any certificate, as long as the client has its key.
#[derive(Debug)]
struct AnyCertificate {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes verified certificates that are for one of some names.
#[derive(Debug)]
struct AllowedNames {
    inner: Arc<dyn ClientCertVerifier>,
    allowed: Vec<ServerName<'static>>,
}

impl ClientCertVerifier for AllowedNames {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(certificate, between, now)?;
        let parsed = ParsedCertificate::try_from(certificate)?;
        let is_for = |name: &ServerName<'_>| rustls::client::verify_server_name(&parsed, name).is_ok();
        match self.allowed.iter().any(is_for) {
            true => Ok(verified),
            false => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
