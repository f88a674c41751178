//! Aggregations that fold series into groups, all steps at a time.

use std::sync::Arc;

use ahash::AHashMap;
use model::{Histogram, Labels, LabelsBuilder, METRIC_NAME, Value};

use super::column::is_metric_label_bytes;
use super::select::CHECKED_SERIES;
use super::signature::PLACE_BYTES;
use super::{Column, Context, Grid, Series, Sink, Size, rank};
use crate::error::QueryError;
use crate::functions::quantile;
use crate::kahan::{Kahan, Mean};
use crate::native::{self, HistogramSum};
use crate::parser::{AggregateOp, Span};
use crate::plan::{Aggregate, AggregateParam, Grouping, VectorNode};
use crate::read::{Latest, LatestBy};

pub(crate) fn run(
    node: &Aggregate,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    match (node.op, &node.param) {
        (AggregateOp::CountValues, AggregateParam::Label(label)) => {
            count_values(node, &String::from_utf8_lossy(label), cx, grid, sink)
        }
        (AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio, _) => {
            rank::run(node, cx, grid, sink)
        }
        (AggregateOp::Quantile, AggregateParam::Number(q)) => {
            let q = super::scalar(q, cx, grid)?;
            fold(node, cx, grid, sink, &mut || Quantiles::new(q.clone(), grid.count))
        }
        (AggregateOp::Sum, _) => fold(node, cx, grid, sink, &mut || Sums::new(grid.count, false)),
        (AggregateOp::Avg, _) => fold(node, cx, grid, sink, &mut || Sums::new(grid.count, true)),
        (AggregateOp::Count, _) => fold(node, cx, grid, sink, &mut || Counts::new(grid.count, false)),
        (AggregateOp::Group, _) => fold(node, cx, grid, sink, &mut || Counts::new(grid.count, true)),
        (AggregateOp::Min, _) => fold(node, cx, grid, sink, &mut || Extremes::new(grid.count, false)),
        (AggregateOp::Max, _) => fold(node, cx, grid, sink, &mut || Extremes::new(grid.count, true)),
        (AggregateOp::Stddev, _) => fold(node, cx, grid, sink, &mut || Variances::new(grid.count, true)),
        _ => fold(node, cx, grid, sink, &mut || Variances::new(grid.count, false)),
    }
}

/// Appends the span of the labels of the group that a series belongs to.
fn project(labels: &Labels, grouping: &Grouping, span: &mut Vec<u8>) {
    let named = |name: &[u8]| grouping.labels.iter().any(|l| l.as_bytes() == name);
    if grouping.without {
        labels.project(|name| !is_metric_label_bytes(name) && !named(name), span);
    } else if !grouping.labels.is_empty() {
        labels.project(named, span);
    }
}

/// Finds the number of a group by a series of it. Labels are made only of groups that are new.
pub(crate) struct Groups<'g> {
    grouping: &'g Grouping,
    known: AHashMap<Box<[u8]>, usize>,
    span: Vec<u8>,
    /// The group before: series of one often come one after the other.
    last: Option<(Vec<u8>, usize)>,
}

/// The group of a series.
pub(crate) enum Found {
    Known(usize),
    /// It is the first of its group, whose number is the next one.
    New(Labels),
}

impl<'g> Groups<'g> {
    pub(crate) fn new(grouping: &'g Grouping) -> Self {
        Self { grouping, known: AHashMap::new(), span: Vec::new(), last: None }
    }

    pub(crate) fn find(&mut self, labels: &Labels) -> Found {
        self.span.clear();
        project(labels, self.grouping, &mut self.span);
        if let Some((span, at)) = &self.last
            && *span == self.span
        {
            return Found::Known(*at);
        }
        let next = self.known.len();
        let at = self.known.get(self.span.as_slice()).copied();
        let last = self.last.get_or_insert_default();
        last.0.clone_from(&self.span);
        last.1 = at.unwrap_or(next);
        if let Some(at) = at {
            return Found::Known(at);
        }
        self.known.insert(self.span.as_slice().into(), next);
        Found::New(Labels::from_encoded(&self.span).unwrap_or_default())
    }
}

