//! The servers that first-party plugins are tested against: what is missing is installed from Debian's packages. Where that
//! cannot be, the tests say what they leave out, and so does this.

use std::path::Path;

use crate::guests;
use crate::process::{Run, say};

/// Whether a server is there.
type Check = fn(&Path) -> bool;

/// Servers, and the packages that have them.
const PACKAGES: [(Check, &str); 4] = [
    (|root| answers(root, "redis-server", &["--version"]), "redis-server"),
    (|_| has_postgres(), "postgresql"),
    (
        |root| answers(root, "dnsmasq", &["--version"]) || Path::new("/usr/sbin/dnsmasq").is_file(),
        "dnsmasq-base",
    ),
    (|root| answers(root, "/usr/bin/python3", &["-c", "import aiosmtpd"]), "python3-aiosmtpd"),
];

/// Installs what is missing, where we may.
pub(crate) fn install(root: &Path) {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(is_there, _)| !is_there(root)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return;
    }
    say(&format!("servers for the tests of plugins are missing: {}", missing.join(", ")));
    if let Err(error) = guests::install_debian(root, &missing) {
        say(&format!("{error:#}; what needs them is NOT TESTED"));
    }
}

fn answers(root: &Path, program: &str, arguments: &[&str]) -> bool {
    Run::new(program, root).args(arguments.iter().copied()).output().is_some()
}

/// Debian keeps the programs of each version in a folder of its own.
fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/initdb")).any(|initdb| initdb.is_file())
}
