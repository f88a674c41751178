//! The built server as a process: started on free ports, read, stopped, killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::Client;
use super::until;

/// A start includes compiling every plugin with a debug build of the server.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A folder that `cargo xtask test` names, with where it puts it by default.
fn built(variable: &str, default: &str) -> PathBuf {
    let path = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(default), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, which builds it", path.display());
    path
}

/// Puts all built plugins into one folder, under the names that configurations use.
pub(crate) fn collect_plugins(into: &Path) {
    fs::create_dir_all(into).unwrap();
    for (variable, default) in
        [("STORMGLASS_PLUGINS", "target/plugins"), ("STORMGLASS_TEST_PLUGINS", "target/test-plugins")]
    {
        for entry in fs::read_dir(built(variable, default)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                fs::copy(&path, into.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// One of the guests in `tests/guests`.
pub(crate) fn test_plugin(name: &str) -> PathBuf {
    built("STORMGLASS_TEST_PLUGINS", "target/test-plugins").join(format!("{name}.wasm"))
}

/// The built binary.
pub(crate) fn binary() -> PathBuf {
    built("STORMGLASS_SERVER", "target/debug/stormglass")
}

/// Where one server listens.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) web: u16,
    pub(crate) otlp_grpc: u16,
    pub(crate) otlp_http: u16,
}

impl Ports {
    /// Three ports that were free a moment ago.
    pub(crate) fn free() -> Self {
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [web, otlp_grpc, otlp_http] = listeners.map(|listener| listener.local_addr().unwrap().port());
        Self { web, otlp_grpc, otlp_http }
    }
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    pub(crate) api: Client,
}

impl Server {
    /// Starts the server on a folder that holds `prometheus.yml` and `plugins/`, and waits until it is ready.
    pub(crate) fn start(folder: &Path, ports: Ports) -> Self {
        Self::start_with(folder, ports, &[])
    }

    /// As [`Server::start`], with more flags. Those given last count.
    pub(crate) fn start_with(folder: &Path, ports: Ports, flags: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .current_dir(folder)
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg("--plugins.dir=plugins")
            .arg("--web.enable-lifecycle")
            .arg(format!("--web.listen-address=127.0.0.1:{}", ports.web))
            .arg(format!("--otlp.grpc.listen-address=127.0.0.1:{}", ports.otlp_grpc))
            .arg(format!("--otlp.http.listen-address=127.0.0.1:{}", ports.otlp_http))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let mut server = Self {
            child,
            lines,
            reader: Some(reader),
            api: Client::new(&format!("http://127.0.0.1:{}", ports.web)),
        };
        until("the server is ready", READY_WITHIN, || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", server.log().join("\n"));
            }
            server.api.try_get("/-/ready").is_some_and(|answer| answer.status == 200).then_some(())
        });
        server
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Warnings and errors that nobody expected.
    pub(crate) fn unexpected(&self, expected: &[&str]) -> Vec<String> {
        let bad = |line: &String| line.contains(" level=WARN ") || line.contains(" level=ERROR ");
        let known = |line: &String| expected.iter().any(|text| line.contains(text));
        self.log().into_iter().filter(|line| bad(line) && !known(line)).collect()
    }

    /// The processes that it has started and that have not ended.
    pub(crate) fn children(&self) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let children =
            threads.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        children.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success(), "send SIG{name}");
    }

    /// As a power switch would: no chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop; it must do so with success. What it has logged is complete afterwards.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        let status = until("the server stops", Duration::from_secs(20), || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log().join("\n"));
        }
    }
}