/// What a group keeps while series are folded into it.
trait Fold {
    /// Folds a series in; answers what the group holds more for it.
    fn add(&mut self, column: &Column, scope: Scope<'_, '_>) -> Size;
    fn finish(self, scope: Scope<'_, '_>) -> Column;
}

#[derive(Clone, Copy)]
struct Scope<'c, 'q> {
    cx: &'c Context<'q>,
    op: AggregateOp,
    span: Span,
    /// That of the series which is folded in.
    metric_name: &'c str,
}

impl Scope<'_, '_> {
    fn info_ignored_histogram(self) {
        info_ignored_histogram(self.cx, self.op, self.span);
    }
}

pub(crate) fn info_ignored_histogram(cx: &Context<'_>, op: AggregateOp, span: Span) {
    cx.notes.info(span, format!("ignored histogram in {} aggregation", op.as_str()));
}

struct Group<F> {
    labels: Labels,
    drop_name: bool,
    fold: F,
}

fn fold<F: Fold>(
    node: &Aggregate,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
    new: &mut dyn FnMut() -> F,
) -> Result<(), QueryError> {
    let scope = Scope { cx, op: node.op, span: node.span, metric_name: "" };
    if node.op == AggregateOp::Quantile
        && let AggregateParam::Number(q) = &node.param
    {
        // Of numbers that change from step to step the extremes are told, or that some are none.
        let all = super::scalar(q, cx, grid)?;
        if let Some(nan) = all.iter().copied().find(|q| q.is_nan()) {
            quantile::check(nan, &cx.notes, node.param_span);
        } else {
            let extremes = [f64::max, f64::min].map(|pick| all.iter().copied().reduce(pick));
            extremes.into_iter().flatten().for_each(|q| quantile::check(q, &cx.notes, node.param_span));
        }
    }
    let mut into =
        Into { known: Groups::new(&node.grouping), groups: Vec::new(), held: Size::default(), new };
    match floats(node, cx, grid)? {
        Some((parts, parts_held)) => {
            for part in &parts {
                into.fold_part(part, cx, scope)?;
            }
            drop(parts);
            cx.release(parts_held);
        }
        None => super::vector(&node.input, cx, grid, &mut |series| {
            let at = into.find(&series.labels, cx, grid.count)?;
            into.groups[at].drop_name |= series.drop_name;
            let scope = Scope { metric_name: series.metric_name(), ..scope };
            into.fold(at, &series.column, scope)
        })?,
    }
    let Into { groups, held, .. } = into;
    for group in groups {
        cx.check()?;
        let column = group.fold.finish(scope);
        if !column.is_empty() {
            sink(Series { labels: group.labels, drop_name: group.drop_name, column })?;
        }
    }
    cx.release(held);
    Ok(())
}

/// The samples that are aggregated, by group, where they are floats at one time and storage has a short way to them.
fn floats(node: &Aggregate, cx: &Context<'_>, grid: Grid) -> Result<Option<(Vec<Latest>, Size)>, QueryError> {
    let VectorNode::Select(select) = &*node.input else { return Ok(None) };
    if select.ordered {
        return Ok(None);
    }
    let key = |labels: &Labels, span: &mut Vec<u8>| project(labels, &node.grouping, span);
    let one_group = !node.grouping.without && node.grouping.labels.is_empty();
    let by = if one_group { LatestBy::Nothing } else { LatestBy::Groups(&key) };
    let found = super::select::latest_floats_of_all(select, cx, grid, by)?;
    if let Some((parts, _)) = &found {
        super::select::count_latest(parts, cx, grid);
    }
    Ok(found)
}

/// Groups that series are folded into.
struct Into<'g, F> {
    known: Groups<'g>,
    groups: Vec<Group<F>>,
    held: Size,
    new: &'g mut dyn FnMut() -> F,
}

