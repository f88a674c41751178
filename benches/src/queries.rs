//! What the comparison of queries asks, of which data, and how it tells what came of it.
//!
//! * [`Data`] is the data: counters, gauges, classic and native histograms, each for one, ten, a hundred and a thousand
//!   series, pushed to every server alike.
//! * [`TEMPLATES`] are the expressions; `X` in them stands for how many series they are about.
//! * [`MANY`] are those about very many series, and [`COSTS`] those whose processor time is told.
//! * [`Table`] holds the times and prints them, losses like wins.

mod data;
mod table;
mod templates;

#[cfg(test)]
mod tests;

pub use data::{Data, Part};
pub use table::{Cell, Table};
pub use templates::{COSTS, MANY, SIZES, TEMPLATES, fill_in};
