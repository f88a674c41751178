//! Look-ups in the DNS: one question to one server after another, over UDP and, where the answer does not fit, TCP.
//!
//! There is no cache: a discoverer asks at its own interval, and is to see what is there.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{Answer, Question};
use crate::bindings::stormglass::host::dns::{Entry, RecordType};

/// Where the system's servers are named.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How long one server has for one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often each server is asked.
const ATTEMPTS: usize = 2;
/// Servers that are asked; a C library asks three.
const SERVERS_MAX: usize = 3;
/// Bytes of an answer over UDP that no network fragments.
const UDP_BYTES: u16 = 1232;
/// The code of an answer that says that there is no such name.
const NO_SUCH_NAME: u16 = 3;

/// Which servers are asked, and what is appended to names that have no dot at their end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Servers {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) search: Vec<String>,
    /// A name with so many dots is first tried as it is.
    pub(crate) dots: usize,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum LookupError {
    InvalidName(String),
    NoSuchName,
    Failed(String),
}

impl Servers {
    /// Those of the system, as its file has them now.
    pub(crate) async fn system() -> Self {
        let text = tokio::fs::read_to_string(Path::new(RESOLV_CONF)).await.unwrap_or_default();
        Self::parse(&text)
    }

    /// One server, and no search list.
    pub(crate) fn one(address: SocketAddr) -> Self {
        Self { addresses: vec![address], search: Vec::new(), dots: 0 }
    }

    fn parse(text: &str) -> Self {
        let (mut addresses, mut search, mut dots) = (Vec::new(), Vec::new(), 1);
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    addresses.extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let given = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    dots = given.unwrap_or(dots);
                }
                _ => {}
            }
        }
        if addresses.is_empty() {
            addresses.push((Ipv4Addr::LOCALHOST, 53).into());
        }
        addresses.truncate(SERVERS_MAX);
        Self { addresses, search, dots }
    }

    /// The names to try, in order.
    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{}.", domain.trim_end_matches('.')));
        let plain = [format!("{name}.")].into_iter();
        if name.matches('.').count() >= self.dots {
            plain.chain(searched).collect()
        } else {
            searched.chain(plain).collect()
        }
    }
}

/// Asks until a server has an answer: about the first name that there is, with or without records of the type.
pub(crate) async fn lookup(
    servers: &Servers,
    name: &str,
    record_type: RecordType,
) -> Result<Vec<Entry>, LookupError> {
    let mut failed = None;
    for candidate in servers.candidates(name) {
        if Question::new(0, &candidate, record_type).is_none() {
            return Err(LookupError::InvalidName(format!("{candidate} is no name")));
        }
        match ask_servers(&servers.addresses, &candidate, record_type).await {
            Ok(answer) if answer.code == NO_SUCH_NAME => {}
            Ok(answer) => return Ok(answer.entries),
            Err(what) => failed = Some(what),
        }
    }
    Err(failed.map_or(LookupError::NoSuchName, LookupError::Failed))
}

async fn ask_servers(servers: &[SocketAddr], name: &str, record_type: RecordType) -> Result<Answer, String> {
    let mut last = String::new();
    for server in servers.iter().cycle().take(servers.len() * ATTEMPTS) {
        let asked = tokio::time::timeout(ATTEMPT_TIMEOUT, ask(*server, name, record_type)).await;
        last = match asked {
            Ok(Ok(answer)) if matches!(answer.code, 0 | NO_SUCH_NAME) => return Ok(answer),
            Ok(Ok(answer)) => format!("{server} answered {} for {name}", reason(answer.code)),
            Ok(Err(error)) => format!("{server}: {error}"),
            Err(_) => format!("{server} did not answer"),
        };
    }
    Err(last)
}

/// What a server's code means (RFC 1035, section 4.1.1).
fn reason(code: u16) -> String {
    match code {
        1 => "that it does not understand the question".to_owned(),
        2 => "that it failed".to_owned(),
        4 => "that it does not know this kind of question".to_owned(),
        5 => "that it refuses".to_owned(),
        other => format!("with code {other}"),
    }
}

/// One question to one server.
async fn ask(server: SocketAddr, name: &str, record_type: RecordType) -> io::Result<Answer> {
    // What nobody can guess: the number and, by the system, the port that it is asked from.
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), name);
    let question = Question::new((seed & 0xffff) as u16, name, record_type);
    let question = question.ok_or_else(|| io::Error::other("no name"))?;
    let bytes = question.encode(UDP_BYTES);

    let own: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).await?;
    // Connected, so that the system drops what others send.
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Some(answer) = buffer.get(..length).and_then(|bytes| question.answer(bytes)) else {
            // A late answer to another question, or a forged one.
            continue;
        };
        if !answer.truncated {
            return Ok(answer);
        }
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await?;
        let mut whole = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut whole).await?;
        return question.answer(&whole).ok_or_else(|| io::Error::other("the answer is none"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tried_as_the_system_says() {
        let check = |text: &str, name: &str, expected: &[&str]| {
            assert_eq!(Servers::parse(text).candidates(name), expected, "{name} with {text:?}");
        };
        let text = "# comment\nsearch a.example b.example.\nnameserver 192.0.2.1\noptions edns0 ndots:2\n";
        check(text, "db", &["db.a.example.", "db.b.example.", "db."]);
        check(text, "x.y.z", &["x.y.z.", "x.y.z.a.example.", "x.y.z.b.example."]);
        check(text, "db.", &["db."]);
        check("", "db.c", &["db.c."]);
        let servers =
            Servers::parse("nameserver 192.0.2.1\nnameserver ::1\nnameserver x\nnameserver 192.0.2.3");
        let addresses: Vec<String> = servers.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.1:53", "[::1]:53", "192.0.2.3:53"]);
        assert_eq!(Servers::parse("").addresses, [SocketAddr::from(([127, 0, 0, 1], 53))]);
    }
}
