//! What one store holds beside the guest: its grants, its limits, what it has used, and what it wrote.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::ResourceLimiter;
use wasmtime::component::{HasSelf, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::engine::Running;
use crate::fake::{Fake, StoppedClock};
use crate::grants::{Denied, Grants};
use crate::hidden::Hidden;
use crate::imports::http::Client;
use crate::imports::net::Connections;
use crate::imports::query::Query;
use crate::imports::stderr::Stderr;
use crate::kv::Store;
use crate::limits::{
    FILE_OPERATIONS_MAX, HANDLES_MAX, INSTANCES_MAX, Limits, MEMORIES_MAX, RANDOM_BYTES_MAX,
    TABLE_ELEMENTS_MAX, TABLES_MAX,
};
use crate::metrics::Metrics;
use crate::net::Network;

/// How the linker gets at the state: as itself.
pub(crate) type Own = HasSelf<State>;

/// Who runs in a store, and with what.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    pub(crate) grants: Arc<Grants>,
    /// What operators must not see of what it says; the same for all its instances, since a store outlives them.
    pub(crate) hidden: Arc<Hidden>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) client: Client,
    pub(crate) network: Arc<Network>,
    pub(crate) metrics: Arc<Metrics>,
    /// What the clock that interrupts guests ticks for.
    pub(crate) running: Arc<Running>,
    /// None where there is nothing to keep, as when it describes itself.
    pub(crate) kv: Option<Arc<Store>>,
    pub(crate) query: Option<Arc<dyn Query>>,
    /// What stands in for the machine, in tests of plugins.
    pub(crate) fake: Option<Arc<Fake>>,
}

/// What one store holds.
pub(crate) struct State {
    pub(crate) tenant: Tenant,
    pub(crate) memory: MemoryLimiter,
    pub(crate) stderr: Stderr,
    pub(crate) call: CallState,
    /// One permit for each file operation that may be under way; see [`FILE_OPERATIONS_MAX`].
    pub(crate) file_operations: Arc<Semaphore>,
    /// What the present call has connected to.
    pub(crate) connections: Connections,
    wasi: WasiCtx,
    pub(crate) resources: ResourceTable,
}

/// What the present call has used. Begins anew with each.
pub(crate) struct CallState {
    pub(crate) deadline: Instant,
    pub(crate) host_calls: u32,
    /// Connections made.
    pub(crate) connections: u32,
    /// Bytes read from connections.
    pub(crate) received: u64,
    pub(crate) log_lines: u32,
    pub(crate) log_lines_dropped: u64,
    /// The last thing the guest was denied.
    pub(crate) denied: Option<String>,
}

impl CallState {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            host_calls: 0,
            connections: 0,
            received: 0,
            log_lines: 0,
            log_lines_dropped: 0,
            denied: None,
        }
    }
}

/// The guest asked the host for something more often than its limit allows.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} requests to the host in one call; raise limits.host_calls to allow more")]
pub(crate) struct TooManyHostCalls(u32);

impl State {
    pub(crate) fn new(tenant: Tenant) -> Self {
        let stderr = Stderr::new(tenant.limits.stderr.bytes());
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stderr.clone())
            .stderr(stderr.clone())
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        if let Some(fake) = &tenant.fake {
            wasi.wall_clock(StoppedClock(fake.now_ms()));
        }
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(HANDLES_MAX);
        Self {
            memory: MemoryLimiter {
                limit: tenant.limits.memory.bytes(),
                used: 0,
                refused: false,
                gauge: tenant.metrics.memory.with_label_values(&[&*tenant.name]),
            },
            stderr,
            call: CallState::until(Instant::now()),
            file_operations: Arc::new(Semaphore::new(FILE_OPERATIONS_MAX)),
            connections: Connections::default(),
            wasi: wasi.build(),
            resources,
            tenant,
        }
    }

    /// Counts one request to the host. Every import calls this first, except for `log`, which has a limit of its own
    /// that costs lines and not the call.
    pub(crate) fn count_host_call(&mut self) -> Result<(), TooManyHostCalls> {
        let limit = self.tenant.limits.host_calls;
        if self.call.host_calls >= limit {
            return Err(TooManyHostCalls(limit));
        }
        self.call.host_calls += 1;
        Ok(())
    }

    /// Remembers that the guest was denied something, for the error that it may end in.
    pub(crate) fn deny(&mut self, denied: Denied) -> String {
        let Denied(text) = denied;
        tracing::debug!(plugin = &*self.tenant.name, "denied: {text}");
        self.call.denied = Some(text.clone());
        text
    }

    /// What is left of the call's time.
    pub(crate) fn time_left(&self) -> Duration {
        self.call.deadline.saturating_duration_since(Instant::now())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// Refuses memory over the plugin's limit and remembers that it did.
pub(crate) struct MemoryLimiter {
    limit: usize,
    /// Bytes of all linear memories together.
    pub(crate) used: usize,
    /// Whether the present call was refused any.
    pub(crate) refused: bool,
    /// What all instances of the plugin hold together.
    gauge: IntGauge,
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        self.gauge.sub(i64::try_from(self.used).unwrap_or(i64::MAX));
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let used = self.used.saturating_add(growth);
        if used > self.limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        self.gauge.add(i64::try_from(growth).unwrap_or(i64::MAX));
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
