//! How the other side's certificate is checked, and ours.

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::http::Secret;

/// How the other side's certificate is checked, and ours. Certificates and keys are PEM.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether any certificate will do.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// The name that the other side's certificate must have, rather than the one in the URL.
    #[serde(default)]
    pub server_name: String,
    /// Certificates to trust instead of the system's.
    pub ca: Option<String>,
    /// The same in a file.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<String>,
    /// The same in a file.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key: Option<Secret>,
    /// The same in a file.
    pub key_file: Option<PathBuf>,
    /// The lowest version that is spoken.
    pub min_version: Option<TlsVersion>,
    /// The highest version that is spoken.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum TlsVersion {
    /// 1.0, which is not spoken.
    #[serde(rename = "TLS10")]
    V1_0,
    /// 1.1, which is not spoken.
    #[serde(rename = "TLS11")]
    V1_1,
    /// 1.2.
    #[serde(rename = "TLS12")]
    V1_2,
    /// 1.3.
    #[serde(rename = "TLS13")]
    V1_3,
}

impl TlsConfig {
    /// The files, to be made absolute.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [self.ca_file.as_mut(), self.cert_file.as_mut(), self.key_file.as_mut()].into_iter().flatten()
    }

    /// Whether something is read from files.
    pub(crate) const fn has_files(&self) -> bool {
        self.ca_file.is_some() || self.cert_file.is_some() || self.key_file.is_some()
    }

    fn validate(&self) -> Result<(), &'static str> {
        let twice = |text: bool, file: bool, what| if text && file { Err(what) } else { Ok(()) };
        let (cert, key) = (&self.cert_file, &self.key_file);
        twice(self.ca.is_some(), self.ca_file.is_some(), "at most one of ca and ca_file must be configured")?;
        twice(self.cert.is_some(), cert.is_some(), "at most one of cert and cert_file must be configured")?;
        twice(self.key.is_some(), key.is_some(), "at most one of key and key_file must be configured")?;
        if (self.cert.is_some() || cert.is_some()) != (self.key.is_some() || key.is_some()) {
            return Err("exactly one of the certificate and its key is configured, both are needed: \
                        cert or cert_file, and key or key_file");
        }
        if self.max_version.is_some_and(|max| max < TlsVersion::V1_2) {
            return Err("max_version must be TLS12 or TLS13: older versions are not spoken");
        }
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && max < min
        {
            return Err(
                "tls_config.max_version must be greater than or equal to tls_config.min_version if both \
                        are specified",
            );
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for TlsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        config.validate().map_err(D::Error::custom)?;
        Ok(config)
    }
}
