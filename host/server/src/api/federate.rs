//! `/federate`: the latest samples of selected series, for a server above this one to scrape.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use formats::exposition::{ScrapeFormat, ScrapedFamily, ScrapedValue};
use model::staleness::is_stale;
use model::{Labels, METRIC_NAME, Matcher, Timestamp, Value};
use promql::read::{Columns, ReadError, Select, Storage as _};
use storage::Storage;

use super::blocking::blocking;
use super::params::Params;
use crate::app::App;

/// The label that a scraper sets where it is missing; there empty, it stays away.
const INSTANCE: &str = "instance";

/// What was asked for, in the best format that the asker takes. As in Prometheus, families have no type, and series that are
/// stale, or older than queries look back, are left out.
pub(super) async fn federate(State(app): State<Arc<App>>, headers: HeaderMap, params: Params) -> Response {
    let selectors: Result<Vec<Vec<Matcher>>, _> = params.all("match[]").map(promql::parse_selector).collect();
    let selectors = match selectors {
        Ok(selectors) => selectors,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = ScrapeFormat::negotiate(accept);
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let lookback = i64::try_from(app.args.lookback.0.as_millis()).unwrap_or(i64::MAX);
    let external = app.config().global.external_labels.clone();
    let external = if external.get(INSTANCE).is_some() {
        external.iter().map(owned).collect()
    } else {
        external.iter().map(owned).chain([(INSTANCE.to_owned(), String::new())]).collect::<Vec<_>>()
    };
    let answer = blocking(move || {
        let latest = latest(&app.storage, &selectors, now.offset(-lookback), now)?;
        let mut out = Vec::new();
        for (name, series) in families(latest, &external) {
            format.write(&mut out, &ScrapedFamily { name: &name, series: &series });
        }
        Ok::<_, ReadError>(out)
    });
    match answer.await {
        Ok(Ok(body)) => ([(header::CONTENT_TYPE, format.content_type())], body).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The latest sample of each series that any of the selectors selects.
fn latest(
    storage: &Storage,
    selectors: &[Vec<Matcher>],
    start: Timestamp,
    end: Timestamp,
) -> Result<BTreeMap<Labels, (Timestamp, Value)>, ReadError> {
    let mut latest = BTreeMap::new();
    let mut columns = Columns::default();
    for matchers in selectors {
        for series in storage.select(&Select { matchers, start, end, step_ms: None })? {
            columns.clear();
            series.read(start, end, &mut columns)?;
            let float = columns.timestamps.last().copied().zip(columns.values.last().copied());
            let histogram = columns.histograms.pop();
            let newest = match (float, histogram) {
                (Some((time, _)), Some((later, value))) if later > time => {
                    Some((later, Value::Histogram(value)))
                }
                (Some((time, value)), _) => Some((time, Value::Float(value))),
                (None, Some((time, value))) => Some((time, Value::Histogram(value))),
                (None, None) => None,
            };
            let stale = match &newest {
                Some((_, Value::Float(value))) => is_stale(*value),
                Some((_, Value::Histogram(value))) => value.is_stale(),
                None => true,
            };
            if let Some(newest) = newest.filter(|_| !stale) {
                latest.insert(series.labels().clone(), newest);
            }
        }
    }
    Ok(latest)
}

/// Series by the names of their metrics, each with the external labels that it has not itself.
fn families(
    latest: BTreeMap<Labels, (Timestamp, Value)>,
    external: &[(String, String)],
) -> BTreeMap<String, Vec<ScrapedValue>> {
    let mut families: BTreeMap<String, Vec<ScrapedValue>> = BTreeMap::new();
    for (labels, (timestamp, value)) in latest {
        let Some(name) = labels.metric_name().map(str::to_owned) else { continue };
        let mut pairs: Vec<(String, String)> =
            labels.iter().filter(|(name, _)| *name != METRIC_NAME).map(owned).collect();
        pairs.extend(external.iter().filter(|(name, _)| labels.get(name).is_none()).cloned());
        families.entry(name).or_default().push(ScrapedValue { labels: pairs, timestamp, value });
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_are_added_where_a_series_has_none() {
        let at = Timestamp::from_millis(5);
        let series =
            |pairs: &[(&str, &str)]| (Labels::from_pairs(pairs.iter().copied()), (at, Value::Float(1.0)));
        let latest = BTreeMap::from([
            series(&[("__name__", "up"), ("region", "own")]),
            series(&[("__name__", "up"), ("instance", "a")]),
            series(&[("job", "nameless")]),
        ]);
        let external = [("region".to_owned(), "north".to_owned()), (INSTANCE.to_owned(), String::new())];
        let families = families(latest, &external);
        assert_eq!(families.len(), 1);
        let mut texts: Vec<String> =
            families["up"].iter().map(|value| format!("{:?}", value.labels)).collect();
        texts.sort();
        assert_eq!(
            texts,
            [r#"[("instance", "a"), ("region", "north")]"#, r#"[("region", "own"), ("instance", "")]"#,]
        );
    }
}