impl<F: Fold> Into<'_, F> {
    /// The group of a series; a new one where it is the first.
    fn find(&mut self, labels: &Labels, cx: &Context<'_>, steps: usize) -> Result<usize, QueryError> {
        let labels = match self.known.find(labels) {
            Found::Known(at) => return Ok(at),
            Found::New(labels) => labels,
        };
        let size = Size::of_group(steps, &labels);
        cx.hold(size)?;
        self.held = self.held + size;
        self.groups.push(Group { labels, drop_name: false, fold: (self.new)() });
        Ok(self.groups.len() - 1)
    }

    fn fold(&mut self, at: usize, column: &Column, scope: Scope<'_, '_>) -> Result<(), QueryError> {
        let size = self.groups[at].fold.add(column, scope);
        if size != Size::default() {
            scope.cx.hold(size)?;
            self.held = self.held + size;
        }
        Ok(())
    }

    /// Folds floats of one time in.
    fn fold_part(&mut self, part: &Latest, cx: &Context<'_>, scope: Scope<'_, '_>) -> Result<(), QueryError> {
        if part.values.is_empty() {
            return Ok(());
        }
        let mut groups = Vec::with_capacity(part.labels.len().max(1));
        if part.groups.is_empty() {
            groups.push(self.find(&Labels::empty(), cx, 1)?);
        }
        for labels in part.labels.iter().filter(|_| !part.groups.is_empty()) {
            groups.push(self.find(labels, cx, 1)?);
        }
        let mut column = Column::empty(1);
        for (at, value) in part.values.iter().enumerate() {
            if at % CHECKED_SERIES == 0 {
                cx.check()?;
            }
            column.floats[0] = *value;
            let group = part.groups.get(at).map_or(0, |group| *group as usize);
            self.fold(groups[group], &column, scope)?;
        }
        Ok(())
    }
}

/// `sum` and `avg`.
struct Sums {
    mean: bool,
    floats: Vec<Mean>,
    sums: Vec<Kahan>,
    counts: Vec<f64>,
    /// Empty until the first histogram.
    histograms: Vec<Option<HistogramSum>>,
    /// Steps with floats and histograms, or with histograms that do not go together.
    mixed: Vec<bool>,
}

impl Sums {
    fn new(count: usize, mean: bool) -> Self {
        Self {
            mean,
            floats: if mean { vec![Mean::EMPTY; count] } else { Vec::new() },
            sums: if mean { Vec::new() } else { vec![Kahan::ZERO; count] },
            counts: vec![0.0; count],
            histograms: Vec::new(),
            mixed: vec![false; count],
        }
    }
}

/// Finishes a sum of histograms and says what was conflicting.
pub(crate) fn finish_sum(sum: HistogramSum, cx: &Context<'_>, span: Span) -> Histogram {
    let summed = sum.finish();
    if summed.reset_conflict {
        cx.notes.warn(span, "conflicting counter resets during histogram aggregation".to_owned());
    }
    if summed.bounds_reconciled {
        cx.notes.info(span, "mismatched custom buckets were reconciled during aggregation".to_owned());
    }
    summed.histogram
}

