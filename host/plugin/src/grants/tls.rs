//! Whom a plugin's requests trust, and who they are, where that is not what the system says.
//!
//! The files are read for each request, so that renewed certificates are used; the plugin sees none of them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Grants, HttpGrant};

/// Bytes of a file of certificates: a bundle of all authorities of the world is about a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How connections to a server are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Written")]
pub struct TlsGrant {
    /// The server.
    pub server: HttpGrant,
    /// The authorities that its certificate may be signed by, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate that we show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Whether any certificate will do: whoever is in between can then read and change everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_verify: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    server: HttpGrant,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    #[serde(default)]
    insecure_skip_verify: bool,
}

impl TryFrom<Written> for TlsGrant {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { server, ca_file, cert_file, key_file, insecure_skip_verify } = written;
        if cert_file.is_some() != key_file.is_some() {
            return Err(format!("tls for {server}: cert_file and key_file belong together"));
        }
        Ok(Self { server, ca_file, cert_file, key_file, insecure_skip_verify })
    }
}

/// What the files of a [`TlsGrant`] hold at some time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    ca: Option<Vec<u8>>,
    /// Certificate and key, one after the other.
    identity: Option<Vec<u8>>,
    insecure_skip_verify: bool,
}

impl TlsGrant {
    /// Reads the files. Blocks.
    pub(crate) fn read(&self) -> Result<TlsFiles, String> {
        let ca = self.ca_file.as_deref().map(|path| read("ca_file", path)).transpose()?;
        let identity = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                let mut both = read("cert_file", cert)?;
                both.push(b'\n');
                both.extend(read("key_file", key)?);
                Some(both)
            }
            _ => None,
        };
        Ok(TlsFiles { ca, identity, insecure_skip_verify: self.insecure_skip_verify })
    }
}

impl TlsFiles {
    /// A client that uses them.
    pub(crate) fn build(&self, mut builder: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
        let wrong = |what: &str, error: &reqwest::Error| format!("tls: {what}: {error}");
        if let Some(ca) = &self.ca {
            let certificates =
                reqwest::Certificate::from_pem_bundle(ca).map_err(|error| wrong("ca_file", &error))?;
            if certificates.is_empty() {
                return Err("tls: ca_file has no certificate in it".to_owned());
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let Some(identity) = &self.identity {
            let identity = reqwest::Identity::from_pem(identity)
                .map_err(|error| wrong("cert_file and key_file", &error))?;
            builder = builder.identity(identity);
        }
        if self.insecure_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| wrong("these certificates cannot be used", &error))
    }
}

/// Without the path in the message, which a plugin sees: where it is, is not its business.
fn read(what: &str, path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("tls: {what} cannot be read: {}", error.kind()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("tls: {what} is too long"));
    }
    Ok(bytes)
}

impl Grants {
    /// How connections to the URL's server are encrypted, where the grants say.
    pub(crate) fn tls_of(&self, url: &Url) -> Option<&TlsGrant> {
        self.tls.iter().find(|grant| grant.server.covers(url))
    }
}
