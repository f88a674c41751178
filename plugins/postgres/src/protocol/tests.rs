//! A server that is played, and bytes that are none of the protocol's.

use std::io::Cursor;

use super::*;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&i32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend_from_slice(body);
    message
}

/// A stream that answers what was put into it, whatever is sent.
struct Canned(Cursor<Vec<u8>>);

impl Read for Canned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Canned {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn login(answer: Vec<u8>, password: Option<&str>) -> Result<Client<Canned>, Error> {
    let login = Login { user: "u", database: "d", password, entropy: b"" };
    Client::login(Canned(Cursor::new(answer)), &login)
}

const OK: [u8; 4] = [0, 0, 0, 0];

#[test]
fn rows_are_read() {
    let mut answer = message(b'R', &OK);
    answer.extend(message(b'S', b"server_version\x0015.4\0"));
    answer.extend(message(b'Z', b"I"));
    let mut columns = vec![0, 2];
    for name in [b"a\0", b"b\0"] {
        columns.extend_from_slice(name);
        columns.extend_from_slice(&[0; 18]);
    }
    answer.extend(message(b'T', &columns));
    answer.extend(message(b'D', b"\0\x02\0\0\0\x02hi\xff\xff\xff\xff"));
    answer.extend(message(b'C', b"SELECT 1\0"));
    answer.extend(message(b'Z', b"I"));
    answer.extend(message(b'E', b"SERROR\0C42P01\0Mno such table\0\0"));
    answer.extend(message(b'Z', b"I"));
    let mut client = login(answer, None).unwrap();
    assert_eq!(client.parameter("server_version"), Some("15.4"));
    let rows = client.query("SELECT").unwrap();
    assert_eq!(rows.columns, ["a", "b"]);
    assert_eq!(rows.rows, [[Some("hi".to_owned()), None]]);
    let error = client.query("SELECT").unwrap_err();
    assert_eq!(error.to_string(), "no such table (SQLSTATE 42P01)");
}

#[test]
fn logins_fail_with_the_reason() {
    let check = |answer: Vec<u8>, password: Option<&str>, expected: &str| {
        assert_eq!(login(answer, password).err().unwrap().to_string(), expected);
    };
    let refused = message(b'E', b"SFATAL\0C28P01\0Mpassword authentication failed\0\0");
    check(refused, None, "password authentication failed (SQLSTATE 28P01)");
    let md5 = message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]);
    check(md5, None, "the server asks for a password; name a secret in `password_secret`");
    let strange = message(b'R', &[0, 0, 0, 7]);
    check(strange, Some("x"), "not PostgreSQL's protocol: a way to log in that is not known");
    let early = message(b'R', &[0, 0, 0, 12]);
    check(early, Some("x"), "not PostgreSQL's protocol: a login that was not begun");
    check(message(b'R', &[0]), None, "not PostgreSQL's protocol: a broken request to log in");
    check(
        vec![b'R', 0x7f, 0xff, 0xff, 0xff],
        None,
        "not PostgreSQL's protocol: a message of no length that can be",
    );
    check(vec![b'R', 0, 0, 0, 1], None, "not PostgreSQL's protocol: a message of no length that can be");
}

#[test]
fn no_bytes_make_the_protocol_panic() {
    let mut random = 7_u32;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) as u8
    };
    for _ in 0..2_000 {
        let mut answer = message(b'R', &OK);
        answer.extend(message(b'Z', b"I"));
        for _ in 0..next() % 6 {
            let body: Vec<u8> = (0..next() % 40).map(|_| next() % 8).collect();
            answer.extend(message(b"TDEZSRC"[usize::from(next() % 7)], &body));
        }
        if let Ok(mut client) = login(answer, Some("x")) {
            // Whatever comes of it, it comes to an end.
            let _ = client.query("SELECT");
        }
    }
}
