//! What plugins cost by kind and by language, and what of it is the host's.
//!
//! `cargo bench -p benches --bench guests -- FOLDER`: the folder has the conformance plugins of the SDKs, built, as
//! `LANGUAGE.wasm` and `LANGUAGE-functions.wasm`. `benches/README.md` says how they come there, and has what came of it.
//! Without a folder it is the one in Rust that `cargo xtask test` builds, and under `cargo test` that is called a few times.
//!
//! Every call is made through the host and with wasmtime alone, in turns: the same component and arguments, and answers of the
//! same size. The difference is what grants, limits, interruption, accounts and checks cost, and the way from the
//! interface's types to ours.

mod bare;
mod inputs;
mod kinds;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::compare::Table;
use benches::{Fingerprint, Scale};
use plugin::{CompileIn, Host, HostOptions, Payload, PluginConfig};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a guest may take; far more than it does.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// Series of a collection, and things of each other kind: as many as a mid-sized exporter has.
pub(crate) const ITEMS: usize = 1_000;
/// The argument with which this program is a compiler, as a server's is that compiles.
const COMPILE: &str = "--compile-from-stdin";

/// The languages, in the order of the SDKs' table.
const LANGUAGES: [&str; 5] = ["rust", "c", "go", "js", "python"];

/// The plugins of one language.
pub(crate) struct Guests {
    pub(crate) language: String,
    /// Of all kinds but functions.
    pub(crate) plugin: PathBuf,
    pub(crate) functions: PathBuf,
}

/// What is told at the end.
pub(crate) struct Report {
    pub(crate) scale: Scale,
    pub(crate) table: Table,
    pub(crate) fingerprint: Fingerprint,
}

impl Guests {
    /// The languages of a folder.
    fn of(folder: &Path) -> Vec<Self> {
        let of = |language: &str| Self {
            language: language.to_owned(),
            plugin: folder.join(format!("{language}.wasm")),
            functions: folder.join(format!("{language}-functions.wasm")),
        };
        LANGUAGES.map(of).into_iter().filter(|guests| guests.plugin.is_file()).collect()
    }

    /// What the end-to-end tests are run with.
    fn of_tests() -> Self {
        let default =
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-plugins").into_os_string();
        let folder = PathBuf::from(std::env::var_os("STORMGLASS_TEST_PLUGINS").unwrap_or_else(default));
        Self {
            language: "rust".to_owned(),
            plugin: folder.join("conformance.wasm"),
            functions: folder.join("conformance-functions.wasm"),
        }
    }
}

