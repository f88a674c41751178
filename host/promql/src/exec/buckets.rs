//! `histogram_quantile` and its like: classic buckets gathered by their labels without `le`, native histograms
//! as they come. Each histogram is evaluated by itself, on several threads where there are many.

use model::staleness::is_stale;
use model::{Histogram, Labels};

use super::context::Distinct;
use super::parallel;
use super::signature::{BySignature, PLACE_BYTES, Signatures};
use super::window::Scope;
use super::{Column, Context, Grid, Series, Sink, Size};
use crate::annotations::Mended;
use crate::error::QueryError;
use crate::functions::quantile::{self, Bucket, Forced};
use crate::lexer::quote;
use crate::native::{self, NanEffect};
use crate::plan::{BucketFunction, Buckets};

/// One classic histogram over all steps.
struct Classic {
    /// A bucket's labels, of which the name is for annotations only.
    labels: Labels,
    drop_name: bool,
    buckets: Vec<(f64, Column)>,
}

struct Inputs {
    classic: Vec<Classic>,
    native: Vec<Series>,
    signatures: Signatures,
    /// Places by labels without `le`.
    classic_at: BySignature<usize>,
    /// Places by labels, to find the other half of a series that is both.
    native_at: BySignature<usize>,
    held: Size,
}

impl Inputs {
    fn native_of(&self, labels: &Labels) -> Option<&Series> {
        let at = self.native_at.get(&self.signatures.of(labels.as_encoded()))?;
        self.native.get(*at)
    }

    fn classic_of(&self, labels: &Labels) -> Option<&Classic> {
        let at = self.classic_at.get(&self.signatures.of(labels.as_encoded()))?;
        self.classic.get(*at)
    }
}

pub(crate) fn run(
    node: &Buckets,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let inputs = gather(node, cx, grid)?;
    let held = inputs.held;
    Evaluation { inputs: &inputs, node, cx, grid }.all(sink)?;
    drop(inputs);
    cx.release(held);
    Ok(())
}

/// What is computed of a histogram at a step.
enum Statistic<'a> {
    Quantile(&'a [f64]),
    Fraction(&'a [f64], &'a [f64]),
}

impl Statistic<'_> {
    fn of_classic(&self, step: usize, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
        match self {
            Self::Quantile(q) => quantile::of_buckets(q[step], buckets),
            Self::Fraction(lower, upper) => {
                (quantile::fraction_of_buckets(lower[step], upper[step], buckets), None)
            }
        }
    }

    fn of_native(&self, step: usize, h: &Histogram, scope: &Scope<'_, '_>) -> f64 {
        match self {
            Self::Quantile(q) => {
                let (value, effect) = native::quantile(q[step], h);
                let result = match effect {
                    NanEffect::None => return value,
                    NanEffect::ResultIsNan => "result is NaN",
                    NanEffect::SkewedHigher => "result is skewed higher",
                };
                scope
                    .info_maybe_named(&format!("input to histogram_quantile has NaN observations, {result}"));
                value
            }
            Self::Fraction(lower, upper) => {
                let (value, left_out) = native::fraction(lower[step], upper[step], h);
                if left_out {
                    scope.info_maybe_named(
                        "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                    );
                }
                value
            }
        }
    }
}

/// Sorts the input into classic buckets and native histograms; a series can be both, at different steps.
fn gather(node: &Buckets, cx: &Context<'_>, grid: Grid) -> Result<Inputs, QueryError> {
    let mut inputs = Inputs {
        classic: Vec::new(),
        native: Vec::new(),
        signatures: Signatures::new(),
        classic_at: BySignature::default(),
        native_at: BySignature::default(),
        held: Size::default(),
    };
    let mut span = Vec::new();
    super::vector(&node.input, cx, grid, &mut |series| {
        if series.column.histograms.iter().any(Option::is_some) {
            let size = Size::of_series(&series) + Size::of_bytes(PLACE_BYTES);
            cx.hold(size)?;
            inputs.held = inputs.held + size;
            inputs.native_at.insert(inputs.signatures.of(series.labels.as_encoded()), inputs.native.len());
            inputs.native.push(series.clone());
        }
        if series.column.floats.iter().all(|v| is_stale(*v)) {
            return Ok(());
        }
        let le = series.labels.get("le").unwrap_or("");
        let Some(upper) = parse_bound(le) else {
            let scope = Scope { cx, span: node.span, arg_span: node.span, metric_name: series.metric_name() };
            let le = quote(le.as_bytes());
            scope.warn_maybe_named(&format!(
                "bucket label \"le\" is missing or has a malformed value of {le}"
            ));
            return Ok(());
        };
        span.clear();
        series.labels.project(|name| name != b"le", &mut span);
        let mut size = Size::of_column(&series.column);
        let next = inputs.classic.len();
        let at = *inputs.classic_at.entry(inputs.signatures.of(&span)).or_insert(next);
        if at == next {
            // Part of a label set is one.
            let labels = Labels::from_encoded(&span).unwrap_or_default();
            size = size + Size::of_labels(&labels) + Size::of_bytes(PLACE_BYTES);
            inputs.classic.push(Classic { labels, drop_name: series.drop_name, buckets: Vec::new() });
        }
        cx.hold(size)?;
        inputs.held = inputs.held + size;
        inputs.classic[at].buckets.push((upper, series.column));
        Ok(())
    })?;
    Ok(inputs)
}

fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Histograms that were collected, and the question that is asked of each of them.
#[derive(Clone, Copy)]
struct Evaluation<'a> {
    inputs: &'a Inputs,
    node: &'a Buckets,
    cx: &'a Context<'a>,
    grid: Grid,
}

impl Evaluation<'_> {
    fn all(&self, sink: &mut Sink<'_>) -> Result<(), QueryError> {
        let Self { node, cx, grid, .. } = *self;
        match &node.function {
            BucketFunction::Quantile { q, span } => {
                let q = super::scalar(q, cx, grid)?;
                q.iter().for_each(|q| quantile::check(*q, &cx.notes, *span));
                self.run(None, &Statistic::Quantile(&q), sink)
            }
            BucketFunction::Quantiles { label, quantiles } => {
                for (q, span) in quantiles {
                    let q = super::scalar(q, cx, grid)?;
                    q.iter().for_each(|q| quantile::check(*q, &cx.notes, *span));
                    let text = crate::number::format_open_metrics(q.first().copied().unwrap_or(f64::NAN));
                    let label = Some((label.as_str(), text.as_str()));
                    self.run(label, &Statistic::Quantile(&q), sink)?;
                }
                Ok(())
            }
            BucketFunction::Fraction { lower, upper } => {
                let (lower, upper) = (super::scalar(lower, cx, grid)?, super::scalar(upper, cx, grid)?);
                self.run(None, &Statistic::Fraction(&lower, &upper), sink)
            }
        }
    }

    fn run(
        &self,
        label: Option<(&str, &str)>,
        statistic: &Statistic<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let Self { inputs, cx, grid, .. } = *self;
        let mut distinct = Distinct::new(cx);
        let mut pass = |series: Series| {
            distinct.check(&series.labels)?;
            sink(series)
        };
        let answer = |labels: &Labels, drop_name: bool, column: Column| {
            if column.is_empty() {
                return None;
            }
            let labels = label.map_or_else(|| labels.clone(), |(name, value)| labels.with(name, value));
            let mut series = Series { labels, drop_name, column };
            cx.drop_name(&mut series);
            Some(series)
        };
        let native = |at: usize, (): &mut ()| {
            let series = &inputs.native[at];
            let column = self.of_native(series, statistic);
            Ok(answer(&series.labels, series.drop_name, column))
        };
        parallel::over(inputs.native.len(), grid.count, cx, &native, &mut pass)?;
        let classic = |at: usize, buckets: &mut Vec<Bucket>| {
            let classic = &inputs.classic[at];
            let column = self.of_classic(classic, statistic, buckets);
            Ok(answer(&classic.labels, classic.drop_name, column))
        };
        parallel::over(inputs.classic.len(), grid.count, cx, &classic, &mut pass)
    }

    /// A native histogram at all steps at which it is not a classic one, too.
    fn of_native(&self, series: &Series, statistic: &Statistic<'_>) -> Column {
        let Self { inputs, node, cx, grid } = *self;
        let (span, first_span) = (node.span, node.first_span);
        let scope = Scope { cx, span, arg_span: first_span, metric_name: series.metric_name() };
        let result_scope = Scope { span: first_span, metric_name: kept_name(cx, scope.metric_name), ..scope };
        let twin = inputs.classic_of(&series.labels);
        let mut column = Column::empty(grid.count);
        for step in 0..grid.count {
            let Some(histogram) = series.column.histogram(step) else { continue };
            if twin.is_some_and(|twin| twin.buckets.iter().any(|(_, c)| c.float(step).is_some())) {
                scope.warn_maybe_named("vector contains a mix of classic and native histograms");
                continue;
            }
            column.floats[step] = statistic.of_native(step, histogram, &result_scope);
        }
        column
    }

    /// A classic histogram at all steps at which it is not a native one, too. `buckets` is scratch space.
    fn of_classic(&self, classic: &Classic, statistic: &Statistic<'_>, buckets: &mut Vec<Bucket>) -> Column {
        let Self { inputs, node, cx, grid } = *self;
        let name = kept_name(cx, classic.labels.metric_name().unwrap_or(""));
        let scope = Scope { cx, span: node.span, arg_span: node.span, metric_name: name };
        let twin = inputs.native_of(&classic.labels);
        let mut column = Column::empty(grid.count);
        for step in 0..grid.count {
            if twin.is_some_and(|twin| twin.column.histogram(step).is_some()) {
                continue;
            }
            buckets.clear();
            let present = classic.buckets.iter().filter_map(|(upper, c)| Some((*upper, c.float(step)?)));
            buckets.extend(present.map(|(upper, count)| Bucket { upper, count }));
            if buckets.is_empty() {
                continue;
            }
            let (value, forced) = statistic.of_classic(step, buckets);
            if let Some(Forced { bounds, diff }) = forced {
                let time = grid.time(step);
                let mended = Mended { times: (time, time), bounds, diff, samples: 1 };
                cx.notes.info_mended(node.span, scope.maybe_named(FORCED), mended);
            }
            column.floats[step] = value;
        }
        column
    }
}

const FORCED: &str = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

/// What annotations of a result call its metric: nothing, where the name has gone by then.
fn kept_name<'n>(cx: &Context<'_>, name: &'n str) -> &'n str {
    if cx.delayed_name_removal { name } else { "" }
}
