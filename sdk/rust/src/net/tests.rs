//! Connections of plugins under test, and addresses as people write them.

use std::io::{Read, Write};

use super::*;
use crate::testing::{Host, Script};

#[test]
fn addresses_are_read_with_and_without_a_port() {
    let check = |address: &str, default: Option<u16>, expected: Option<(&str, u16)>| {
        let found = Connect::to(address, default).ok();
        let found = found.as_ref().map(|connect| (connect.host(), connect.port()));
        assert_eq!(found, expected, "{address}");
    };
    check("a:1", None, Some(("a", 1)));
    check("a", Some(25), Some(("a", 25)));
    check("[::1]:5", None, Some(("[::1]", 5)));
    check("[::1]", Some(5), Some(("[::1]", 5)));
    check("::1", Some(5), Some(("::1", 5)));
    check("a", None, None);
    check("a:b", Some(1), None);
    check(":1", None, None);
}

#[test]
fn a_script_answers_what_it_expects() {
    let script = Script::new().answer("hello\r\n").expect("PING\r\n").answer("+PONG\r\n");
    let host = Host::new().connection("cache:6379", script);
    host.run(|| {
        let mut stream = Connect::new("cache", 6379).open().unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello\r\n");
        stream.write_all(b"PI").unwrap();
        stream.write_all(b"NG\r\n").unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
        assert_eq!(stream.read(&mut answer).unwrap(), 0);
        let error = stream.write_all(b"more").unwrap_err();
        assert_eq!(crate::Error::from(error).to_string(), "the test expects nothing, and was sent \"more\"");
        let error = crate::Error::from(Connect::new("other", 1).open().unwrap_err());
        assert!(!error.is_retryable());
        assert_eq!(error.to_string(), "net: other:1 is not granted");
    });
}
