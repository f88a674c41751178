//! The differential test: the same samples pushed to the built server and to Prometheus, the same questions asked of
//! both over HTTP, the answers compared.
//!
//! Where `prometheus` is installed (2.42 is what Debian has), it is asked: expressions written by hand for every function,
//! operator and modifier that it knows, what has been found wrong before, and expressions made at random, each at one time
//! and at many. Where it is not, the answers that it gave when it was are compared: `differential/recorded.jsonl`, written
//! by this test when `STORMGLASS_RECORD` is set, and held to what Prometheus says whenever it is there.
//!
//! `STORMGLASS_SEEDS=1000..2000` asks other random expressions than the usual ones.

mod data;
mod grammar;
mod known;
mod templates;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use benches::{Answer, Asker, Peer, Product, Question, Reply, Times};

use self::data::{LENGTH_MS, START_MS};

/// Which random expressions are asked, unless the environment names others.
const SEEDS: Range<u64> = 0..400;

/// Answers longer than this are compared, but not recorded.
const RECORDED_BYTES_MAX: usize = 1_500;

/// Expressions that were answered wrong once, one in a line.
const FOUND: &str = include_str!("differential/found.txt");

/// No multiple of a minute, so that no step of a subquery lies on a window's end.
const BESIDE_MS: i64 = 37_000;

fn instant(text: &str) -> Question {
    Question { text: text.to_owned(), times: Times::Instant { at_ms: START_MS + LENGTH_MS / 2 + BESIDE_MS } }
}

/// From before the first sample to after the last.
fn range(text: &str) -> Question {
    let (start_ms, end_ms) = (START_MS - 60_000 + BESIDE_MS, START_MS + LENGTH_MS + 420_000);
    Question { text: text.to_owned(), times: Times::Range { start_ms, end_ms, step_ms: 180_000 } }
}

fn questions() -> Vec<Question> {
    let found = FOUND.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned);
    let by_hand = templates::all().into_iter().chain(found);
    let by_hand = by_hand.flat_map(|text| [instant(&text), range(&text)]);
    let random = seeds().map(grammar::expression).flat_map(|text| [instant(&text), range(&text)]);
    by_hand.chain(random).collect()
}

fn seeds() -> Range<u64> {
    let Ok(asked) = env::var("STORMGLASS_SEEDS") else { return SEEDS };
    let (first, end) = asked.split_once("..").expect("STORMGLASS_SEEDS is as in 1000..2000");
    first.parse().unwrap()..end.parse().unwrap()
}

/// A server with the data.
struct Fed {
    peer: Peer,
    asker: Asker,
}

impl Fed {
    fn start(product: Product, folder: &Path) -> Self {
        // What 2.42 has had from the start and 3.x keeps behind a flag.
        let flags: &[&str] = match product {
            Product::Stormglass => &["--enable-feature=promql-experimental-functions"],
            _ => &[],
        };
        let peer = Peer::start(product, &folder.join(product.name()), "", flags).unwrap();
        let asker = Asker::default();
        for body in data::requests() {
            asker.write(peer.base(), &body).unwrap();
        }
        Self { peer, asker }
    }

    fn ask(&self, question: &Question) -> Reply {
        self.asker.ask(self.peer.base(), question).unwrap()
    }

    /// As a server of today would be asked: what has changed its name goes by the new one.
    fn ask_today(&self, question: &Question) -> Answer {
        let reply = self.ask(&Question { text: known::renamed(&question.text), times: question.times });
        Answer::read(&reply).unwrap_or_else(|error| panic!("{question}: {error}"))
    }

    /// Warnings and errors that it has logged.
    fn unexpected(&self) -> Vec<String> {
        let log = fs::read_to_string(self.peer.folder().join("log.txt")).unwrap();
        let bad = |line: &&str| line.contains(" level=WARN ") || line.contains(" level=ERROR ");
        log.lines().filter(bad).map(str::to_owned).collect()
    }
}

fn recorded_file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "differential", "recorded.jsonl"].iter().collect()
}