impl Fold for Sums {
    fn add(&mut self, column: &Column, scope: Scope<'_, '_>) -> Size {
        for (step, value) in column.floats.iter().enumerate() {
            if model::staleness::is_stale(*value) {
                continue;
            }
            self.counts[step] += 1.0;
            if self.mean {
                self.floats[step].add(*value);
            } else {
                self.sums[step].add(*value);
            }
        }
        let mut more = Size::default();
        for (step, histogram) in column.histograms.iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            if self.histograms.is_empty() {
                self.histograms.resize_with(self.counts.len(), || None);
            }
            match &mut self.histograms[step] {
                slot @ None => {
                    more = more + Size::of_histogram_sum(histogram);
                    *slot = Some(HistogramSum::new(histogram, self.mean));
                }
                Some(sum) => {
                    if sum.add(histogram).is_err() && !self.mixed[step] {
                        self.mixed[step] = true;
                        let name = crate::lexer::quote(scope.metric_name.as_bytes());
                        scope.cx.notes.warn(
                            scope.span,
                            format!("vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name}"),
                        );
                    }
                }
            }
        }
        more
    }

    fn finish(self, scope: Scope<'_, '_>) -> Column {
        let mut column = Column::empty(self.counts.len());
        for step in 0..self.counts.len() {
            if self.counts[step] > 0.0 {
                let value = if self.mean { self.floats[step].total() } else { self.sums[step].total() };
                column.floats[step] = value;
            }
        }
        for (step, sum) in self.histograms.into_iter().enumerate() {
            let Some(sum) = sum else { continue };
            if self.counts[step] > 0.0 {
                let text = "encountered a mix of histograms and floats for aggregation";
                scope.cx.notes.warn(scope.span, text.to_owned());
                column.remove(step);
            } else if !self.mixed[step] {
                let histogram = finish_sum(sum, scope.cx, scope.span);
                column.set(step, Value::Histogram(Arc::new(histogram)));
            }
        }
        column
    }
}

/// `count` and `group`.
struct Counts {
    group: bool,
    counts: Vec<f64>,
}

impl Counts {
    fn new(count: usize, group: bool) -> Self {
        Self { group, counts: vec![0.0; count] }
    }
}

impl Fold for Counts {
    fn add(&mut self, column: &Column, _: Scope<'_, '_>) -> Size {
        for (step, count) in self.counts.iter_mut().enumerate() {
            *count += f64::from(u8::from(column.has(step)));
        }
        Size::default()
    }

    fn finish(mut self, _: Scope<'_, '_>) -> Column {
        for count in &mut self.counts {
            if *count == 0.0 {
                *count = model::staleness::STALE_NAN;
            } else if self.group {
                *count = 1.0;
            }
        }
        Column::of_floats(self.counts)
    }
}

/// `min` and `max`: what is not a number counts only where nothing else is.
struct Extremes {
    max: bool,
    column: Column,
}

impl Extremes {
    fn new(count: usize, max: bool) -> Self {
        Self { max, column: Column::empty(count) }
    }
}

impl Fold for Extremes {
    fn add(&mut self, column: &Column, scope: Scope<'_, '_>) -> Size {
        if column.histograms.iter().any(Option::is_some) {
            scope.info_ignored_histogram();
        }
        for (step, value) in column.floats.iter().enumerate() {
            if model::staleness::is_stale(*value) {
                continue;
            }
            let best = &mut self.column.floats[step];
            if best.is_nan() || (self.max && *value > *best) || (!self.max && *value < *best) {
                *best = *value;
            }
        }
        Size::default()
    }

    fn finish(self, _: Scope<'_, '_>) -> Column {
        self.column
    }
}

/// `stddev` and `stdvar`, after Welford.
struct Variances {
    root: bool,
    counts: Vec<f64>,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Variances {
    fn new(count: usize, root: bool) -> Self {
        Self { root, counts: vec![0.0; count], means: vec![0.0; count], squares: vec![0.0; count] }
    }
}

impl Fold for Variances {
    fn add(&mut self, column: &Column, scope: Scope<'_, '_>) -> Size {
        if column.histograms.iter().any(Option::is_some) {
            scope.info_ignored_histogram();
        }
        for (step, value) in column.floats.iter().enumerate() {
            if model::staleness::is_stale(*value) {
                continue;
            }
            self.counts[step] += 1.0;
            let delta = value - self.means[step];
            self.means[step] += delta / self.counts[step];
            self.squares[step] += delta * (value - self.means[step]);
        }
        Size::default()
    }

