//! `info(v)`: adds the labels of info series that share `instance` and `job` with a series.

use ahash::{AHashMap, AHashSet};
use model::{Labels, METRIC_NAME, Matcher, Value};

use super::join::braces;
use super::select::{self, What};
use super::{Column, Context, Grid, Series, Sink, Size};
use crate::error::QueryError;
use crate::plan::{Info, Select};

/// The labels that tell which info series belongs to a series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

pub(crate) fn run(node: &Info, cx: &Context<'_>, grid: Grid, sink: &mut Sink<'_>) -> Result<(), QueryError> {
    let base = super::collect(&node.input, cx, grid)?;
    let mut held = super::held(&base);
    let known = Identities::of(&base, node);
    let (infos, times) = if known.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        let infos = select_infos(node, &known, cx, grid)?;
        let times = sample_times(&infos, node, cx, grid)?;
        (infos, times)
    };
    // Their values do not matter, but the times of their samples do.
    held = held + super::held(&infos);
    let mut by_identity: AHashMap<Labels, Vec<usize>> = AHashMap::new();
    for (index, info) in infos.iter().enumerate() {
        by_identity.entry(identity(&info.labels)).or_default().push(index);
    }
    // A series without info is left out where some label is asked for that cannot be empty.
    let required: Vec<&Matcher> = node.data_matchers.iter().filter(|m| !m.matches_empty()).collect();
    let mut out = Merged { known: AHashMap::new(), series: Vec::new() };
    let mut newest = Vec::new();
    for mut series in base {
        cx.check()?;
        // A name that was to go stays, as it does in Prometheus: what comes out are series of their own.
        series.drop_name = false;
        if is_info_metric(&series, node) {
            out.put_all(&series)?;
            continue;
        }
        let found = by_identity.get(&identity(&series.labels)).map_or(&[][..], Vec::as_slice);
        for (step, value) in series.column.samples() {
            newest_of_each(found, &infos, &times, step, &mut newest)?;
            let present = newest.iter().map(|i| &infos[*i]);
            let Some(labels) = enriched(&series.labels, present, node, &required)? else { continue };
            out.put(labels, series.drop_name, step, grid.count, value)?;
        }
    }
    drop(infos);
    super::pass_on(out.series, held, cx, sink)
}

/// Of the info series that have a sample at the step, for each metric the one that was observed last.
fn newest_of_each(
    found: &[usize],
    infos: &[Series],
    times: &[Vec<f64>],
    step: usize,
    newest: &mut Vec<usize>,
) -> Result<(), QueryError> {
    newest.clear();
    for &index in found.iter().filter(|i| infos[**i].column.has(step)) {
        let rival = newest.iter_mut().find(|i| infos[**i].metric_name() == infos[index].metric_name());
        let Some(rival) = rival else {
            newest.push(index);
            continue;
        };
        let (time, other) = (times[index][step], times[*rival][step]);
        if time > other {
            *rival = index;
        } else if time == other {
            return Err(QueryError::Execution(format!(
                "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                braces(&infos[*rival].labels),
                (other * 1000.0).round(),
                braces(&infos[index].labels),
                (time * 1000.0).round()
            )));
        }
    }
    Ok(())
}

/// The values that identifying labels have in the series that are to be enriched.
struct Identities([AHashSet<String>; IDENTIFYING.len()]);

impl Identities {
    fn of(base: &[Series], node: &Info) -> Self {
        let mut all = Self(IDENTIFYING.map(|_| AHashSet::new()));
        for series in base.iter().filter(|series| !is_info_metric(series, node)) {
            for (values, name) in all.0.iter_mut().zip(IDENTIFYING) {
                if let Some(value) = series.labels.get(name)
                    && !values.contains(value)
                {
                    values.insert(value.to_owned());
                }
            }
        }
        all
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|values| values.is_empty())
    }

    /// Whether the info series can belong to any of them.
    fn admit(&self, info: &Labels) -> bool {
        let mut labels = self.0.iter().zip(IDENTIFYING);
        labels.all(|(values, name)| values.is_empty() || values.contains(info.get(name).unwrap_or("")))
    }
}