fn main() -> Result<()> {
    if std::env::args().any(|argument| argument == COMPILE) {
        return Ok(plugin::compile_stdin()?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // With its causes: what a guest did wrong stands below where it did so.
    runtime.block_on(measure()).map_err(|error| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(present) = cause {
            text = format!("{text}: {present}");
            cause = present.source();
        }
        text.into()
    })
}

async fn measure() -> Result<()> {
    let scale = Scale::of_this_process();
    let folder = std::env::args().skip(1).map(PathBuf::from).find(|argument| argument.is_dir());
    let guests = folder.map_or_else(|| vec![Guests::of_tests()], |folder| Guests::of(&folder));
    if guests.is_empty() {
        return Err("the folder has no LANGUAGE.wasm: see benches/README.md".into());
    }
    let mut files = guests.iter().flat_map(|guests| [&guests.plugin, &guests.functions]);
    if let Some(missing) = files.find(|file| !file.is_file()) {
        let why = format!("{} is missing: `cargo xtask test` builds it", missing.display());
        // The other benches need no guests, and are run after this one.
        if scale == Scale::Check {
            return Err(why.into());
        }
        println!("nothing is measured: {why}");
        return Ok(());
    }
    let install = rustls::crypto::ring::default_provider().install_default();
    install.map_err(|_| "a TLS provider is already installed")?;
    let mut starts = Report { scale, table: Table::default(), fingerprint: Fingerprint::default() };
    let mut calls = Report { scale, table: Table::default(), fingerprint: Fingerprint::default() };
    for guests in &guests {
        lives(guests, &mut starts).await?;
        kinds::calls(guests, &mut calls).await?;
    }
    println!("Starting:\n\n{}", starts.table);
    println!(
        "Microseconds of a call: through the host - wasmtime alone = the host's part\n\n{}",
        calls.table
    );
    starts.fingerprint.print("instances");
    calls.fingerprint.print("answers");
    Ok(())
}

/// A host that compiles as a server does, in a process of its own.
pub(crate) fn host(registry: &prometheus::Registry, cache: Option<&Path>) -> Result<Arc<Host>> {
    let compiler =
        CompileIn::Process { program: std::env::current_exe()?, arguments: vec![OsString::from(COMPILE)] };
    let options = HostOptions {
        plugins_dir: ".".into(),
        cache_dir: cache.map(Path::to_path_buf),
        state_dir: None,
        query: None,
        compile_in: compiler,
        registry,
    };
    Ok(Host::new(options)?)
}

/// An entry that yields so many series and targets.
pub(crate) fn entry(name: &str, file: &Path, items: usize) -> Result<PluginConfig> {
    let file = file.to_str().ok_or("the folder's name is not UTF-8")?;
    let config = inputs::operations(items);
    Ok(PluginConfig { name: name.to_owned(), config, ..PluginConfig::of(file) })
}

/// From a file to an instance, by all the ways there are, and what an instance holds.
async fn lives(guests: &Guests, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("compiled");
    let file = folder.path().join("plugin.wasm");
    std::fs::copy(&guests.plugin, &file)?;
    let mut set = |row: &str, value: String| report.table.set(row, &guests.language, value);
    set("file, kB", format!("{}", std::fs::metadata(&file)?.len() / 1_000));

    let registry = prometheus::Registry::new();
    let host_of_first = host(&registry, Some(&cache))?;
    let started = Instant::now();
    let first = host_of_first.start(entry("first", &file, 1)?).await?;
    set("first start, compiled, ms", millis(started.elapsed()));
    replace(&file)?;
    let started = Instant::now();
    let second = host_of_first.start(entry("first", &file, 1)?).await?;
    set("reload of a changed file, ms", millis(started.elapsed()));
    let started = Instant::now();
    let third = host_of_first.start(entry("first", &file, 2)?).await?;
    set("reload of a changed configuration, ms", millis(started.elapsed()));
    drop((first, second, third, host_of_first));

    let registry = prometheus::Registry::new();
    let host = host(&registry, Some(&cache))?;
    let started = Instant::now();
    let again = host.start(entry("again", &file, 1)?).await?;
    set("start of another server, compiled before, ms", millis(started.elapsed()));

    let bare = bare::Program::load(&file)?;
    let mut times = Vec::new();
    for _ in 0..report.scale.pick(1, 25) {
        let started = Instant::now();
        drop(bare.instantiate().await?);
        times.push(started.elapsed());
    }
    set("an instance in wasmtime alone, not initialised, ms", millis(median(times)));
    drop(bare);

    let (mut times, mut instances) = (Vec::new(), Vec::new());
    let before = anonymous_bytes()?;
    let count = report.scale.pick(2, 100);
    for index in 0..count {
        let entry = entry(&format!("{}-{index}", guests.language), &file, ITEMS)?;
        let started = Instant::now();
        instances.push(host.start(entry).await?);
        times.push(started.elapsed());
    }
    set("one more of a plugin that runs, ms", millis(median(times)));
    for instance in &instances {
        let found = series_in(&instance.collect(TIMEOUT).await?);
        report.fingerprint.number(found as u64);
        if found != ITEMS {
            return Err(format!("{}: {found} series of {ITEMS}", guests.language).into());
        }
    }
    let grown = anonymous_bytes()?.saturating_sub(before) / count as u64;
    let mib = |bytes: u64| format!("{:.2}", bytes as f64 / f64::from(1 << 20));
    set("memory of an instance that has collected, MiB", mib(grown));
    let own = instances.iter().map(|instance| instance.status().memory_bytes).sum::<u64>() / count as u64;
    set("of that the guest's own, MiB", mib(own));
    drop(again);
    Ok(())
}

/// Puts another file in a plugin's place that does the same: with a section that nobody reads.
fn replace(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    // A custom section of four bytes: the length of its name, three of the name, and nothing in it.
    bytes.extend([0, 4, 3, b'n', b'e', b'w']);
    let other = file.with_extension("other");
    std::fs::write(&other, bytes)?;
    Ok(std::fs::rename(other, file)?)
}

fn series_in(payload: &Payload) -> usize {
    match payload {
        Payload::Text(text) => text.lines().filter(|line| !line.starts_with('#')).count(),
        Payload::Columns(columns) => columns.series_count(),
        Payload::Protobuf(_) => 0,
    }
}

/// Bytes of memory that no file backs.
fn anonymous_bytes() -> Result<u64> {
    Ok(benches::Usage::of_this_process()?.anonymous_bytes)
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
