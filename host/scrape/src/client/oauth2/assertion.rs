//! Assertions as JSON Web Tokens (RFC 7523, section 2.1): who asks for a token proves it by a signature, and sends no
//! secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use crate::config::{OAuth2, SignatureAlgorithm};

/// How long an assertion holds, as in Prometheus.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// An assertion is as if made so long ago, for token servers whose clocks are behind.
const SKEW: Duration = Duration::from_secs(10);

/// The signed assertion of what the configuration says, by the private key in `pem`.
///
/// # Errors
/// A text for people, where the key is none that can sign so.
pub(super) fn sign(config: &OAuth2, pem: &str, now: SystemTime) -> Result<String, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| format!("client_certificate_key is no private key in PEM: {error}"))?;
    let key = any_supported_type(&key).map_err(|error| format!("client_certificate_key: {error}"))?;
    let signer = key
        .choose_scheme(&[scheme(config.signature_algorithm)])
        .ok_or("client_certificate_key must be an RSA key")?;
    let mut header = Map::from_iter([
        ("alg".to_owned(), json!(config.signature_algorithm.as_str())),
        ("typ".to_owned(), json!("JWT")),
    ]);
    if !config.client_certificate_key_id.is_empty() {
        header.insert("kid".to_owned(), json!(config.client_certificate_key_id));
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&Value::Object(header)), part(&Value::Object(claims(config, now))));
    let signature = signer.sign(signed.as_bytes()).map_err(|error| format!("sign the assertion: {error}"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn claims(config: &OAuth2, now: SystemTime) -> Map<String, Value> {
    let or = |text: &str, otherwise: &str| if text.is_empty() { json!(otherwise) } else { json!(text) };
    let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(SKEW);
    let mut claims = config.claims.clone();
    claims.insert("iss".to_owned(), or(&config.iss, &config.client_id));
    claims.insert("sub".to_owned(), json!(config.client_id));
    claims.insert("aud".to_owned(), or(&config.audience, &config.token_url));
    claims.insert("iat".to_owned(), json!(issued.as_secs()));
    claims.insert("exp".to_owned(), json!((issued + LIFETIME).as_secs()));
    if !config.scopes.is_empty() {
        claims.insert("scope".to_owned(), json!(config.scopes.join(" ")));
    }
    claims
}

const fn scheme(algorithm: SignatureAlgorithm) -> SignatureScheme {
    match algorithm {
        SignatureAlgorithm::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
        SignatureAlgorithm::Rs384 => SignatureScheme::RSA_PKCS1_SHA384,
        SignatureAlgorithm::Rs512 => SignatureScheme::RSA_PKCS1_SHA512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of nobody's, for tests; the signature was made with `openssl dgst -sha256 -sign`.
    const KEY: &str = include_str!("../../../../../tests/tls/rsa-key.pem");
    const SIGNATURE: &str = "tI0Asbsb97_YGpAjv97Ui6yGNl5U4PhlGvSQHzI6bGRMtyzOpnCgAga1k0nLLldX4bYnmOqp4gUFtHTJci6u-_OqoyR7g07iUwkS\
             nS5hrjWFX0DAZGf_kAzjaRPf-dt6bHvcb1YOXbgZy6g3vToaQNh6yNjKCvi-W9xTJSvXBFQGWJL85TkMP2OLU0Po_UJGYL5qhddq\
             Y-Qntn7WjfyXGiuWowS6wANzU5ImHU-sXBscOOaShqSb72K0z626ZgDpgsvbeBqev4k0F_OE_2vpXz93sodSl2Ih3NGCbaWM47fk\
             K3XjUwYD9KO8EfOgXlxrjmP6DkiV5rUImW2ttscnig";

    fn config(more: &str) -> OAuth2 {
        let text = format!(
            "client_id: me\ntoken_url: 'http://t/token'\ngrant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'\n\
             client_certificate_key_file: f\nscopes: [a, b]\n{more}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    fn decoded(part: &str) -> String {
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn assertions_say_who_asks_and_are_signed() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let token = sign(&config("client_certificate_key_id: k1\nclaims: {tenant: 7}"), KEY, now).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(decoded(parts[0]), r#"{"alg":"RS256","kid":"k1","typ":"JWT"}"#);
        assert_eq!(
            decoded(parts[1]),
            r#"{"aud":"http://t/token","exp":1700003590,"iat":1699999990,"iss":"me","scope":"a b","sub":"me","tenant":7}"#
        );
        assert_eq!(parts[2], SIGNATURE);
        let other = sign(&config("signature_algorithm: RS512\niss: i\naudience: x"), KEY, now).unwrap();
        let parts: Vec<&str> = other.split('.').collect();
        assert_eq!(decoded(parts[0]), r#"{"alg":"RS512","typ":"JWT"}"#);
        assert!(
            decoded(parts[1]).starts_with(r#"{"aud":"x","#) && decoded(parts[1]).contains(r#""iss":"i""#)
        );
        assert_ne!(parts[2], SIGNATURE);
    }

    #[test]
    fn what_cannot_sign_is_told() {
        let now = UNIX_EPOCH;
        assert!(
            sign(&config(""), "no key", now)
                .unwrap_err()
                .starts_with("client_certificate_key is no private key")
        );
        let curve = include_str!("../../../../../tests/tls/client-key.pem");
        assert_eq!(sign(&config(""), curve, now).unwrap_err(), "client_certificate_key must be an RSA key");
    }
}
