//! Passwords: MD5 as PostgreSQL has it, and SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// The name of the mechanism.
pub(crate) const SCRAM: &str = "SCRAM-SHA-256";
/// The most rounds that a server may ask for; PostgreSQL asks for 4096.
const ROUNDS_MAX: u32 = 1_000_000;
/// What says that channels are not bound, in base 64.
const NO_BINDING: &str = "biws";

/// `md5` and the digest of the digest of password and user, and the salt.
pub(crate) fn md5(user: &str, password: &str, salt: &[u8]) -> String {
    let inner = hex::encode(Md5::digest(format!("{password}{user}")));
    format!("md5{}", hex::encode(Md5::digest([inner.as_bytes(), salt].concat())))
}

/// A login under way.
pub(crate) struct Scram {
    password: String,
    nonce: String,
    /// What the server will prove that it knows.
    server_signature: Option<[u8; 32]>,
}

impl Scram {
    pub(crate) fn begin(password: &str, entropy: &[u8]) -> Self {
        // The password is in it, so that nobody who sees the nonce can guess the next.
        let nonce = Sha256::digest([password.as_bytes(), b"\0", entropy].concat());
        let nonce = BASE64.encode(nonce.get(..18).unwrap_or_default());
        Self { password: password.to_owned(), nonce, server_signature: None }
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.first_bare())
    }

    fn first_bare(&self) -> String {
        // PostgreSQL takes the user from the start of the connection.
        format!("n=,r={}", self.nonce)
    }

    /// The client's answer to the server's first message.
    pub(crate) fn answer(&mut self, server_first: &[u8]) -> Result<String, &'static str> {
        let text = std::str::from_utf8(server_first).map_err(|_| "a login that is no text")?;
        let field = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name));
        let nonce =
            field("r=").filter(|nonce| nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or("a nonce of the server's that does not continue ours")?;
        let salt = field("s=").and_then(|salt| BASE64.decode(salt).ok()).ok_or("a broken salt")?;
        let rounds = field("i=").and_then(|rounds| rounds.parse::<u32>().ok());
        let rounds =
            rounds.filter(|rounds| (1..=ROUNDS_MAX).contains(rounds)).ok_or("a broken count of rounds")?;

        let salted = stretch(self.password.as_bytes(), &salt, rounds);
        let client_key = hmac(&salted, b"Client Key");
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let without_proof = format!("c={NO_BINDING},r={nonce}");
        let message = format!("{},{text},{without_proof}", self.first_bare());
        let mut proof = hmac(&stored_key, message.as_bytes());
        for (byte, key) in proof.iter_mut().zip(client_key) {
            *byte ^= key;
        }
        self.server_signature = Some(hmac(&hmac(&salted, b"Server Key"), message.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    /// Whether the server knows the password too.
    pub(crate) fn verify(&self, server_final: &[u8]) -> Result<(), &'static str> {
        let shown = server_final.strip_prefix(b"v=").and_then(|text| BASE64.decode(text).ok());
        match (self.server_signature, shown) {
            (Some(expected), Some(shown)) if shown == expected => Ok(()),
            _ => Err("a server that does not know the password it asks for"),
        }
    }
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut padded = [0_u8; 64];
    let hashed = Sha256::digest(key);
    let key = if key.len() > padded.len() { hashed.as_slice() } else { key };
    for (place, byte) in padded.iter_mut().zip(key) {
        *place = *byte;
    }
    let inner = Sha256::new().chain_update(padded.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// The first block of PBKDF2 with HMAC-SHA-256 (RFC 8018), which is all that SCRAM needs.
fn stretch(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac(password, &last);
        for (sum, byte) in sum.iter_mut().zip(last) {
            *sum ^= byte;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677_holds() {
        let mut scram = Scram::begin("pencil", b"");
        scram.nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        // The example has a name of the user's, which PostgreSQL leaves out.
        let salted = stretch(b"pencil", &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
        let message = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,{first},c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        );
        let signature = hmac(&hmac(&salted, b"Server Key"), message.as_bytes());
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let answer = scram.answer(first.as_bytes()).unwrap();
        assert!(answer.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="));
        assert!(scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_err());
        let own = BASE64.encode(scram.server_signature.unwrap());
        assert!(scram.verify(format!("v={own}").as_bytes()).is_ok());
    }

    #[test]
    fn servers_that_cheat_are_found_out() {
        let mut scram = Scram::begin("pencil", b"now");
        let ours = scram.nonce.clone();
        for wrong in [
            "r=other,s=QQ==,i=4096".to_owned(),
            format!("r={ours},s=QQ==,i=4096"),
            format!("r={ours}x,s=!,i=4096"),
            format!("r={ours}x,s=QQ==,i=0"),
            format!("r={ours}x,s=QQ==,i=4000000000"),
            String::new(),
        ] {
            assert!(scram.answer(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(md5("user", "password", &[1, 2, 3, 4]), "md5a3576f1ae039b8996bc4fc2720f9c71a");
    }
}
