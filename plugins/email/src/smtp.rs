//! SMTP (RFC 5321) with STARTTLS and the logins that Alertmanager knows: CRAM-MD5, PLAIN and LOGIN.
//!
//! Nothing that is sent has a line of its own making: addresses are checked, and the message's lines that begin with a dot
//! get another.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use stormglass_sdk::net::{Stream, TlsOptions};
use stormglass_sdk::{Error, Result};

/// Bytes of one line of an answer; the standard allows 512.
const LINE_BYTES_MAX: usize = 4 << 10;
/// Lines of one answer: a server has some dozen extensions.
const LINES_MAX: usize = 200;

/// A connection that can begin to speak TLS.
pub(crate) trait Wire: Read + Write {
    fn start_tls(&mut self, options: &TlsOptions) -> Result<()>;
}

impl Wire for Stream {
    fn start_tls(&mut self, options: &TlsOptions) -> Result<()> {
        Ok(Self::start_tls(self, options)?)
    }
}

/// Who logs in.
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) identity: String,
    pub(crate) password: Option<String>,
    /// The secret of CRAM-MD5, where it is another.
    pub(crate) secret: Option<String>,
}

/// A conversation with a server.
pub(crate) struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
    hello: String,
    /// What the server can, in capitals.
    extensions: Vec<String>,
    is_private: bool,
}

/// An answer: its code and its lines.
struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl Answer {
    /// The answer itself if its code is one of these; else an error, retryable where the server says that it may pass.
    fn expect(self, doing: &str, codes: &[u16]) -> Result<Self> {
        if codes.contains(&self.code) {
            return Ok(self);
        }
        let text = format!("{doing}: the server answered {} {}", self.code, self.lines.join(" "));
        Err(if (400..500).contains(&self.code) { Error::retryable(text) } else { Error::permanent(text) })
    }
}

impl<S: Wire> Client<S> {
    /// Takes the server's greeting and says hello. `is_private` where TLS is spoken already, or the server is this machine.
    pub(crate) fn greet(stream: S, hello: &str, is_private: bool) -> Result<Self> {
        let (hello, extensions) = (hello.to_owned(), Vec::new());
        let mut client = Self { stream, buffer: Vec::new(), hello, extensions, is_private };
        client.answer()?.expect("greeting", &[220])?;
        client.hello()?;
        Ok(client)
    }

    fn hello(&mut self) -> Result<()> {
        let hello = self.hello.clone();
        let answer = self.ask(&format!("EHLO {hello}"))?;
        if answer.code == 250 {
            self.extensions = answer.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
            return Ok(());
        }
        self.extensions.clear();
        self.ask(&format!("HELO {hello}"))?.expect("HELO", &[250]).map(drop)
    }

    fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with([' ', '='])).then_some(rest)
        })
    }

    /// Whether the server can speak TLS from here on.
    pub(crate) fn offers_tls(&self) -> bool {
        self.extension("STARTTLS").is_some()
    }

    /// Speaks TLS from here on.
    pub(crate) fn start_tls(&mut self, options: &TlsOptions) -> Result<()> {
        self.ask("STARTTLS")?.expect("STARTTLS", &[220])?;
        if !self.buffer.is_empty() {
            // Sent in plain text, it could pass for an answer that came through TLS.
            return Err(Error::permanent("STARTTLS: the server went on in plain text"));
        }
        self.stream.start_tls(options)?;
        self.is_private = true;
        self.hello()
    }

    /// Logs in by the first way that both sides know.
    pub(crate) fn login(&mut self, login: &Login) -> Result<()> {
        let offered = self.extension("AUTH").unwrap_or_default().to_owned();
        let offers = |name: &str| offered.split([' ', '=']).any(|word| word == name);
        let secret = login.secret.as_ref().or(login.password.as_ref());
        if let Some(secret) = secret.filter(|_| offers("CRAM-MD5")) {
            let asked = self.ask("AUTH CRAM-MD5")?.expect("AUTH CRAM-MD5", &[334])?;
            let challenge = asked.lines.first().and_then(|text| BASE64.decode(text.trim()).ok());
            let challenge = challenge.ok_or_else(|| Error::permanent("AUTH CRAM-MD5: a broken challenge"))?;
            let digest = hmac_md5(secret.as_bytes(), &challenge);
            let answer = BASE64.encode(format!("{} {}", login.username, hex::encode(digest)));
            return self.ask(&answer)?.expect("AUTH CRAM-MD5", &[235]).map(drop);
        }
        let Some(password) = &login.password else {
            return Err(Error::permanent(format!(
                "no way to log in: the server offers {:?}",
                offered.trim()
            )));
        };
        if !self.is_private {
            return Err(Error::permanent(
                "a password is not sent without TLS: the server has to offer STARTTLS, or listen on port 465",
            ));
        }
        if offers("PLAIN") {
            let text = format!("{}\0{}\0{password}", login.identity, login.username);
            return self
                .ask(&format!("AUTH PLAIN {}", BASE64.encode(text)))?
                .expect("AUTH PLAIN", &[235])
                .map(drop);
        }
        if offers("LOGIN") {
            self.ask("AUTH LOGIN")?.expect("AUTH LOGIN", &[334])?;
            self.ask(&BASE64.encode(&login.username))?.expect("AUTH LOGIN", &[334])?;
            return self.ask(&BASE64.encode(password))?.expect("AUTH LOGIN", &[235]).map(drop);
        }
        Err(Error::permanent(format!("no way to log in: the server offers {:?}", offered.trim())))
    }

    /// Hands a message over.
    pub(crate) fn send(&mut self, from: &str, to: &[String], message: &str) -> Result<()> {
        self.ask(&format!("MAIL FROM:<{from}>"))?.expect("MAIL", &[250])?;
        for address in to {
            self.ask(&format!("RCPT TO:<{address}>"))?.expect(&format!("RCPT {address}"), &[250, 251])?;
        }
        self.ask("DATA")?.expect("DATA", &[354])?;
        let mut data = String::with_capacity(message.len() + 64);
        for line in message.lines() {
            if line.starts_with('.') {
                data.push('.');
            }
            data.push_str(line);
            data.push_str("\r\n");
        }
        data.push('.');
        self.ask(&data)?.expect("DATA", &[250])?;
        // The message is delivered; what comes of the goodbye does not matter.
        let _ = self.ask("QUIT");
        Ok(())
    }

    fn ask(&mut self, line: &str) -> Result<Answer> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        let broken = || Error::retryable("the server does not speak SMTP");
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok()).ok_or_else(broken)?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            match line.as_bytes().get(3) {
                Some(b'-') if lines.len() < LINES_MAX => {}
                Some(b' ') | None => return Ok(Answer { code, lines }),
                _ => return Err(broken()),
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(Error::retryable("the server does not speak SMTP: a line has no end"));
            }
            let mut chunk = [0; 1024];
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

/// HMAC with MD5 (RFC 2104), as CRAM-MD5 (RFC 2195) has it.
fn hmac_md5(key: &[u8], message: &[u8]) -> [u8; 16] {
    let mut padded = [0_u8; 64];
    let hashed = Md5::digest(key);
    let key = if key.len() > padded.len() { hashed.as_slice() } else { key };
    for (place, byte) in padded.iter_mut().zip(key) {
        *place = *byte;
    }
    let inner = Md5::new().chain_update(padded.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Md5::new().chain_update(padded.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2195_holds() {
        let digest = hmac_md5(b"tanstaaftanstaaf", b"<1896.697170952@postoffice.reston.mci.net>");
        assert_eq!(hex::encode(digest), "b913a602c7eda7a495b4e6e7334d3890");
    }
}
