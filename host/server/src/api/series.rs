//! What series, labels and metrics there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use model::{Matcher, Metadata, Timestamp};
use promql::read::{ReadError, Select, Storage};
use serde::Serialize;

use super::blocking::blocking;
use super::envelope::{ApiError, ApiResult, Success};
use super::params::Params;
use super::value::JsonLabels;
use crate::app::App;

/// The time range of a request; everything where it names none.
pub(super) fn range(params: &Params) -> Result<(Timestamp, Timestamp), ApiError> {
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start time"));
    }
    Ok((start, end))
}

/// Truncates to the limit and says so, as Prometheus does.
fn limited<T>(mut items: Vec<T>, limit: Option<usize>) -> (Vec<T>, Vec<String>) {
    match limit {
        Some(limit) if items.len() > limit => {
            items.truncate(limit);
            (items, vec!["results truncated due to limit".to_owned()])
        }
        _ => (items, Vec::new()),
    }
}

pub(super) async fn series(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let selectors = params.selectors()?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (start, end) = range(&params)?;
    let limit = params.limit("limit")?;
    let (found, missing) = blocking(move || {
        let mut found = BTreeSet::new();
        // As for queries, other servers have their say; names and values of labels their protocol cannot ask for.
        let merged = app.remote_read.merged(&app.storage, || app.storage.tsdb().stats().min_time);
        let storage: &dyn Storage = match &merged {
            Some(merged) => merged,
            None => &app.storage,
        };
        for matchers in &selectors {
            let select = Select { matchers, start, end, step_ms: None };
            found.extend(storage.select(&select)?.iter().map(|series| series.labels().clone()));
        }
        Ok::<_, ReadError>((found, merged.map(|merged| merged.warnings()).unwrap_or_default()))
    })
    .await??;
    let (series, mut warnings) = limited(found.into_iter().collect(), limit);
    warnings.extend(missing);
    Ok(Success::annotated(LabelSets(series), warnings, Vec::new()))
}

/// Label sets as JSON objects.
struct LabelSets(Vec<model::Labels>);

impl Serialize for LabelSets {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(JsonLabels))
    }
}

pub(super) async fn labels(State(app): State<Arc<App>>, params: Params) -> ApiResult<Vec<String>> {
    names(params, move |select, _| app.storage.label_names(select)).await
}

pub(super) async fn label_values(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<Vec<String>> {
    let name = unescape(&name);
    names(params, move |select, count_max| app.storage.label_values_first(&name, select, count_max)).await
}

/// Collects names or values over all selectors; no selector means all series. `read` is told how many of the first are
/// enough.
async fn names(
    params: Params,
    read: impl Fn(&Select<'_>, usize) -> Result<Vec<String>, ReadError> + Send + 'static,
) -> ApiResult<Vec<String>> {
    let mut selectors: Vec<Vec<Matcher>> = params.selectors()?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let (start, end) = range(&params)?;
    let limit = params.limit("limit")?;
    // One more than the limit, which tells whether there are more.
    let count_max = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    let found = blocking(move || {
        let read = |matchers: &Vec<Matcher>| read(&Select { matchers, start, end, step_ms: None }, count_max);
        if let [only] = &selectors[..] {
            return read(only);
        }
        let mut found = BTreeSet::new();
        for matchers in &selectors {
            found.extend(read(matchers)?);
        }
        Ok::<_, ReadError>(found.into_iter().collect())
    })
    .await??;
    let (names, warnings) = limited(found, limit);
    Ok(Success::annotated(names, warnings, Vec::new()))
}

/// Undoes Prometheus' `U__` escaping, with which any UTF-8 name fits in a path: `_XX_` is a code point in
/// hexadecimal and `__` an underscore. Anything else is taken as it is.
fn unescape(name: &str) -> String {
    fn decode(escaped: &str) -> Option<String> {
        let mut plain = String::new();
        let mut rest = escaped;
        while let Some(at) = rest.find('_') {
            plain.push_str(&rest[..at]);
            let (code, tail) = rest[at + 1..].split_once('_')?;
            if code.is_empty() {
                plain.push('_');
            } else {
                plain.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
            }
            rest = tail;
        }
        plain.push_str(rest);
        Some(plain)
    }
    name.strip_prefix("U__").and_then(decode).unwrap_or_else(|| name.to_owned())
}

/// Endings that series of a family have beside its name.
const SERIES_ENDS: [&str; 6] = ["_total", "_created", "_bucket", "_count", "_sum", "_info"];

/// The family that a series' name belongs to: of its own name, or without its ending where that is declared.
pub(super) fn family_name(families: &BTreeMap<String, Metadata>, name: &str) -> String {
    let ends = SERIES_ENDS.iter().filter_map(|end| name.strip_suffix(end));
    let shorter = ends.into_iter().find(|family| families.contains_key(*family));
    match shorter {
        Some(family) if !families.contains_key(name) => family.to_owned(),
        _ => name.to_owned(),
    }
}

/// What is declared of the family that a series' name belongs to.
pub(super) fn family_of<'a>(families: &'a BTreeMap<String, Metadata>, name: &str) -> Option<&'a Metadata> {
    families.get(&family_name(families, name))
}

/// One declaration of a metric family.
#[derive(Serialize)]
struct Declared {
    r#type: &'static str,
    help: String,
    unit: String,
}

pub(super) async fn metadata(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let limit = params.limit("limit")?.unwrap_or(usize::MAX);
    let per_metric = params.limit("limit_per_metric")?.unwrap_or(usize::MAX);
    let metric = params.get("metric").map(str::to_owned);
    let mut families: BTreeMap<String, Vec<Declared>> = BTreeMap::new();
    for (family, metadata) in blocking(move || app.storage.metadata()).await? {
        if metric.as_ref().is_some_and(|wanted| *wanted != family) {
            continue;
        }
        if families.len() >= limit && !families.contains_key(&family) {
            break;
        }
        let declared = families.entry(family).or_default();
        if declared.len() < per_metric {
            declared.push(Declared {
                r#type: metadata.kind.as_str(),
                help: metadata.help,
                unit: metadata.unit,
            });
        }
    }
    Ok(Success::new(families))
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn label_names_in_paths_are_unescaped() {
        assert_eq!(unescape("job"), "job");
        assert_eq!(unescape("U__http_2e_status__code"), "http.status_code");
        assert_eq!(unescape("U__broken_2e"), "U__broken_2e");
    }
}
