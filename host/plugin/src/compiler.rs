//! Compiling plugins, in a process of its own.
//!
//! A compiler cannot be stopped half way, and what it needs grows faster than what it is given: a file of a hundred kilobytes can
//! keep it busy for hours, or take all memory there is. So a server starts itself once more for each compilation, with limits
//! of the system on it, and ends that process when its time is over. What a bomb costs is the plugin that it came as.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::engine;
use crate::error::PluginError;

/// Compilations at one time: one that takes its whole time leaves a turn for the others. More would not be faster, since each
/// uses all cores.
const AT_ONCE: usize = 2;
/// Memory that a compilation may take: several times what the largest known runtime, Python's, needs.
const MEMORY_BYTES_MAX: u64 = 3 << 30;
/// What a process that compiles may say when it fails.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Where plugins are compiled.
#[derive(Debug, Clone)]
pub enum CompileIn {
    /// In this process, which a bomb takes along: for tests, and commands for one plugin.
    Here,
    /// In a process of its own: this program with these arguments, which ends in [`compile_stdin`].
    Process {
        /// The program.
        program: PathBuf,
        /// What it is told.
        arguments: Vec<OsString>,
    },
}

/// Compiles, a few at a time.
pub(crate) struct Compiler {
    place: CompileIn,
    turns: Arc<Semaphore>,
}

impl Compiler {
    pub(crate) fn new(place: CompileIn) -> Self {
        Self { place, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The compiled form of a component, as `Component::serialize` gives it.
    pub(crate) async fn compile(
        &self,
        engine: &Engine,
        plugin: &str,
        component: Vec<u8>,
        limit: Duration,
    ) -> Result<Vec<u8>, PluginError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|error| PluginError::Host(error.to_string()))?;
        let invalid = |message: String| PluginError::Invalid { plugin: plugin.to_owned(), message };
        let late = PluginError::CompileTimeout { plugin: plugin.to_owned(), limit };
        match &self.place {
            CompileIn::Here => {
                let engine = engine.clone();
                let compiled = tokio::task::spawn_blocking(move || {
                    // Without a process of its own it cannot be stopped, and keeps its turn until it ends.
                    let _turn = turn;
                    engine.precompile_component(&component)
                });
                match tokio::time::timeout(limit, compiled).await {
                    Ok(Ok(compiled)) => compiled.map_err(|error| invalid(format!("{error:#}"))),
                    Ok(Err(panic)) => Err(PluginError::Host(format!("compiling {plugin}: {panic}"))),
                    Err(_) => Err(late),
                }
            }
            CompileIn::Process { program, arguments } => {
                let started = tokio::process::Command::new(program)
                    .args(arguments)
                    // It needs none of the server's secrets.
                    .env_clear()
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn();
                let mut child = started.map_err(|error| {
                    PluginError::Host(format!("start {} to compile {plugin}: {error}", program.display()))
                })?;
                let mut input = child.stdin.take();
                let compiled = async {
                    if let Some(input) = &mut input {
                        // Where it ends before it has read all, its end says why.
                        let _ = input.write_all(&component).await;
                    }
                    drop(input);
                    child.wait_with_output().await
                };
                let output = match tokio::time::timeout(limit, compiled).await {
                    Ok(output) => {
                        output.map_err(|error| PluginError::Host(format!("compile {plugin}: {error}")))?
                    }
                    Err(_) => return Err(late),
                };
                if output.status.success() {
                    return Ok(output.stdout);
                }
                let told: String =
                    String::from_utf8_lossy(&output.stderr).trim().chars().take(MESSAGE_CHARS_MAX).collect();
                // One that says what is wrong ends with 1; all else is an end that it did not choose.
                Err(match output.status.code() {
                    Some(1) => invalid(told),
                    _ => {
                        PluginError::CompileMemory { plugin: plugin.to_owned(), max: MEMORY_BYTES_MAX, told }
                    }
                })
            }
        }
    }
}

/// What a process of its own does: compiles the component from standard input to standard output.
///
/// # Errors
/// In words: what the file lacks.
pub fn compile_stdin() -> Result<(), String> {
    // Of writable memory, rather than of addresses: many threads reserve many addresses.
    let limit = Rlimit { current: Some(MEMORY_BYTES_MAX), maximum: Some(MEMORY_BYTES_MAX) };
    setrlimit(Resource::Data, limit).map_err(|error| format!("limit the memory: {error}"))?;
    // Behind everything else that the machine does; without, it is only less polite.
    let _ = rustix::process::nice(10);
    let engine = Engine::new(&engine::config()).map_err(|error| format!("{error:#}"))?;
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component).map_err(|error| format!("read it: {error}"))?;
    let compiled = engine.precompile_component(&component).map_err(|error| format!("{error:#}"))?;
    std::io::stdout().lock().write_all(&compiled).map_err(|error| format!("hand it over: {error}"))
}
