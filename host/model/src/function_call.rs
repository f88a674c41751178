//! A call of a function that is not PromQL's own: what the engine hands over, and a plugin is handed.

/// A function over some series of a query, at all of its steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FunctionCall {
    /// Time of the first step, in milliseconds.
    pub start_ms: i64,
    /// From step to step; 0 where there is one.
    pub step_ms: u64,
    /// Steps of each series.
    pub steps: usize,
    /// Series.
    pub series: usize,
    /// Of a vector: one for each series and step, row by row, NaN where there is none. Of a range vector: the samples of
    /// all series, one series after the other, each by time.
    pub values: Vec<f64>,
    /// Of a range vector: the times of `values` in milliseconds; empty otherwise.
    pub timestamps_ms: Vec<i64>,
    /// Of a range vector: where in `values` each step's window begins, row by row; empty otherwise.
    pub window_starts: Vec<u32>,
    /// Where each step's window ends, exclusive.
    pub window_ends: Vec<u32>,
    /// The scalar arguments at each step, one after the other.
    pub scalars: Vec<f64>,
    /// The string arguments.
    pub texts: Vec<String>,
}
