//! Secrets that a plugin may use: read by name, or set by the host in requests to one server, never both.

use std::path::PathBuf;

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Denied, Grants, HttpGrant};

/// Bytes of one secret: a certificate chain fits.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A secret and where it is. Its value stands nowhere in the configuration, which the API shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Written")]
pub struct SecretGrant {
    /// The name that the plugin asks for.
    pub name: String,
    /// The file that holds it; what follows its last line is cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The environment variable that holds it, where no file does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The secret itself, where a section of Prometheus' or Alertmanager's has it; an entry of a plugin cannot.
    #[serde(skip)]
    pub value: Option<SecretValue>,
    /// Set in requests to a server. The plugin cannot read the secret then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<SecretHeader>,
}

/// A secret, which no message and no API shows.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(pub String);

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// A header that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretHeader {
    /// The server that is sent it.
    pub server: HttpGrant,
    /// The header's name.
    #[serde(default = "authorization")]
    pub name: String,
    /// What stands before the secret, such as `Bearer `.
    #[serde(default)]
    pub prefix: String,
    /// Who the secret is the password of: the header then holds both as HTTP's basic authentication has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

impl SecretHeader {
    fn value(&self, secret: &str) -> String {
        match &self.username {
            Some(username) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{secret}"));
                format!("{}Basic {pair}", self.prefix)
            }
            None => format!("{}{secret}", self.prefix),
        }
    }
}

/// A header with a secret in it.
pub(crate) struct FilledHeader {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) secret: String,
}

fn authorization() -> String {
    "Authorization".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    env: Option<String>,
    #[serde(default)]
    header: Option<SecretHeader>,
}

impl TryFrom<Written> for SecretGrant {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, file, env, header } = written;
        if name.is_empty() {
            return Err("a secret needs a name".to_owned());
        }
        if file.is_some() == env.is_some() {
            return Err(format!(
                "secret {name:?} needs either a file or the name of an environment variable (env)"
            ));
        }
        if let Some(header) = &header
            && reqwest::header::HeaderName::from_bytes(header.name.as_bytes()).is_err()
        {
            return Err(format!("secret {name:?}: {:?} is no name of a header", header.name));
        }
        Ok(Self { name, file, env, value: None, header })
    }
}

/// Why a secret is not told.
#[derive(Debug)]
pub(crate) enum SecretError {
    Denied(Denied),
    Unavailable(String),
}

impl SecretGrant {
    /// The secret as it is now. Blocks.
    fn read(&self) -> Result<String, String> {
        let unavailable =
            |why: &dyn std::fmt::Display| format!("secrets: {:?} cannot be read: {why}", self.name);
        let text = match (&self.file, &self.env, &self.value) {
            (Some(file), ..) => {
                use std::io::Read as _;
                let mut text = String::new();
                std::fs::File::open(file)
                    .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
                    // Without the path: where it is, is not the guest's business.
                    .map_err(|error| unavailable(&error.kind()))?;
                text
            }
            (None, Some(name), _) => std::env::var(name).map_err(|_| unavailable(&"it is not set"))?,
            (None, None, Some(SecretValue(value))) => value.clone(),
            (None, None, None) => return Err(unavailable(&"it is nowhere")),
        };
        if text.len() as u64 > SECRET_BYTES_MAX {
            return Err(unavailable(&"it is too long"));
        }
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl Grants {
    /// The secret of that name, if the plugin may read it. Blocks.
    pub(crate) fn read_secret(&self, name: &str) -> Result<String, SecretError> {
        let Some(grant) = self.secrets.iter().find(|grant| grant.name == name) else {
            let text = format!("secrets: {name:?} is not granted; add it to grants.secrets to allow it");
            return Err(SecretError::Denied(Denied(text)));
        };
        if grant.header.is_some() {
            let text = format!("secrets: {name:?} is sent as a header by the host and cannot be read");
            return Err(SecretError::Denied(Denied(text)));
        }
        grant.read().map_err(SecretError::Unavailable)
    }

    /// The headers that the host sets in a request to the URL's server. Blocks.
    ///
    /// # Errors
    /// Which secret cannot be read.
    pub(crate) fn secret_headers(&self, url: &Url) -> Result<Vec<FilledHeader>, String> {
        let headers = self.secrets.iter().filter_map(|grant| Some((grant, grant.header.as_ref()?)));
        headers
            .filter(|(_, header)| header.server.covers(url))
            .map(|(grant, header)| {
                let secret = grant.read()?;
                Ok(FilledHeader { name: header.name.clone(), value: header.value(&secret), secret })
            })
            .collect()
    }

    /// Whether any request needs [`Grants::secret_headers`].
    pub(crate) fn has_secret_headers(&self) -> bool {
        self.secrets.iter().any(|grant| grant.header.is_some())
    }
}
