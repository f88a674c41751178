//! The times, and the page that is printed of them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::Product;

/// One question, with the median time of each server.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The expression.
    pub text: String,
    /// How many series it is about.
    pub series: usize,
    /// At how many steps it was evaluated; one is an instant query.
    pub steps: usize,
    /// From sending the question to having read the answer.
    pub medians: BTreeMap<Product, Duration>,
}

/// All questions.
#[derive(Debug, Default)]
pub struct Table {
    cells: Vec<Cell>,
}

impl Cell {
    /// How many times as long the other server takes.
    pub fn ratio(&self, other: Product) -> Option<f64> {
        let [ours, theirs] = [Product::Stormglass, other].map(|p| self.medians.get(&p));
        Some(theirs?.as_secs_f64() / ours?.as_secs_f64())
    }
}

impl Table {
    /// Adds a question.
    pub fn add(&mut self, cell: Cell) {
        self.cells.push(cell);
    }

    /// The servers beside ours.
    fn others(&self) -> impl Iterator<Item = Product> {
        let measured = |product: &Product| self.cells.iter().any(|cell| cell.medians.contains_key(product));
        Product::ALL.into_iter().skip(1).filter(move |product| measured(product))
    }

    /// How many times as long another server takes: the lowest of all, the median, the highest, and how many questions it
    /// answers sooner than we do.
    pub fn summary(&self, other: Product) -> Option<String> {
        let mut ratios: Vec<f64> = self.cells.iter().filter_map(|cell| cell.ratio(other)).collect();
        ratios.sort_by(f64::total_cmp);
        let (lowest, median, highest) = (ratios.first()?, ratios[ratios.len() / 2], ratios.last()?);
        let lost = ratios.iter().filter(|ratio| **ratio < 1.0).count();
        Some(format!(
            "{}: {} questions, it takes {median:.1} times as long as we do in the median ({lowest:.2} to {highest:.0}); \
             it is faster in {lost}",
            other.name(),
            ratios.len()
        ))
    }
}

/// A row for each expression and size, a column for each number of steps; in each cell our time, theirs, and the ratio.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps: Vec<usize> = self.cells.iter().map(|cell| cell.steps).collect();
        steps.sort_unstable();
        steps.dedup();
        let others: Vec<Product> = self.others().collect();
        f.write_str("| expression | series |")?;
        for steps in &steps {
            match steps {
                1 => f.write_str(" instant |")?,
                _ => write!(f, " {steps} steps |")?,
            }
        }
        writeln!(f, "\n|---|---|{}", "---|".repeat(steps.len()))?;
        let mut rows: Vec<(&str, usize)> = Vec::new();
        for cell in &self.cells {
            let row = (cell.text.as_str(), cell.series);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        for (text, series) in rows {
            write!(f, "| `{}` | {series} |", text.replace('|', "\\|"))?;
            for steps in &steps {
                let found =
                    self.cells.iter().find(|c| c.text == text && c.series == series && c.steps == *steps);
                write!(f, " {} |", found.map(|cell| cell.show(&others)).unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Cell {
    fn show(&self, others: &[Product]) -> String {
        let shown = |product| self.medians.get(&product).copied().map(milliseconds).unwrap_or_default();
        let mut text = shown(Product::Stormglass);
        for other in others {
            if let Some(ratio) = self.ratio(*other) {
                // Losing rows are easy to find.
                let mark = if ratio < 1.0 { "**" } else { "" };
                let _ = write!(text, " / {} {mark}×{ratio:.1}{mark}", shown(*other));
            } else {
                text.push_str(" / –");
            }
        }
        text
    }
}

/// In milliseconds, with about three digits that count.
fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..10.0 => format!("{ms:.2}"),
        10.0..100.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}
