//! What was measured, as a table in Markdown.

use std::fmt;

/// A row per measure, a column per server, both in the order in which they came first.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<(usize, String)>)>,
}

impl Table {
    /// Notes what one server was measured at.
    pub fn set(&mut self, row: &str, column: &str, value: String) {
        let column = self.columns.iter().position(|known| known == column).unwrap_or_else(|| {
            self.columns.push(column.to_owned());
            self.columns.len() - 1
        });
        match self.rows.iter_mut().find(|(known, _)| known == row) {
            Some((_, cells)) => cells.push((column, value)),
            None => self.rows.push((row.to_owned(), vec![(column, value)])),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measure | {} |", self.columns.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.columns.len()))?;
        for (row, cells) in &self.rows {
            write!(f, "| {row} |")?;
            for column in 0..self.columns.len() {
                let cell = cells.iter().rev().find(|(at, _)| *at == column);
                write!(f, " {} |", cell.map_or("", |(_, value)| value))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