/// A series that is an info metric itself gets nothing added.
fn is_info_metric(series: &Series, node: &Info) -> bool {
    let name = series.metric_name();
    node.select.matchers.iter().all(|m| m.matches(name)) && !name.is_empty()
}

fn identity(labels: &Labels) -> Labels {
    labels.filtered(|name| IDENTIFYING.contains(&name))
}

fn select_infos(
    node: &Info,
    known: &Identities,
    cx: &Context<'_>,
    grid: Grid,
) -> Result<Vec<Series>, QueryError> {
    let select = info_select(node);
    let mut infos = Vec::new();
    select::run(&select, cx, grid, What::Values, &mut |series| {
        if !known.admit(&series.labels) {
            return Ok(());
        }
        if series.column.histograms.iter().any(Option::is_some) {
            let text =
                format!("this should be an info metric, with float samples: {}", braces(&series.labels));
            return Err(QueryError::Execution(text));
        }
        cx.hold(Size::of_series(&series))?;
        infos.push(series);
        Ok(())
    })?;
    Ok(infos)
}

fn info_select(node: &Info) -> Select {
    let mut matchers = node.select.matchers.clone();
    // What is asked of labels narrows down the info series.
    matchers.extend(node.data_matchers.iter().cloned());
    Select { matchers, shift: node.select.shift, span: node.select.span, ordered: true, finds_resets: false }
}

/// When the samples of the info series were taken: of several series of a metric that still count, the one
/// with the newest sample tells the present state.
fn sample_times(
    infos: &[Series],
    node: &Info,
    cx: &Context<'_>,
    grid: Grid,
) -> Result<Vec<Vec<f64>>, QueryError> {
    let mut by_labels: AHashMap<Labels, Vec<f64>> = AHashMap::new();
    if !infos.is_empty() {
        let select = info_select(node);
        select::run(&select, cx, grid, What::SampleTimes, &mut |series| {
            by_labels.insert(series.labels, series.column.floats);
            Ok(())
        })?;
    }
    let none = || vec![f64::NEG_INFINITY; grid.count];
    Ok(infos.iter().map(|info| by_labels.remove(&info.labels).unwrap_or_else(none)).collect())
}

/// The labels with those of the info series added; `None` where a required one was not found.
fn enriched<'i>(
    labels: &Labels,
    infos: impl Iterator<Item = &'i Series>,
    node: &Info,
    required: &[&Matcher],
) -> Result<Option<Labels>, QueryError> {
    let mut builder = labels.to_builder();
    let mut added: AHashMap<String, String> = AHashMap::new();
    let mut any = false;
    for info in infos {
        any = true;
        for (name, value) in &info.labels {
            let wanted = node.data_matchers.is_empty() || node.data_matchers.iter().any(|m| m.name() == name);
            if name == METRIC_NAME || IDENTIFYING.contains(&name) || !wanted || labels.get(name).is_some() {
                continue;
            }
            match added.get(name) {
                Some(known) if known != value => {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                Some(_) => {}
                None => {
                    added.insert(name.to_owned(), value.to_owned());
                    builder.set(name, value);
                }
            }
        }
    }
    if !any && !required.is_empty() {
        return Ok(None);
    }
    Ok(Some(builder.build()))
}

/// Result series by their labels.
struct Merged {
    known: AHashMap<(Labels, bool), usize>,
    series: Vec<Series>,
}

impl Merged {
    fn put(
        &mut self,
        labels: Labels,
        drop_name: bool,
        step: usize,
        count: usize,
        value: Value,
    ) -> Result<(), QueryError> {
        let at = *self.known.entry((labels.clone(), drop_name)).or_insert_with(|| {
            self.series.push(Series { labels, drop_name, column: Column::empty(count) });
            self.series.len() - 1
        });
        if self.series[at].column.has(step) {
            return Err(super::context::same_labelset());
        }
        self.series[at].column.set(step, value);
        Ok(())
    }

    fn put_all(&mut self, series: &Series) -> Result<(), QueryError> {
        for step in 0..series.column.step_count() {
            if let Some(value) = series.column.get(step) {
                let count = series.column.step_count();
                self.put(series.labels.clone(), series.drop_name, step, count, value)?;
            }
        }
        Ok(())
    }
}
