//! From a core module to a component: what toolchains without component support yield is wrapped, on load or when a
//! plugin is built.
//!
//! A core module says which world it is made for in a custom section `component-type`. Rust's bindings write it;
//! [`componentize`] adds it for languages whose toolchains do not. Modules that import WASI's first preview, as Go's and
//! C's standard libraries do, get the adapter that the Bytecode Alliance publishes for it.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// The module that the first preview's functions are imported from.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Makes a component of a core module that carries component type information.
pub(crate) fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = ComponentEncoder::default();
    encoder
        .validate(true)
        .module(module)
        .and_then(|encoder| {
            // Left out of the component where the module does not import it.
            let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
            encoder.adapter(PREVIEW1, adapter)
        })
        .and_then(ComponentEncoder::encode)
        .map_err(|error| format!("the core module cannot be made a component: {error:#}"))
}

/// Makes a component of a core module that exports what a world asks for, under the names that the canonical ABI gives
/// it. `wit` is the folder of the package that has the world.
///
/// # Errors
/// In words for the author of the module: what cannot be read or does not fit.
pub fn componentize(module: &[u8], wit: &Path, world: &str) -> Result<Vec<u8>, String> {
    let interfaces = |error: String| format!("read the interfaces in {}: {error}", wit.display());
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).map_err(|error| interfaces(format!("{error:#}")))?;
    let world =
        resolve.select_world(&[package], Some(world)).map_err(|error| interfaces(format!("{error:#}")))?;
    let mut module = module.to_vec();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .map_err(|error| format!("describe the core module: {error:#}"))?;
    wrap(&module)
}
