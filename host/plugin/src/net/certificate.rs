//! What stands in a certificate (X.509, RFC 5280), read for people: nothing is decided by it. Whether it holds is for rustls
//! to say.
//!
//! ```text
//! value        tag u8, length (u8 below 128, or 0x80 | n and n bytes), content
//! certificate  { { [0] version?, serial, algorithm, issuer, { from, until }, subject, key, …, [3] { extensions }? }, … }
//! name         { { { oid, text }, … }, … }
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use crate::bindings::stormglass::types::net::Certificate;

/// Names of one certificate that are told; the largest that are issued have a few hundred.
const NAMES_MAX: usize = 1_000;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERAL_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Alternative names: mail, DNS, URI, address.
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// The extension with alternative names, 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

/// Parts of names, by what follows 2.5.4.
const ATTRIBUTES: [(u8, &str); 7] =
    [(3, "CN"), (5, "serialNumber"), (6, "C"), (7, "L"), (8, "ST"), (10, "O"), (11, "OU")];

/// A certificate as it is told; none where it is none.
pub(crate) fn describe(der: &[u8]) -> Option<Certificate> {
    let mut whole = Reader(der).expect(SEQUENCE)?;
    let mut body = whole.expect(SEQUENCE)?;
    body.optional(VERSION);
    let serial = body.expect(INTEGER)?.0;
    body.expect(SEQUENCE)?;
    let issuer = name(body.expect(SEQUENCE)?)?;
    let mut validity = body.expect(SEQUENCE)?;
    let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
    let subject = name(body.expect(SEQUENCE)?)?;
    let mut names = Vec::new();
    while let Some((tag, content)) = body.next() {
        if tag == EXTENSIONS {
            names = alternative_names(content).unwrap_or_default();
        }
    }
    Some(Certificate {
        subject,
        issuer,
        names,
        serial: hex::encode(serial),
        not_before,
        not_after,
        fingerprint: hex::encode(Sha256::digest(der)),
    })
}

/// Values one after another.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value's tag and content.
    fn next(&mut self) -> Option<(u8, Reader<'a>)> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk::<2>()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, Reader(content)))
    }

    /// The next value, which has this tag.
    fn expect(&mut self, wanted: u8) -> Option<Reader<'a>> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }

    /// Passes over the next value if it has this tag.
    fn optional(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }
}

/// `CN=db.example, O=Example`, in the order in which it stands there.
fn name(mut sequence: Reader<'_>) -> Option<String> {
    let mut text = String::new();
    while !sequence.0.is_empty() {
        let mut set = sequence.expect(SET)?;
        while !set.0.is_empty() {
            let mut pair = set.expect(SEQUENCE)?;
            let oid = pair.expect(OID)?.0;
            let (_, value) = pair.next()?;
            if !text.is_empty() {
                text.push_str(", ");
            }
            let known = match oid {
                [0x55, 0x04, last] => ATTRIBUTES.iter().find(|(code, _)| code == last),
                _ => None,
            };
            match known {
                Some((_, name)) => text.push_str(name),
                None => write!(text, "{}", hex::encode(oid)).ok()?,
            }
            text.push('=');
            text.push_str(&String::from_utf8_lossy(value.0));
        }
    }
    Some(text)
}

/// Seconds since the Unix epoch: `YYMMDDhhmmssZ` of 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn time(reader: &mut Reader<'_>) -> Option<i64> {
    let (tag, content) = reader.next()?;
    let text = std::str::from_utf8(content.0).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERAL_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(2 * at..2 * at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(1)?);
    let (hour, minute, second) = (part(2)?, part(3)?, part(4)?);
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since the Unix epoch. Years are counted from March, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

fn alternative_names(mut wrapped: Reader<'_>) -> Option<Vec<String>> {
    let mut extensions = wrapped.expect(SEQUENCE)?;
    let mut names = Vec::new();
    while let Some(mut extension) = extensions.expect(SEQUENCE) {
        if extension.expect(OID)?.0 != ALTERNATIVE_NAMES {
            continue;
        }
        // Whether it is critical may stand between.
        let mut content = loop {
            if let (OCTETS, content) = extension.next()? {
                break content;
            }
        };
        let mut listed = content.expect(SEQUENCE)?;
        while let Some((tag, content)) = listed.next() {
            let name = match tag {
                MAIL | DNS | URI => String::from_utf8_lossy(content.0).into_owned(),
                ADDRESS => match address(content.0) {
                    Some(address) => address.to_string(),
                    None => continue,
                },
                _ => continue,
            };
            if names.len() < NAMES_MAX {
                names.push(name);
            }
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into());
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into());
    v4().or_else(v6)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn server() -> CertificateDer<'static> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tls/server.pem");
        CertificateDer::from_pem_file(path).unwrap()
    }

    #[test]
    fn a_certificate_is_told_as_openssl_tells_it() {
        let told = describe(&server()).unwrap();
        assert_eq!((told.subject.as_str(), told.issuer.as_str()), ("CN=server", "CN=test authority"));
        assert_eq!(told.names, ["localhost", "127.0.0.1"]);
        assert_eq!((told.not_before, told.not_after), (1_795_340_378, 4_948_940_378));
        assert_eq!(told.serial, "72af0f96151a989172ffd9690ed570bd8637eb2a");
        assert_eq!(told.fingerprint, "11b2ef8bac686d08b2739026b3a2ea72fafa806c64369b85cabf4a20ea214bf9");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |tag: u8, text: &str, expected: Option<i64>| {
            let mut value = vec![tag, u8::try_from(text.len()).unwrap()];
            value.extend_from_slice(text.as_bytes());
            assert_eq!(time(&mut Reader(&value)), expected, "{text}");
        };
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(UTC_TIME, "500101000000Z", Some(-631_152_000));
        check(GENERAL_TIME, "20240229120000Z", Some(1_709_208_000));
        check(GENERAL_TIME, "99991231235959Z", Some(253_402_300_799));
        check(GENERAL_TIME, "2024", None);
        check(OID, "700101000000Z", None);
        check(UTC_TIME, "70010100000é", None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(at in any::<prop::sample::Index>(), byte: u8, noise: Vec<u8>) {
            let mut der = server().to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            let _ = describe(&der);
            let _ = describe(&noise);
            der.truncate(at);
            prop_assert!(describe(&der).is_none_or(|told| told.subject.len() < der.len()));
        }
    }
}
