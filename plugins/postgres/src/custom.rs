//! Questions of the operator's own, in the form of postgres_exporter's `queries.yaml`: which column is a label and which a value.

use std::collections::BTreeMap;

use serde::Deserialize;
use stormglass_sdk::{Error, MetricKind, Metrics, Result};

use crate::protocol::Rows;
use crate::tell_columns;

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
        let labels = self.columns.iter().filter(|(_, column)| column.usage == Usage::Label);
        let values = self.columns.iter().filter_map(|(name, column)| {
            let kind = match column.usage {
                Usage::Label => return None,
                Usage::Gauge => MetricKind::Gauge,
                Usage::Counter => MetricKind::Counter,
            };
            Some((name.as_str(), kind, column.description.as_str()))
        });
        tell_columns(rows, &self.name, labels.map(|(name, _)| name.as_str()), values, out);
    }
}
