//! A component in wasmtime, and nothing around it: no grants, limits, interruption, accounts or checks.
//!
//! The settings of the engine are those of the host, but for what interrupts guests. Of the host's imports `log` and
//! `clock` are there, and do nothing; the rest trap, and nothing that is measured calls them.

use std::path::Path;

use wasmtime::component::{Component, HasSelf, Instance, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wit_component::ComponentEncoder;

use self::stormglass::host::{clock, log};
use super::Result;

/// What the host makes of the interfaces, once more: its own is no part of what it offers.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, reason = "generated code")]
mod generated {
    wasmtime::component::bindgen!({
        inline: r#"
            package stormglass:measured;
            world kind {
                include stormglass:plugin/client@0.1.2;
                export stormglass:plugin/collector@0.1.2;
                export stormglass:plugin/prober@0.1.2;
                export stormglass:plugin/discoverer@0.1.2;
                export stormglass:plugin/receiver@0.1.2;
                export stormglass:plugin/detector@0.1.2;
                export stormglass:plugin/trainer@0.1.2;
                export stormglass:plugin/decoder@0.1.2;
                export stormglass:plugin/function@0.1.2;
                export stormglass:plugin/sample-processor@0.1.2;
                export stormglass:plugin/span-processor@0.1.2;
            }
        "#,
        path: "../wit/0.1.2",
        world: "stormglass:measured/kind",
        imports: { default: async },
        exports: { default: async },
    });
}

pub(crate) use self::generated::exports::stormglass::plugin as exports;
pub(crate) use self::generated::stormglass;

/// What a store holds.
pub(crate) struct Nothing {
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for Nothing {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl log::Host for Nothing {
    async fn log(&mut self, _level: log::Level, _message: String) {}

    async fn stderr(&mut self, _text: String) {}
}

impl clock::Host for Nothing {
    async fn now_ms(&mut self) -> i64 {
        0
    }
}

/// A compiled component.
pub(crate) struct Program {
    engine: Engine,
    pub(crate) pre: InstancePre<Nothing>,
}

/// An instance of it.
pub(crate) struct Bare {
    pub(crate) store: Store<Nothing>,
    pub(crate) instance: Instance,
}

impl Program {
    /// Compiles a file, here and now.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        let mut settings = Config::new();
        settings
            .wasm_component_model(true)
            .concurrency_support(false)
            .max_wasm_stack(512 << 10)
            .async_stack_size(2 << 20);
        let engine = Engine::new(&settings)?;
        let bytes = std::fs::read(file)?;
        // Rust's is a core module, which the host makes a component of.
        let bytes = match bytes.get(4..8) {
            Some([1, 0, 0, 0]) => ComponentEncoder::default().module(&bytes)?.encode()?,
            _ => bytes,
        };
        let component = Component::new(&engine, &bytes)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        log::add_to_linker::<_, HasSelf<Nothing>>(&mut linker, |state| state)?;
        clock::add_to_linker::<_, HasSelf<Nothing>>(&mut linker, |state| state)?;
        linker.define_unknown_imports_as_traps(&component)?;
        Ok(Self { pre: linker.instantiate_pre(&component)?, engine })
    }

    /// A new instance, not initialised.
    pub(crate) async fn instantiate(&self) -> Result<Bare> {
        let nothing = Nothing { wasi: WasiCtx::builder().build(), resources: ResourceTable::new() };
        let mut store = Store::new(&self.engine, nothing);
        let instance = self.pre.instantiate_async(&mut store).await?;
        Ok(Bare { store, instance })
    }

    /// A new instance with its configuration.
    pub(crate) async fn start(&self, config: &str) -> Result<Bare> {
        let mut bare = self.instantiate().await?;
        let lifecycle = exports::lifecycle::GuestIndices::new(&self.pre)?;
        let lifecycle = lifecycle.load(&mut bare.store, &bare.instance)?;
        lifecycle.call_init(&mut bare.store, config).await?.map_err(|error| error.message)?;
        Ok(bare)
    }
}
