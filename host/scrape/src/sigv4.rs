//! AWS Signature Version 4, for Amazon's managed Prometheus and its Alertmanager: each request is signed with a key of
//! which only hashes go over the wire (<https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>).
//!
//! What is signed: method, path, query, host, the headers of Amazon's and the body. Credentials come from the
//! configuration, else from the environment, else from a profile of the file `~/.aws/credentials`; the last two are read
//! for each request, so that what is rotated is used.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::config::Secret;

/// The service that remote write and Alertmanager are parts of.
const SERVICE: &str = "aps";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What SHA-256 works in, and with it HMAC (RFC 2104).
const BLOCK_BYTES: usize = 64;

/// The section `sigv4`.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SigV4Config {
    /// The region of the receiver; by default that of the environment.
    pub region: String,
    /// The name of a key; with `secret_key`.
    pub access_key: String,
    /// The key.
    pub secret_key: Option<Secret>,
    /// Whose keys of the credentials file.
    pub profile: String,
    role_arn: String,
    external_id: String,
    use_fips_sts_endpoint: bool,
}

impl SigV4Config {
    /// Checks what concerns several keys.
    ///
    /// # Errors
    /// What is wrong, in Prometheus' words where it has any.
    pub fn validate(&self) -> Result<(), String> {
        if self.access_key.is_empty() != self.secret_key.is_none() {
            return Err(
                "sigv4: must provide an AWS SigV4 access key and secret key if credentials are specified \
                        in the SigV4 config"
                    .to_owned(),
            );
        }
        if !self.role_arn.is_empty() || !self.external_id.is_empty() || self.use_fips_sts_endpoint {
            return Err(
                "sigv4: roles are not assumed here; give keys that may write themselves, or a profile that \
                        another program keeps up to date"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn region(&self) -> Result<String, String> {
        let named = Some(self.region.clone()).filter(|region| !region.is_empty());
        let environment = || ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| variable(name));
        named.or_else(environment).ok_or_else(|| "region not configured in sigv4 or in AWS_REGION".to_owned())
    }

    fn keys(&self) -> Result<Keys, String> {
        if let Some(Secret(secret)) = &self.secret_key {
            return Ok(Keys { id: self.access_key.clone(), secret: secret.clone(), session: None });
        }
        let environment = || {
            Some(Keys {
                id: variable("AWS_ACCESS_KEY_ID")?,
                secret: variable("AWS_SECRET_ACCESS_KEY")?,
                session: variable("AWS_SESSION_TOKEN"),
            })
        };
        let found = if self.profile.is_empty() { environment() } else { None };
        match found {
            Some(keys) => Ok(keys),
            None => self.keys_of_profile(),
        }
    }

    fn keys_of_profile(&self) -> Result<Keys, String> {
        let home = || Some(PathBuf::from(variable("HOME")?).join(".aws/credentials"));
        let path = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(home);
        let path = path.ok_or("sigv4 finds no credentials: neither keys nor a home directory are there")?;
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let profile = if self.profile.is_empty() { "default" } else { &self.profile };
        keys_in(&text, profile).ok_or_else(|| format!("no keys of profile {profile:?} in {}", path.display()))
    }

    /// The headers that sign a POST of `body` to `url` at `now`.
    ///
    /// # Errors
    /// Where there are no credentials, or no region is known.
    pub fn sign(
        &self,
        url: &Url,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let (region, keys) = (self.region()?, self.keys()?);
        let body_hash = hex::encode(Sha256::digest(body));
        let mut headers = vec![("x-amz-content-sha256", body_hash.clone()), ("x-amz-date", stamp(now))];
        headers.extend(keys.session.clone().map(|session| ("x-amz-security-token", session)));
        let mut signed = headers.clone();
        signed.push(("host", authority(url)));
        let place = Place { region: &region, service: SERVICE };
        let authorization = keys.authorization(&place, now, "POST", url, &signed, &body_hash);
        headers.push(("authorization", authorization));
        Ok(headers)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

struct Keys {
    id: String,
    secret: String,
    session: Option<String>,
}

struct Place<'a> {
    region: &'a str,
    service: &'a str,
}

impl Keys {
    fn authorization(
        &self,
        place: &Place<'_>,
        now: DateTime<Utc>,
        method: &str,
        url: &Url,
        headers: &[(&str, String)],
        body_hash: &str,
    ) -> String {
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.trim())).collect();
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        // Paths are escaped once more than they are in the URL.
        let path = escape(url.path(), true);
        let mut query: Vec<(String, String)> =
            url.query_pairs().map(|(name, value)| (escape(&name, false), escape(&value, false))).collect();
        query.sort_unstable();
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{body_hash}", query.join("&"));
        let day = now.format("%Y%m%d").to_string();
        let scope = format!("{day}/{}/{}/aws4_request", place.region, place.service);
        let text = format!(
            "{ALGORITHM}\n{}\n{scope}\n{}",
            stamp(now),
            hex::encode(Sha256::digest(request.as_bytes()))
        );
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = [day.as_str(), place.region, place.service, "aws4_request"]
            .iter()
            .fold(first, |key, part| hmac(&key, part.as_bytes()).to_vec());
        let signature = hex::encode(hmac(&key, text.as_bytes()));
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.id)
    }
}

