//! Servers to measure: ours, and others beside it, each a process of its own on a free port of this machine with an
//! empty folder. Dropping a peer kills it.

use std::env;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Usage;

/// How long a server may take until it is ready, a replay of its log included.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A program that stores samples and answers queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// Ours: what `STORMGLASS_SERVER` names, else the binary beside this program, in the folder that cargo built both to.
    Stormglass,
    /// As it is installed.
    Prometheus,
    /// As it is installed; the single-node version.
    VictoriaMetrics,
}

impl Product {
    /// All, ours first.
    pub const ALL: [Self; 3] = [Self::Stormglass, Self::Prometheus, Self::VictoriaMetrics];

    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stormglass => "Stormglass",
            Self::Prometheus => "Prometheus",
            Self::VictoriaMetrics => "VictoriaMetrics",
        }
    }

    /// The program, if this machine has it.
    pub fn program(self) -> Option<PathBuf> {
        let named = match self {
            Self::Stormglass => return own_server(),
            Self::Prometheus => "prometheus",
            Self::VictoriaMetrics => "victoria-metrics",
        };
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|folder| folder.join(named)).find(|program| program.is_file())
    }

    /// Which version is installed, as the program says it.
    ///
    /// # Errors
    /// Where the program cannot be run.
    pub fn version(self) -> io::Result<String> {
        let program = self.program().ok_or_else(|| self.not_found())?;
        let flag = if self == Self::VictoriaMetrics { "-version" } else { "--version" };
        let output = Command::new(program).arg(flag).output()?;
        let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
    }

    fn not_found(self) -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, format!("find no {}: install it first", self.name()))
    }
}

fn own_server() -> Option<PathBuf> {
    if let Some(named) = env::var_os("STORMGLASS_SERVER") {
        return Some(named.into());
    }
    // Tests and benches lie in `deps`, one below binaries.
    let beside = env::current_exe().ok()?;
    beside
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("stormglass"))
        .find(|program| program.is_file())
}

/// A running server.
#[derive(Debug)]
pub struct Peer {
    product: Product,
    child: Child,
    base: String,
    folder: PathBuf,
}

impl Peer {
    /// Starts a server and waits until it is ready. In `folder` it finds, and leaves, its data: a second start with the
    /// same folder is a restart. `config` is its configuration in Prometheus' language; empty, it scrapes nothing. `flags`
    /// come last.
    ///
    /// # Errors
    /// Where it is not installed, cannot be started, ends, or does not become ready.
    pub fn start(product: Product, folder: &Path, config: &str, flags: &[&str]) -> io::Result<Self> {
        let program = product.program().ok_or_else(|| product.not_found())?;
        fs::create_dir_all(folder.join("plugins"))?;
        let config_file = folder.join("config.yml");
        fs::write(&config_file, if config.is_empty() { "global: {}\n" } else { config })?;
        let [web, grpc, http] = free_ports()?;
        let mut command = Command::new(program);
        command.current_dir(folder);
        match product {
            Product::Stormglass => {
                command
                    .arg("--config.file=config.yml")
                    .arg("--storage.tsdb.path=data")
                    .arg("--storage.tsdb.retention.time=100y")
                    .arg("--plugins.dir=plugins")
                    .arg("--web.enable-lifecycle")
                    .arg(format!("--web.listen-address=127.0.0.1:{web}"))
                    .arg(format!("--otlp.grpc.listen-address=127.0.0.1:{grpc}"))
                    .arg(format!("--otlp.http.listen-address=127.0.0.1:{http}"));
            }
            Product::Prometheus => {
                command
                    .arg("--config.file=config.yml")
                    .arg("--storage.tsdb.path=data")
                    .arg("--storage.tsdb.retention.time=100y")
                    .arg("--web.enable-lifecycle")
                    .arg("--web.enable-remote-write-receiver")
                    .arg("--enable-feature=native-histograms")
                    .arg(format!("--web.listen-address=127.0.0.1:{web}"));
            }
            Product::VictoriaMetrics => {
                command
                    .arg("-storageDataPath=data")
                    .arg("-retentionPeriod=100y")
                    .arg(format!("-httpListenAddr=127.0.0.1:{web}"));
                if !config.is_empty() {
                    command.arg("-promscrape.config=config.yml");
                }
            }
        }
        let log = fs::File::create(folder.join("log.txt"))?;
        let child = command.args(flags).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut peer =
            Self { product, child, base: format!("http://127.0.0.1:{web}"), folder: folder.to_owned() };
        peer.wait_until_ready()?;
        Ok(peer)
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let path = if self.product == Product::VictoriaMetrics { "/health" } else { "/-/ready" };
        let url = format!("{}{path}", self.base);
        let deadline = Instant::now() + READY_WITHIN;
        while ureq::get(&url).call().is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default();
                return Err(io::Error::other(format!("{} ended with {status}:\n{log}", self.product.name())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{} does not become ready", self.product.name())));
            }
            // None of these programs says in any other way that it is ready.
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Which program it is.
    pub const fn product(&self) -> Product {
        self.product
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it answers, such as `http://127.0.0.1:40123`. All products take remote write under `/api/v1/write` and
    /// queries under `/api/v1/query` and `/api/v1/query_range`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The folder with its data (`data`) and its log (`log.txt`).
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has used.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn usage(&self) -> io::Result<Usage> {
        Usage::of(self.pid())
    }

    /// Asks it to stop, and waits until it has: its data is on disk afterwards.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn stop(mut self) -> io::Result<()> {
        let sent = Command::new("kill").arg(self.pid().to_string()).status()?;
        if !sent.success() {
            return Err(io::Error::other(format!("cannot stop {}", self.product.name())));
        }
        self.child.wait().map(drop)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that were free a moment ago.
fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    // All are held until all are known, so that none comes twice.
    let held = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
