//! What a query answers: compact as it was computed, or taken apart for callers that want all of it at once.
//!
//! An [`Answer`] keeps a float per step and series. It is handed on series by series, in order, each freed when
//! the next one is asked for, so that a response is written without the answer being there twice. What it
//! holds stays counted against the memory that queries share until it is dropped.

use std::sync::Arc;

use model::staleness::is_stale;
use model::{Histogram, Labels, Sample, Timestamp, Value};

use crate::exec::{Column, Grid, Series};
use crate::explain::Operator;
use crate::memory::Lease;
use crate::parser::ValueType;
use crate::read::Columns;
use crate::stats::QueryStats;

/// What a query answers, with the value as the engine left it.
#[derive(Debug)]
pub struct Answer {
    pub(crate) content: Content,
    pub(crate) grid: Grid,
    /// Why the value is doubtful.
    pub warnings: Vec<String>,
    /// What was left out or mended.
    pub infos: Vec<String>,
    /// What the query took.
    pub stats: QueryStats,
    /// How it was run, where that was asked for.
    pub plan: Option<Operator>,
    /// Gives the memory back when the answer is dropped.
    pub(crate) lease: Lease,
}

#[derive(Debug)]
pub(crate) enum Content {
    Scalar(f64),
    /// One number per step.
    Scalars(Vec<f64>),
    String(String),
    /// In the order that the query says, with at most one sample each.
    Vector(Vec<Series>),
    /// Sorted by labels.
    Matrix(Vec<Series>),
    /// Samples as they are stored, sorted by labels.
    Ranges(Vec<(Labels, Columns)>),
}

impl Answer {
    /// The type of the value.
    pub const fn value_type(&self) -> ValueType {
        match self.content {
            Content::Scalar(_) => ValueType::Scalar,
            Content::String(_) => ValueType::String,
            Content::Vector(_) => ValueType::Vector,
            Content::Scalars(_) | Content::Matrix(_) | Content::Ranges(_) => ValueType::Matrix,
        }
    }

    /// The number of a scalar.
    pub const fn scalar(&self) -> Option<f64> {
        if let Content::Scalar(value) = self.content { Some(value) } else { None }
    }

    /// The text of a string.
    pub fn string(&self) -> Option<&str> {
        if let Content::String(text) = &self.content { Some(text) } else { None }
    }

    /// The time of evaluation, or the first.
    pub const fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.grid.start)
    }

    /// The times of evaluation, of which every series of a vector or a matrix has one slot each; none where samples are
    /// as they are stored.
    pub fn step_times(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let grid = self.grid;
        let count = if matches!(self.content, Content::Ranges(_)) { 0 } else { grid.count };
        (0..count).map(move |step| Timestamp::from_millis(grid.time(step)))
    }

    /// How many series a vector or a matrix has at most: some of them may turn out to have no sample.
    pub fn series_count(&self) -> usize {
        match &self.content {
            Content::Scalar(_) | Content::String(_) => 0,
            Content::Scalars(_) => 1,
            Content::Vector(all) | Content::Matrix(all) => all.len(),
            Content::Ranges(all) => all.len(),
        }
    }

    /// The series of a vector or a matrix that have samples, one by one; each takes its memory along.
    pub fn into_series(self) -> AnswerSeries {
        let each = match self.content {
            Content::Scalar(_) | Content::String(_) => Each::Nothing,
            Content::Scalars(values) => {
                let column = Column::of_floats(values);
                let series = Series { labels: Labels::empty(), drop_name: false, column };
                Each::Series(vec![series].into_iter())
            }
            Content::Vector(all) | Content::Matrix(all) => Each::Series(all.into_iter()),
            Content::Ranges(all) => Each::Ranges(all.into_iter()),
        };
        AnswerSeries { each, grid: self.grid, _lease: self.lease }
    }

    /// All of it at once.
    pub fn into_result(mut self) -> QueryResult {
        let timestamp = self.time();
        let (warnings, infos) = (std::mem::take(&mut self.warnings), std::mem::take(&mut self.infos));
        let (stats, plan) = (std::mem::take(&mut self.stats), self.plan.take());
        let value = match &mut self.content {
            Content::Scalar(value) => QueryValue::Scalar { timestamp, value: *value },
            Content::String(value) => QueryValue::String { timestamp, value: std::mem::take(value) },
            Content::Vector(_) => {
                let sample = |series: SeriesPoints| {
                    let value = series.first()?;
                    Some(VectorSample { labels: series.labels, timestamp, value })
                };
                QueryValue::Vector(self.into_series().filter_map(sample).collect())
            }
            Content::Scalars(_) | Content::Matrix(_) | Content::Ranges(_) => {
                let series = |series: SeriesPoints| MatrixSeries {
                    floats: series.floats().collect(),
                    histograms: series.histograms().map(|(t, h)| (t, Arc::clone(h))).collect(),
                    labels: series.labels,
                };
                QueryValue::Matrix(self.into_series().map(series).collect())
            }
        };
        QueryResult { value, warnings, infos, stats, plan }
    }
}

