//! A server to compare, in a folder that goes with it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::Disk;
use crate::{Peer, Product, Usage};

/// No answer is worth a longer wait.
const ANSWER_MAX: Duration = Duration::from_secs(300);
/// A server that has used so little processor time in so long has done what it had to do.
const IDLE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(1000));
/// Stormglass and Prometheus look once a minute for what is to be cut from memory.
const MAINTENANCE: Duration = Duration::from_secs(65);
/// Some go on merging in the background for long.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(90);

/// See the module.
#[derive(Debug)]
pub struct Server {
    /// `None` only between stop and start.
    peer: Option<Peer>,
    product: Product,
    agent: ureq::Agent,
    folder: TempDir,
}

impl Server {
    /// Starts a server with nothing in it and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(product: Product) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("compare").tempdir().context("make a folder")?;
        let peer = Some(start(product, &folder)?);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .build()
            .into();
        Ok(Self { peer, product, agent, folder })
    }

    fn peer(&self) -> anyhow::Result<&Peer> {
        self.peer.as_ref().context("the server has not started again")
    }

    /// What it has used since its start.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Ok(self.peer()?.usage()?)
    }

    /// The address of a path.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn url(&self, path: &str) -> anyhow::Result<String> {
        Ok(format!("{}{path}", self.peer()?.base()))
    }

    /// Stops it and starts it again. Says how long the one took, and the other until it was ready.
    ///
    /// # Errors
    /// Where it does not stop or start.
    pub fn restart(&mut self) -> anyhow::Result<(Duration, Duration)> {
        let asked = Instant::now();
        if let Some(peer) = self.peer.take() {
            peer.stop()?;
        }
        let stopped = asked.elapsed();
        let started = Instant::now();
        self.peer = Some(start(self.product, &self.folder)?);
        Ok((stopped, started.elapsed()))
    }

    /// Waits until it has nothing to do any more.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn wait_idle(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let (busy, pause) = IDLE;
        loop {
            let before = self.usage()?.cpu;
            std::thread::sleep(pause);
            if self.usage()?.cpu.saturating_sub(before) <= busy || started.elapsed() > IDLE_WAIT_MAX {
                return Ok(());
            }
        }
    }

    /// Lets it bring what it has into its last form: asks it to, or waits until it was time for that.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn settle(&self) -> anyhow::Result<()> {
        if self.product == Product::VictoriaMetrics {
            self.get("/internal/force_flush", &[])?;
            self.get("/internal/force_merge", &[])?;
        } else {
            std::thread::sleep(MAINTENANCE);
        }
        self.wait_idle()
    }

    /// What its files take.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn disk(&self) -> anyhow::Result<Disk> {
        Ok(Disk::of(self.product, &self.folder.path().join("data"))?)
    }

    /// Asks something; gives the body and how long it took until it was here.
    ///
    /// # Errors
    /// Where there is no answer, or it is a refusal.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<(String, Duration)> {
        let started = Instant::now();
        let request = self.agent.get(self.url(path)?).query_pairs(parameters.iter().copied());
        let mut answer = request.call().with_context(|| format!("ask {}", self.product.name()))?;
        let body = answer.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        let took = started.elapsed();
        if !answer.status().is_success() {
            bail!("{} answers {}: {body}", self.product.name(), answer.status());
        }
        Ok((body, took))
    }
}

/// Defaults are left as they are, but for limits that would refuse the queries.
fn start(product: Product, folder: &TempDir) -> anyhow::Result<Peer> {
    let flags: &[&str] = match product {
        Product::VictoriaMetrics => &["-search.maxUniqueTimeseries=10000000", "-search.latencyOffset=1s"],
        Product::Prometheus | Product::Stormglass => &[],
    };
    Peer::start(product, folder.path(), "", flags).with_context(|| format!("start {}", product.name()))
}
