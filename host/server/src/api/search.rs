//! `/api/v1/search/*`: names and values that look like what somebody is typing, as lines of JSON.
//!
//! A term matches what holds it, wherever, and with a fuzzy algorithm what only resembles it. What matches better comes
//! first where that is asked for. The answer is batches of results, one on each line, and a last line that says whether
//! there is more than was asked for.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::{METRIC_NAME, Matcher, Metadata};
use promql::read::{ReadError, Select, Storage as _};
use serde::Serialize;

use super::blocking::blocking;
use super::envelope::ApiError;
use super::params::Params;
use super::series::range;
use crate::app::App;

/// How many results there are where nobody says.
const LIMIT: usize = 100;
/// How many of them stand on one line.
const BATCH: usize = 100;
/// The score of what holds a term; what equals it has 1, what only resembles it less than this.
const HOLDS: f64 = 0.9;

/// What is looked for, and how it is shown.
struct Search {
    terms: Vec<String>,
    algorithm: Algorithm,
    /// Between 0 and 1.
    threshold: f64,
    case_sensitive: bool,
    order: Order,
    include_score: bool,
    limit: usize,
    batch: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Subsequence,
    JaroWinkler,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As storage has it.
    Natural,
    Ascending,
    Descending,
    Score,
}

/// One line of the answer.
#[derive(Serialize)]
struct Batch<'a> {
    results: &'a [Entry],
}

/// The last line.
#[derive(Serialize)]
struct End {
    status: &'static str,
    has_more: bool,
}

#[derive(Debug, Default, Serialize)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
}

