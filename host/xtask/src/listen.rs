//! Where the server that `run` starts will listen, and whether it can: found out before the long build.

use std::net::TcpListener;

use anyhow::{Result, bail};

/// The server's flags that name an address, each with its default.
const FLAGS: [(&str, &str); 3] = [
    ("--web.listen-address", "127.0.0.1:9090"),
    ("--otlp.grpc.listen-address", "127.0.0.1:4317"),
    ("--otlp.http.listen-address", "127.0.0.1:4318"),
];

/// Fails where an address is taken, and says how to choose others.
pub(crate) fn check_free(arguments: &[String]) -> Result<()> {
    let mut problems = Vec::new();
    let mut hint = "cargo xtask run --".to_owned();
    for (flag, default) in FLAGS {
        let address = given(arguments, flag).unwrap_or(default);
        if let Err(error) = TcpListener::bind(host_port(address)) {
            problems.push(format!("cannot listen at {address}: {error}"));
            hint.push_str(&format!(" {flag}={}", another(address)));
        } else if let Some(given) = given(arguments, flag) {
            hint.push_str(&format!(" {flag}={given}"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}\nstop what listens there, or choose other addresses:\n  {hint}", problems.join("\n"))
}

/// The last value of a flag, written in either way.
fn given<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let mut found = None;
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(flag) {
            Some("") => found = arguments.next(),
            Some(rest) => found = rest.strip_prefix('=').or(found),
            None => {}
        }
    }
    found
}

/// With a host, as sockets want it.
fn host_port(address: &str) -> String {
    if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() }
}

/// The same host and a port far away, or any that is free.
fn another(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let port = port.parse::<u16>().ok().and_then(|port| port.checked_add(10_000)).unwrap_or(0);
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn flags_are_found_however_they_are_written() {
        assert_eq!(given(&words("--log.level debug"), "--web"), None);
        assert_eq!(given(&words("--web :1 --log.level debug"), "--web"), Some(":1"));
        assert_eq!(given(&words("--web a:1 --web=b:2 --website=c:3"), "--web"), Some("b:2"));
    }

    #[test]
    fn a_taken_address_is_told_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let free = "--otlp.grpc.listen-address=127.0.0.1:0 --otlp.http.listen-address :0";
        let arguments = words(&format!("{free} --web.listen-address={address}"));
        let error = check_free(&arguments).unwrap_err().to_string();
        let expected = format!(
            "stop what listens there, or choose other addresses:\n  cargo xtask run -- \
             --web.listen-address={} --otlp.grpc.listen-address=127.0.0.1:0 --otlp.http.listen-address=:0",
            another(&address.to_string())
        );
        assert!(error.starts_with(&format!("cannot listen at {address}: ")), "{error}");
        assert!(error.ends_with(&expected), "{error}");
        drop(taken);
        check_free(&arguments).unwrap();
    }

    #[test]
    fn another_address_has_another_port() {
        assert_eq!(another("127.0.0.1:9090"), "127.0.0.1:19090");
        assert_eq!(another("[::1]:60000"), "[::1]:0");
    }
}