/// Answers of Prometheus by the question as it prints itself.
fn recorded() -> BTreeMap<String, Reply> {
    let text = fs::read_to_string(recorded_file()).unwrap();
    let line = |line: &str| {
        let (question, status, body): (String, u16, String) = serde_json::from_str(line).unwrap();
        (question, Reply { status, body: body.into_bytes() })
    };
    text.lines().map(line).collect()
}

fn record(prometheus: &Fed, questions: &[Question]) {
    let mut text = String::new();
    for question in questions {
        let reply = prometheus.ask(question);
        if reply.body.len() <= RECORDED_BYTES_MAX {
            let body = String::from_utf8(reply.body).unwrap();
            text += &serde_json::to_string(&(question.to_string(), reply.status, body)).unwrap();
            text.push('\n');
        }
    }
    fs::write(recorded_file(), text).unwrap();
}

#[test]
fn answers_are_those_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Fed::start(Product::Stormglass, folder.path());
    let questions = questions();
    let prometheus = Product::Prometheus.program().map(|_| Fed::start(Product::Prometheus, folder.path()));
    match &prometheus {
        Some(prometheus) if env::var_os("STORMGLASS_RECORD").is_some() => record(prometheus, &questions),
        Some(_) => {}
        None => println!("prometheus is not installed: comparing with what it has answered before"),
    }
    let mut recorded = recorded();
    let (mut compared, mut wrong) = (0, Vec::new());
    for question in &questions {
        let theirs = prometheus.as_ref().map(|prometheus| prometheus.ask(question));
        let before = recorded.remove(&question.to_string());
        if let (Some(theirs), Some(before)) = (&theirs, &before) {
            let [theirs, before] = [theirs, before].map(|reply| Answer::read(reply).unwrap());
            if let Some(difference) = theirs.difference(&before, false) {
                wrong.push(format!("{question}: is not as recorded; record anew: {difference}"));
            }
        }
        let Some(theirs) = theirs.or(before) else { continue };
        compared += 1;
        let theirs = Answer::read(&theirs).unwrap_or_else(|error| panic!("{question}: {error}"));
        let difference = theirs.difference(&ours.ask_today(question), known::ordered(question));
        if let (None, Some(difference)) = (known::difference(&question.text), difference) {
            wrong.push(format!("{question}\n    theirs and ours: {difference}"));
        }
    }
    println!("{compared} answers compared");
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    if seeds() == SEEDS {
        assert!(recorded.is_empty(), "recorded, but not asked; record anew: {:?}", recorded.keys());
    }
    assert_eq!(ours.unexpected(), Vec::<String>::new());
}

/// Prometheus' own tool takes our server for one of its kind.
#[test]
fn promtool_is_served() {
    let Ok(found) = Command::new("promtool").arg("--version").output() else {
        println!("promtool is not installed: nothing to serve");
        return;
    };
    assert!(found.status.success());
    let folder = tempfile::tempdir().unwrap();
    let ours = Fed::start(Product::Stormglass, folder.path());
    let (start, end) = (START_MS / 1000, (START_MS + LENGTH_MS) / 1000);
    let between = [format!("--start={start}"), format!("--end={end}")];
    let at = format!("--time={}", end - 60);
    let base = ours.peer.base();
    let cases: [(&[&str], &str); 4] = [
        (&["instant", &at, base, "count(requests_total)"], "=> 10 @"),
        (&["range", &between[0], &between[1], "--step=10m", base, "count by (job) (size)"], "=>\n3 @"),
        (
            &["series", &between[0], &between[1], "--match=size", base],
            r#"{__name__="size", instance="b:1", kind="disk"}"#,
        ),
        (&["labels", &between[0], &between[1], base, "job"], "api\nweb\n"),
    ];
    for (arguments, expected) in cases {
        let output = Command::new("promtool").arg("query").args(arguments).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && printed.contains(expected), "{arguments:?}: {printed}{complaint}");
    }
}