impl Search {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let algorithm = match params.get("fuzz_alg") {
            None | Some("subsequence") => Algorithm::Subsequence,
            Some("jarowinkler") => Algorithm::JaroWinkler,
            Some(other) => {
                return Err(ApiError::parameter("fuzz_alg", format!("unsupported algorithm {other:?}")));
            }
        };
        let threshold = params.get("fuzz_threshold").unwrap_or("0").parse::<u8>();
        let threshold = threshold.ok().filter(|threshold| *threshold <= 100);
        let threshold = threshold
            .ok_or_else(|| ApiError::parameter("fuzz_threshold", "must be a whole number from 0 to 100"))?;
        let order = match (params.get("sort_by"), params.get("sort_dir")) {
            (None, None) => Order::Natural,
            (Some("score"), None) => Order::Score,
            (Some("alpha"), None | Some("asc")) => Order::Ascending,
            (Some("alpha"), Some("dsc")) => Order::Descending,
            (Some("alpha"), Some(other)) => {
                return Err(ApiError::parameter("sort_dir", format!("{other:?} is neither asc nor dsc")));
            }
            (None | Some("score"), Some(_)) => {
                return Err(ApiError::parameter("sort_dir", "only valid with sort_by=alpha"));
            }
            (Some(other), _) => {
                return Err(ApiError::parameter("sort_by", format!("{other:?} is neither alpha nor score")));
            }
        };
        let count = |name: &str, default: usize| match params.get(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(|| ApiError::parameter(name, "must be a whole number above 0")),
        };
        let case_sensitive = params.get("case_sensitive").is_none() || params.flag("case_sensitive")?;
        let fold = |term: &str| if case_sensitive { term.to_owned() } else { term.to_lowercase() };
        Ok(Self {
            terms: params.all("search[]").filter(|term| !term.is_empty()).map(fold).collect(),
            algorithm,
            threshold: f64::from(threshold) / 100.0,
            case_sensitive,
            order,
            include_score: params.flag("include_score")?,
            limit: count("limit", LIMIT)?,
            batch: count("batch_size", BATCH)?,
        })
    }

    /// How well a text matches any of the terms, if it does; without terms everything does.
    fn score(&self, text: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let folded;
        let text = if self.case_sensitive {
            text
        } else {
            folded = text.to_lowercase();
            &folded
        };
        self.terms.iter().filter_map(|term| self.score_of(term, text)).max_by(f64::total_cmp)
    }

    fn score_of(&self, term: &str, text: &str) -> Option<f64> {
        if term == text {
            return Some(1.0);
        }
        if text.contains(term) {
            // What is nearly as short is nearly the same.
            return Some(HOLDS + (1.0 - HOLDS) * term.len() as f64 / text.len() as f64);
        }
        let score = match self.algorithm {
            Algorithm::Subsequence => subsequence(term, text),
            Algorithm::JaroWinkler => jaro_winkler(term, text),
        };
        (score > 0.0 && score >= self.threshold).then_some(score * HOLDS)
    }

    /// The best of `texts`, and whether there are more.
    fn choose(&self, texts: Vec<String>) -> (Vec<(String, f64)>, bool) {
        let scored = texts.into_iter().filter_map(|text| self.score(&text).map(|score| (text, score)));
        let mut found: Vec<(String, f64)> = scored.collect();
        match self.order {
            Order::Natural => {}
            Order::Ascending => found.sort_by(|a, b| a.0.cmp(&b.0)),
            Order::Descending => found.sort_by(|a, b| b.0.cmp(&a.0)),
            Order::Score => found.sort_by(|a, b| match b.1.total_cmp(&a.1) {
                Ordering::Equal => a.0.cmp(&b.0),
                other => other,
            }),
        }
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        (found, more)
    }

    fn respond(&self, found: Vec<(String, f64)>, more: bool, entry: impl Fn(String) -> Entry) -> Response {
        let score = |score| self.include_score.then_some(score);
        let entries: Vec<Entry> =
            found.into_iter().map(|(text, s)| Entry { score: score(s), ..entry(text) }).collect();
        let mut body = Vec::new();
        let mut line = |value: &dyn erased::Line| value.write(&mut body);
        for results in entries.chunks(self.batch) {
            line(&Batch { results });
        }
        line(&End { status: "success", has_more: more });
        ([(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8")], body).into_response()
    }
}

mod erased {
    //! Values of several types, each written as a line.

    use serde::Serialize;

    pub(super) trait Line {
        fn write(&self, body: &mut Vec<u8>);
    }

    impl<T: Serialize> Line for T {
        fn write(&self, body: &mut Vec<u8>) {
            // Nothing here has keys that are no texts, and memory takes what is written to it.
            let _ = serde_json::to_writer(&mut *body, self);
            body.push(b'\n');
        }
    }
}

/// How much of a text the characters of a term span that stand in it in their order; 0 where they do not.
fn subsequence(term: &str, text: &str) -> f64 {
    let mut chars = text.char_indices();
    let (mut first, mut last) = (None, 0);
    for wanted in term.chars() {
        let Some((at, found)) = chars.find(|(_, found)| *found == wanted) else { return 0.0 };
        first.get_or_insert(at);
        last = at + found.len_utf8();
    }
    let span = last - first.unwrap_or(0);
    if span == 0 { 0.0 } else { term.len() as f64 / span as f64 }
}

/// The similarity of Jaro and Winkler, from 0 to 1.
fn jaro_winkler(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut of_a = Vec::new();
    for (at, wanted) in a.iter().enumerate() {
        let window = at.saturating_sub(reach)..(at + reach + 1).min(b.len());
        if let Some(found) = window.clone().find(|place| !taken[*place] && b[*place] == *wanted) {
            taken[found] = true;
            of_a.push(*wanted);
        }
    }
    if of_a.is_empty() {
        return 0.0;
    }
    let of_b = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(found, _)| found);
    let transposed = of_a.iter().zip(of_b).filter(|(a, b)| a != b).count() / 2;
    let matched = of_a.len() as f64;
    let jaro =
        (matched / a.len() as f64 + matched / b.len() as f64 + (matched - transposed as f64) / matched) / 3.0;
    let prefix = a.iter().zip(&b).take(4).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

/// What `read` finds over all selectors in the range; no selector means all series.
async fn collect(
    params: &Params,
    read: impl Fn(&Select<'_>) -> Result<Vec<String>, ReadError> + Send + 'static,
) -> Result<Vec<String>, ApiError> {
    let mut selectors: Vec<Vec<Matcher>> = params.selectors()?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let (start, end) = range(params)?;
    let found = blocking(move || {
        let mut found = BTreeSet::new();
        for matchers in &selectors {
            found.extend(read(&Select { matchers, start, end, step_ms: None })?);
        }
        Ok::<_, ReadError>(found.into_iter().collect())
    })
    .await??;
    Ok(found)
}

pub(super) async fn metric_names(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let search = Search::of(&params)?;
    let with_metadata = params.flag("include_metadata")?;
    let reader = Arc::clone(&app);
    let names = collect(&params, move |select| reader.storage.label_values(METRIC_NAME, select)).await?;
    let (found, more) = search.choose(names);
    let mut families: BTreeMap<String, Metadata> = BTreeMap::new();
    if with_metadata {
        families.extend(blocking(move || app.storage.metadata()).await?);
    }
    Ok(search.respond(found, more, |name| {
        let metadata = super::series::family_of(&families, &name);
        Entry {
            r#type: metadata.map(|metadata| metadata.kind.as_str()),
            help: metadata.map(|metadata| metadata.help.clone()),
            unit: metadata.map(|metadata| metadata.unit.clone()),
            name: Some(name),
            ..Entry::default()
        }
    }))
}

pub(super) async fn label_names(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let search = Search::of(&params)?;
    let names = collect(&params, move |select| app.storage.label_names(select)).await?;
    let (found, more) = search.choose(names);
    Ok(search.respond(found, more, |name| Entry { name: Some(name), ..Entry::default() }))
}

pub(super) async fn label_values(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let search = Search::of(&params)?;
    let label = params.required("label")?.to_owned();
    let values = collect(&params, move |select| app.storage.label_values(&label, select)).await?;
    let (found, more) = search.choose(values);
    Ok(search.respond(found, more, |value| Entry { value: Some(value), ..Entry::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(query: &str) -> Result<Search, ApiError> {
        Search::of(&Params::from_query(query))
    }

    fn check(query: &str, texts: &[&str], expected: &[&str], more: bool) {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        let (found, has_more) = search(query).unwrap().choose(texts);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names.as_slice(), has_more), (expected, more), "{query}");
    }

    #[test]
    fn what_holds_a_term_or_resembles_it_is_found() {
        let names = ["go_gc", "http_requests_total", "http_req", "hot_requests", "up"];
        check("", &names, &names, false);
        check("search[]=http_req", &names, &["http_requests_total", "http_req"], false);
        check("search[]=http_req&sort_by=score", &names, &["http_req", "http_requests_total"], false);
        check("search[]=HTTP_REQ", &names, &[], false);
        check("search[]=HTTP_REQ&case_sensitive=false&limit=1", &names, &["http_requests_total"], true);
        check("search[]=htreq", &names, &["http_requests_total", "http_req", "hot_requests"], false);
        check("search[]=htreq&fuzz_threshold=90", &names, &[], false);
        check("search[]=up&search[]=go&sort_by=alpha&sort_dir=dsc", &names, &["up", "go_gc"], false);
        let close = "search[]=htpt_requests&fuzz_alg=jarowinkler&fuzz_threshold=88";
        check(close, &names, &["http_requests_total", "hot_requests"], false);
        let wrong =
            ["sort_by=x", "sort_dir=asc", "limit=0", "fuzz_threshold=101", "fuzz_alg=x", "batch_size=-1"];
        for wrong in wrong {
            assert!(search(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn similarity_is_jaros_and_winklers() {
        for (a, b, expected) in [("martha", "marhta", 0.961), ("dwayne", "duane", 0.84), ("abc", "xyz", 0.0)]
        {
            assert!((jaro_winkler(a, b) - expected).abs() < 1e-3, "{a} {b} {}", jaro_winkler(a, b));
        }
    }
}
