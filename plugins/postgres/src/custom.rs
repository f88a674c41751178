//! Questions of the operator's own, in the form of postgres_exporter's `queries.yaml`: which column is a label and which a value.

use std::collections::BTreeMap;

use serde::Deserialize;
use stormglass_sdk::{Error, MetricKind, Metrics, Result};

use crate::protocol::Rows;
use crate::{number, text};

/// A question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Custom {
    name: String,
    query: String,
    /// Columns by name; one that is not here is left out.
    columns: BTreeMap<String, Column>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    usage: Usage,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Usage {
    Label,
    Gauge,
    Counter,
}

impl Custom {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn sql(&self) -> &str {
        &self.query
    }

    /// Whether it can yield anything.
    pub(crate) fn check(&self) -> Result<()> {
        if self.columns.values().all(|column| column.usage == Usage::Label) {
            return Err(Error::permanent(format!("query {}: no column is a GAUGE or a COUNTER", self.name)));
        }
        Ok(())
    }

    /// Tells its answer.
    pub(crate) fn tell(&self, rows: &Rows, out: &mut Metrics) {
        let place = |name: &str| rows.columns.iter().position(|column| column == name);
        let labels: Vec<_> = self
            .columns
            .iter()
            .filter(|(_, column)| column.usage == Usage::Label)
            .filter_map(|(name, _)| Some((name.as_str(), place(name)?)))
            .collect();
        for (name, column) in &self.columns {
            let kind = match column.usage {
                Usage::Label => continue,
                Usage::Gauge => MetricKind::Gauge,
                Usage::Counter => MetricKind::Counter,
            };
            let Some(value) = place(name) else { continue };
            let mut family = out.family(&format!("{}_{name}", self.name), kind, &column.description);
            for row in &rows.rows {
                let Some(value) = number(row.get(value)) else { continue };
                let labels: Vec<_> =
                    labels.iter().map(|(name, place)| (*name, text(row.get(*place)))).collect();
                family.set(&labels, value);
            }
        }
    }
}
