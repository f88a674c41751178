//! Unit tests of rules, in the files that Prometheus' `promtool test rules` takes.
//!
//! A [`TestFile`] names rule files and holds tests. Each test writes series down, value by value at an interval
//! ([`storage`] brings them in as time goes on), has all rules evaluated at every evaluation interval by the code that
//! the server runs, and says which alerts fire and what expressions yield at given times. [`TestFile::run`] answers with
//! what did not come out as written, in promtool's words.
//!
//! Where times do not meet the evaluation interval, alerts are looked at as the evaluation before left them, and
//! samples later than the last evaluation have not come in.

mod compare;
mod file;
mod run;
mod storage;

pub use file::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, StartTime, TestFile, TestGroup,
};
pub use run::{Outcome, TestOptions};

#[cfg(test)]
mod tests;