    fn finish(self, _: Scope<'_, '_>) -> Column {
        let mut column = Column::empty(self.counts.len());
        for step in 0..self.counts.len() {
            if self.counts[step] > 0.0 {
                let variance = self.squares[step] / self.counts[step];
                column.floats[step] = if self.root { variance.sqrt() } else { variance };
            }
        }
        column
    }
}

/// `quantile`
struct Quantiles {
    q: Vec<f64>,
    values: Vec<Vec<f64>>,
}

impl Quantiles {
    fn new(q: Vec<f64>, count: usize) -> Self {
        Self { q, values: vec![Vec::new(); count] }
    }
}

impl Fold for Quantiles {
    fn add(&mut self, column: &Column, scope: Scope<'_, '_>) -> Size {
        if column.histograms.iter().any(Option::is_some) {
            scope.info_ignored_histogram();
        }
        for (step, values) in self.values.iter_mut().enumerate() {
            values.extend(column.float(step));
        }
        // It needs all values at the end.
        Size::of_column(column)
    }

    fn finish(mut self, _: Scope<'_, '_>) -> Column {
        let mut column = Column::empty(self.values.len());
        for (step, values) in self.values.iter_mut().enumerate() {
            if !values.is_empty() {
                column.floats[step] = quantile::of_values(self.q[step], values);
            }
        }
        column
    }
}

/// `count_values`: every value becomes a label.
fn count_values(
    node: &Aggregate,
    label: &str,
    cx: &Context<'_>,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut grouping = node.grouping.clone();
    if !grouping.without {
        // The label is set anew, whatever it was.
        grouping.labels.retain(|name| name != label);
    }
    // Set first and taken away with the rest of what the grouping is without.
    let is_hidden =
        grouping.without && (label == METRIC_NAME || grouping.labels.iter().any(|name| name == label));
    let mut groups = Groups::new(&grouping);
    let mut builders: Vec<LabelsBuilder> = Vec::new();
    let mut known: AHashMap<Labels, usize> = AHashMap::new();
    // Places of floats by their bits and their group: mostly a value has come before, and is not made a text again.
    let mut of_bits: AHashMap<(usize, u64), usize> = AHashMap::new();
    let mut counts: Vec<Series> = Vec::new();
    let mut held = Size::default();
    super::vector(&node.input, cx, grid, &mut |series| {
        let group = match groups.find(&series.labels) {
            Found::Known(at) => at,
            Found::New(labels) => {
                let mut builder = labels.to_builder();
                if node.grouping.without {
                    builder.remove(METRIC_NAME);
                }
                builders.push(builder);
                builders.len() - 1
            }
        };
        for step in 0..grid.count {
            let Some(value) = series.column.get(step) else { continue };
            let bits = if let Value::Float(float) = value { Some((group, float.to_bits())) } else { None };
            let at = match bits.and_then(|bits| of_bits.get(&bits)) {
                Some(at) => *at,
                None => {
                    let text = match value {
                        Value::Float(value) => crate::number::format_plain(value),
                        Value::Histogram(histogram) => native::text(&histogram),
                    };
                    let mut builder = builders[group].clone();
                    if !is_hidden {
                        builder.set(label, &text);
                    }
                    let labels = builder.build();
                    let mut size = Size::of_bytes(if bits.is_some() { PLACE_BYTES } else { 0 });
                    let next = counts.len();
                    let at = *known.entry(labels.clone()).or_insert(next);
                    if at == next {
                        size = size + Size::of_group(grid.count, &labels);
                        counts.push(Series { labels, drop_name: false, column: Column::empty(grid.count) });
                    }
                    cx.hold(size)?;
                    held = held + size;
                    of_bits.extend(bits.map(|bits| (bits, at)));
                    at
                }
            };
            let count = &mut counts[at].column.floats[step];
            *count = if model::staleness::is_stale(*count) { 1.0 } else { *count + 1.0 };
        }
        Ok(())
    })?;
    drop((known, of_bits));
    counts.into_iter().try_for_each(|series| {
        cx.check()?;
        sink(series)
    })?;
    cx.release(held);
    Ok(())
}
