//! Why a plugin could not be loaded, and why a call of one failed.
//!
//! A failed call always names the plugin, its version and what was called, says which of a closed set of kinds the
//! failure is of, and carries what the guest wrote to its standard error.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::ByteSize;

/// Why a plugin cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// No file of that name is in the plugin directory.
    #[error("no plugin {plugin:?} in {}: {}", dir.display(), listed(available))]
    NotFound {
        /// The name asked for.
        plugin: String,
        /// Where it was looked for.
        dir: PathBuf,
        /// What is there instead.
        available: Vec<String>,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than the limit; compiling it would take too long.
    #[error("{plugin}: {size} bytes are over the limit of {max}; raise limits.component to load it")]
    TooLarge {
        /// The plugin.
        plugin: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// The file is no WebAssembly, or broken, or uses what the host does not support.
    #[error("{plugin}: not a usable WebAssembly component: {message}")]
    Invalid {
        /// The plugin.
        plugin: String,
        /// What is wrong.
        message: String,
    },
    /// The file is not the one that the configuration pins.
    #[error("{plugin}: its SHA-256 is {found}, not {expected} as digest says")]
    Digest {
        /// The plugin.
        plugin: String,
        /// What the configuration has.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// Compiling it took too long.
    #[error("{plugin}: compiling took longer than {}; raise limits.compile to wait longer", model::format_duration(*.limit))]
    CompileTimeout {
        /// The plugin.
        plugin: String,
        /// How long that may be.
        limit: Duration,
    },
    /// Compiling it ended by itself.
    #[error("{plugin}: compiling ended half way, as when it needs more than {} of memory: {told}", ByteSize(*.max))]
    CompileMemory {
        /// The plugin.
        plugin: String,
        /// How much memory that may take, in bytes.
        max: u64,
        /// What the compiler said.
        told: String,
    },
    /// A plugin of functions imports more than functions may.
    #[error("{plugin}: functions must be pure, and it imports {}", imports.join(", "))]
    Impure {
        /// The plugin.
        plugin: String,
        /// The interfaces' names.
        imports: Vec<String>,
    },
    /// The component wants interfaces that the host does not have.
    #[error("{plugin}: imports what this server does not offer: {}", imports.join(", "))]
    MissingImports {
        /// The plugin.
        plugin: String,
        /// The interfaces' names.
        imports: Vec<String>,
    },
    /// The component exports no interface of a plugin.
    #[error("{plugin}: not a plugin: it does not export {missing}")]
    NotAPlugin {
        /// The plugin.
        plugin: String,
        /// What was looked for.
        missing: &'static str,
    },
    /// The JSON Schema that the plugin describes itself with is no JSON Schema.
    #[error("{plugin}: its configuration schema is broken: {message}")]
    Schema {
        /// The plugin.
        plugin: String,
        /// What is wrong.
        message: String,
    },
    /// The configuration does not fit the plugin's schema.
    #[error("{plugin}: {}", problems.join("; "))]
    Config {
        /// The plugin.
        plugin: String,
        /// One line for each problem, with the path of the key.
        problems: Vec<String>,
    },
    /// `describe` or `init` failed.
    #[error(transparent)]
    Call(#[from] Box<CallError>),
    /// The host itself could not be set up.
    #[error("cannot start the plugin host: {0}")]
    Host(String),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "there are no plugins".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    }
}

/// What the host calls in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Making the instance, which runs the guest's start functions.
    Instantiate,
    /// `meta.describe`.
    Describe,
    /// `lifecycle.init`.
    Init,
    /// `collector.collect`.
    Collect,
    /// `discoverer.poll`.
    Poll,
    /// `receiver.notify`.
    Notify,
    /// `detector.detect`.
    Detect,
    /// `prober.probe`.
    Probe,
    /// `trainer.train`.
    Train,
    /// `trainer.load`.
    LoadModel,
    /// `decoder.decode`.
    Decode,
    /// `function.signatures`.
    Signatures,
    /// `function.eval`.
    Eval,
    /// `sample-processor.process`.
    ProcessSamples,
    /// `span-processor.process`.
    ProcessSpans,
}

impl Operation {
    /// The function's name in the interface, with what it processes where there are two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instantiate => "instantiate",
            Self::Describe => "describe",
            Self::Init => "init",
            Self::Collect => "collect",
            Self::Poll => "poll",
            Self::Notify => "notify",
            Self::Detect => "detect",
            Self::Probe => "probe",
            Self::Train => "train",
            Self::LoadModel => "load",
            Self::Decode => "decode",
            Self::Signatures => "signatures",
            Self::Eval => "eval",
            Self::ProcessSamples => "process_samples",
            Self::ProcessSpans => "process_spans",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Of which kind a failure is; decides what the host does next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The guest trapped: a panic, a fault, an exhausted stack. Its instance is gone.
    Trap,
    /// The guest, or what it asked of the host, took longer than the deadline. Its instance is gone.
    Deadline,
    /// The guest trapped after it was refused memory. Its instance is gone.
    Memory,
    /// What the guest returned is too large or contradicts itself.
    Output,
    /// The guest failed for good after it was refused something that its grants do not cover, or asked too often.
    Denied,
    /// The guest broke the calling convention, or does not export what was called.
    Abi,
    /// The guest says that it failed.
    Plugin {
        /// Whether it says that the same call may succeed later.
        retryable: bool,
        /// The earliest moment it says is worth a retry.
        retry_after: Option<Duration>,
    },
    /// An operator has paused the plugin.
    Paused,
    /// The plugin failed repeatedly and is not called at all before this time has passed.
    Suspended {
        /// How long to wait.
        retry_after: Duration,
    },
}

impl FailureKind {
    /// One word, as metrics and the API have it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Denied => "denied",
            Self::Abi => "abi",
            Self::Plugin { .. } => "error",
            Self::Paused => "paused",
            Self::Suspended { .. } => "suspended",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    ///
    /// A trap, a missed deadline or a refused allocation may be a matter of the moment; a denied capability or a
    /// broken answer is not.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Trap | Self::Deadline | Self::Memory | Self::Paused | Self::Suspended { .. } => true,
            Self::Output | Self::Denied | Self::Abi => false,
            Self::Plugin { retryable, .. } => *retryable,
        }
    }

    /// The earliest moment that is worth a retry, where one is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Plugin { retry_after, .. } => *retry_after,
            Self::Suspended { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call of a guest that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("plugin {plugin} {version}: {operation} failed ({kind}): {message}")]
pub struct CallError {
    /// The configured name.
    pub plugin: Arc<str>,
    /// The plugin's own version; `?` before it has described itself.
    pub version: Arc<str>,
    /// What was called.
    pub operation: Operation,
    /// Of which kind the failure is.
    pub kind: FailureKind,
    /// What happened, in one line.
    pub message: String,
    /// What the guest wrote to its standard error during the call; the end of it where it was long.
    pub stderr: String,
}