/// The keys under `[profile]` of a credentials file.
fn keys_in(text: &str, profile: &str) -> Option<Keys> {
    let section = format!("[{profile}]");
    let lines = text.lines().map(str::trim).skip_while(|line| *line != section).skip(1);
    let pairs: Vec<(&str, &str)> = lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let value =
        |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
    Some(Keys {
        id: value("aws_access_key_id")?,
        secret: value("aws_secret_access_key")?,
        session: value("aws_session_token"),
    })
}

fn stamp(now: DateTime<Utc>) -> String {
    now.format("%Y%m%dT%H%M%SZ").to_string()
}

/// The host as the header `Host` names it: with a port that is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Escapes all but what RFC 3986 leaves as it is, and slashes where they part a path.
fn escape(text: &str, slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b'/' if slashes => out.push('/'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        for (to, from) in block.iter_mut().zip(Sha256::digest(key)) {
            *to = from;
        }
    } else {
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
    }
    let inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys, the time and the requests of Amazon's own test suite, and the signatures that it names.
    #[test]
    fn signatures_are_those_of_amazons_test_suite() {
        let keys = Keys {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session: None,
        };
        let now: DateTime<Utc> = "2015-08-30T12:36:00Z".parse().unwrap();
        let check = |method, url: &str, expected: &str| {
            let url = Url::parse(url).unwrap();
            let headers = [("host", authority(&url)), ("x-amz-date", stamp(now))];
            let place = Place { region: "us-east-1", service: "service" };
            let nothing = hex::encode(Sha256::digest(b""));
            let authorization = keys.authorization(&place, now, method, &url, &headers, &nothing);
            assert_eq!(
                authorization,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={expected}"
                ),
                "{url}"
            );
        };
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        check("GET", "https://example.amazonaws.com/", vanilla);
        let posted = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        check("POST", "https://example.amazonaws.com/", posted);
        let ordered = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        check("GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", ordered);
    }

    /// RFC 4231, cases 2 and 6.
    #[test]
    fn hmac_is_that_of_the_rfc() {
        let check = |key: &[u8], text: &str, expected: &str| {
            assert_eq!(hex::encode(hmac(key, text.as_bytes())), expected);
        };
        check(
            b"Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            &[0xaa; 131],
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
    }

    #[test]
    fn keys_come_from_a_profile() {
        let text = "[default]\naws_access_key_id = a\naws_secret_access_key=b\n\n[other]\n\
                    aws_access_key_id=c\naws_secret_access_key = d\naws_session_token=e\n";
        let check = |profile, expected: Option<(&str, &str, Option<&str>)>| {
            let keys = keys_in(text, profile);
            let found =
                keys.as_ref().map(|keys| (keys.id.as_str(), keys.secret.as_str(), keys.session.as_deref()));
            assert_eq!(found, expected, "{profile}");
        };
        check("default", Some(("a", "b", None)));
        check("other", Some(("c", "d", Some("e"))));
        check("none", None);
    }
}