/// The series of an answer, in order.
#[derive(Debug)]
pub struct AnswerSeries {
    each: Each,
    grid: Grid,
    _lease: Lease,
}

#[derive(Debug)]
enum Each {
    Nothing,
    Series(std::vec::IntoIter<Series>),
    Ranges(std::vec::IntoIter<(Labels, Columns)>),
}

impl Iterator for AnswerSeries {
    type Item = SeriesPoints;

    fn next(&mut self) -> Option<SeriesPoints> {
        let grid = self.grid;
        match &mut self.each {
            Each::Nothing => None,
            Each::Series(all) => all.find(|series| !series.column.is_empty()).map(|series| SeriesPoints {
                labels: series.labels,
                points: Points::Steps { column: series.column, grid },
            }),
            Each::Ranges(all) => {
                all.next().map(|(labels, columns)| SeriesPoints { labels, points: Points::Stored(columns) })
            }
        }
    }
}

/// One series of an answer.
#[derive(Debug)]
pub struct SeriesPoints {
    /// The series.
    pub labels: Labels,
    points: Points,
}

#[derive(Debug)]
enum Points {
    Steps { column: Column, grid: Grid },
    Stored(Columns),
}

impl SeriesPoints {
    /// Its floats, by time.
    pub fn floats(&self) -> impl Iterator<Item = Sample> + '_ {
        let (values, times, grid) = match &self.points {
            Points::Steps { column, grid } => (column.floats.as_slice(), None, *grid),
            Points::Stored(columns) => {
                (columns.values.as_slice(), Some(columns.timestamps.as_slice()), Grid::at(0, 1, 0))
            }
        };
        let time = move |index: usize| match times {
            Some(times) => times[index],
            None => Timestamp::from_millis(grid.time(index)),
        };
        let there = values.iter().enumerate().filter(|(_, value)| !is_stale(**value));
        there.map(move |(index, value)| Sample { timestamp: time(index), value: *value })
    }

    /// Its floats by step, see [`Answer::step_times`]; nothing where it has samples as they are stored.
    pub fn floats_by_step(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let values = match &self.points {
            Points::Steps { column, .. } => column.floats.as_slice(),
            Points::Stored(_) => &[],
        };
        values.iter().copied().enumerate().filter(|(_, value)| !is_stale(*value))
    }

    /// Whether it has floats by step and nothing else.
    pub fn is_plain(&self) -> bool {
        match &self.points {
            Points::Steps { column, .. } => column.histograms.iter().all(Option::is_none),
            Points::Stored(_) => false,
        }
    }

    /// Its histograms, by time.
    pub fn histograms(&self) -> impl Iterator<Item = (Timestamp, &Arc<Histogram>)> + '_ {
        let (steps, stored, grid) = match &self.points {
            Points::Steps { column, grid } => (column.histograms.as_slice(), [].as_slice(), *grid),
            Points::Stored(columns) => ([].as_slice(), columns.histograms.as_slice(), Grid::at(0, 1, 0)),
        };
        let steps = steps.iter().enumerate().filter_map(move |(step, histogram)| {
            Some((Timestamp::from_millis(grid.time(step)), histogram.as_ref()?))
        });
        steps.chain(stored.iter().map(|(time, histogram)| (*time, histogram)))
    }

    /// Its first sample: of a vector the only one.
    pub fn first(&self) -> Option<Value> {
        match &self.points {
            Points::Steps { column, .. } => column.samples().next().map(|(_, value)| value),
            Points::Stored(columns) => columns.values.first().map(|value| Value::Float(*value)),
        }
    }
}

/// What a query answers, all at once.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// Why the value is doubtful.
    pub warnings: Vec<String>,
    /// What was left out or mended.
    pub infos: Vec<String>,
    /// What the query took.
    pub stats: QueryStats,
    /// How it was run, where that was asked for.
    pub plan: Option<Operator>,
}

/// The value of a query.
#[derive(Clone, Debug)]
pub enum QueryValue {
    /// A number.
    Scalar {
        /// The time of evaluation.
        timestamp: Timestamp,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// The time of evaluation.
        timestamp: Timestamp,
        /// The text.
        value: String,
    },
    /// One sample of each series.
    Vector(Vec<VectorSample>),
    /// Samples of each series, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A series' sample in a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// The time of evaluation.
    pub timestamp: Timestamp,
    /// The sample.
    pub value: Value,
}

/// A series in a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Labels,
    /// Its floats, by time.
    pub floats: Vec<Sample>,
    /// Its histograms, by time.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
}
