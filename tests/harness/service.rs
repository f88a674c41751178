//! Servers of others, as the tests find them installed: started on a port of their own, in a folder of their own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::http::Client;
use super::{PATIENCE, until};

/// A running server. Dropping it kills it.
pub(crate) struct Service {
    child: Child,
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A file of `tests/tls`.
pub(crate) fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tls").join(name)
}

/// Says that something is not there; `cargo xtask test` installs what Debian has. A test without it proves less, and its output is where that is seen.
fn missing(what: &str) {
    println!("NOT TESTED: {what} is not installed");
}

impl Service {
    fn start(command: &mut Command, port: u16, folder: tempfile::TempDir) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut service = Self { child, port, _folder: folder };
        until("a server listens", PATIENCE, || {
            if let Some(status) = service.child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        service
    }

    /// Redis with the password `hush`, in plain text on its port and with TLS on the next one given; none where it is not
    /// installed.
    pub(crate) fn redis(tls_port: u16) -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            missing("redis-server");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new("redis-server");
        command
            .current_dir(folder.path())
            .args(["--bind", "127.0.0.1", "--save", "", "--requirepass", "hush", "--tls-auth-clients", "no"])
            .args(["--port", &port.to_string(), "--tls-port", &tls_port.to_string()])
            .arg("--tls-cert-file")
            .arg(tls("server.pem"))
            .arg("--tls-key-file")
            .arg(tls("server-key.pem"))
            .arg("--tls-ca-cert-file")
            .arg(tls("ca.pem"));
        Some(Self::start(&mut command, port, folder))
    }

    /// PostgreSQL, which speaks TLS and knows `monitor`, whose password `hush` is kept for SCRAM, and `elder`, whose
    /// password `hush` is kept as MD5; none where it is not installed.
    pub(crate) fn postgres() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
        let Some(bin) =
            versions.map(|entry| entry.path().join("bin")).find(|bin| bin.join("initdb").is_file())
        else {
            missing("PostgreSQL");
            return None;
        };
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let path = |name: &str| folder.path().join(name);
        fs::write(path("password"), "hush\n").unwrap();
        fs::copy(tls("server.pem"), path("server.pem")).unwrap();
        fs::copy(tls("server-key.pem"), path("server-key.pem")).unwrap();
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(Command::new("chmod").arg("600").arg(path("server-key.pem")));
        // PostgreSQL does not run as root.
        let is_root =
            Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"));
        let program = |name: &str| {
            if is_root {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(bin.join(name));
                command
            } else {
                Command::new(bin.join(name))
            }
        };
        if is_root {
            run(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()));
        }
        run(program("initdb")
            .current_dir(folder.path())
            .args(["--username=monitor", "--auth=md5", "--no-sync", "--no-locale", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", path("password").display()))
            .arg(path("data")));
        let mut command = program("postgres");
        command
            .current_dir(folder.path())
            .arg("-D")
            .arg(path("data"))
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F"])
            .args(["-c", "ssl=on", "-c", "track_io_timing=on"])
            .args(["-c", &format!("ssl_cert_file={}", path("server.pem").display())])
            .args(["-c", &format!("ssl_key_file={}", path("server-key.pem").display())])
            .args(["-c", &format!("unix_socket_directories={}", folder.path().display())]);
        let service = Self::start(&mut command, port, folder);
        let url = format!("host=127.0.0.1 port={port} user=monitor dbname=postgres");
        let sql = "SET password_encryption = 'md5'; CREATE ROLE elder LOGIN PASSWORD 'hush'";
        until("PostgreSQL takes questions", PATIENCE, || {
            let asked =
                Command::new(bin.join("psql")).env("PGPASSWORD", "hush").args([&url, "-c", sql]).output();
            asked.unwrap().status.success().then_some(())
        });
        Some(service)
    }

    /// A DNS server with these options of dnsmasq's; none where it is not installed.
    pub(crate) fn dns(options: &[String]) -> Option<Self> {
        let program = ["dnsmasq", "/usr/sbin/dnsmasq"];
        let Some(program) = program.iter().find(|name| Command::new(name).arg("--version").output().is_ok())
        else {
            missing("dnsmasq");
            return None;
        };
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new(program);
        command
            .current_dir(folder.path())
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--bind-interfaces",
            ])
            .args(["--listen-address=127.0.0.1", "--user=root", "--pid-file="])
            .arg(format!("--port={port}"))
            .args(options);
        Some(Self::start(&mut command, port, folder))
    }

    /// A Consul of one agent, which keeps everything in memory; none where it is not installed.
    pub(crate) fn consul() -> Option<Self> {
        if Command::new("consul").arg("version").output().is_err() {
            missing("consul");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new("consul");
        command.current_dir(folder.path()).args(["agent", "-dev", "-node=n1", "-bind=127.0.0.1"]);
        for unused in ["grpc", "grpc-tls", "dns", "serf-wan"] {
            command.arg(format!("-{unused}-port=-1"));
        }
        for own in ["server", "serf-lan"] {
            command.arg(format!("-{own}-port={}", free_port()));
        }
        command.arg(format!("-http-port={port}"));
        let service = Self::start(&mut command, port, folder);
        let api = Client::new(&format!("http://127.0.0.1:{port}"));
        until("Consul has a leader", PATIENCE, || {
            (api.try_get("/v1/status/leader")?.body != "\"\"").then_some(())
        });
        Some(service)
    }

    /// A mail server that wants TLS and then the user `storm` with the password `hush`, and puts what it gets into files of a
    /// folder; none where it is not installed.
    pub(crate) fn mail(into: &Path) -> Option<Self> {
        const SERVER: &str = include_str!("mail.py");
        let python = "/usr/bin/python3";
        let has = Command::new(python).args(["-c", "import aiosmtpd"]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            missing("aiosmtpd");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new(python);
        command
            .args(["-c", SERVER, &port.to_string()])
            .arg(into)
            .arg(tls("server.pem"))
            .arg(tls("server-key.pem"));
        Some(Self::start(&mut command, port, folder))
    }

    /// A server for HTTPS out of Python's own library; none where there is no Python.
    pub(crate) fn https() -> Option<Self> {
        const SERVER: &str = "import http.server, ssl, sys\n\
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)\n\
            context.load_cert_chain(sys.argv[2], sys.argv[3])\n\
            server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)\n\
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)\n\
            server.serve_forever()\n";
        if Command::new("python3").arg("--version").output().is_err() {
            missing("Python");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new("python3");
        command
            .current_dir(folder.path())
            .args(["-c", SERVER, &port.to_string()])
            .arg(tls("server.pem"))
            .arg(tls("server-key.pem"));
        Some(Self::start(&mut command, port, folder))
    }
}
