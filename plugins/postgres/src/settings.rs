//! Settings as `pg_settings_*`: numbers in base units, and what is on or off as 1 or 0.

use stormglass_sdk::Metrics;

use crate::protocol::Rows;
use crate::text;

/// Tells the settings of an answer to [`SETTINGS`](crate::queries::SETTINGS).
pub(crate) fn tell(rows: &Rows, out: &mut Metrics) {
    for row in &rows.rows {
        let [name, setting, unit, help, kind] = [0, 1, 2, 3, 4].map(|place| text(row.get(place)));
        let value = match (kind, setting) {
            ("bool", "on") => 1.0,
            ("bool", _) => 0.0,
            _ => match setting.parse::<f64>() {
                Ok(value) => value,
                Err(_) => continue,
            },
        };
        let (suffix, factor) = if kind == "bool" { ("", 1.0) } else { base(unit) };
        // -1 is not a number of anything: it says that the setting is off.
        let value = if value == -1.0 { value } else { value * factor };
        // Extensions have names with a dot.
        let metric = format!("pg_settings_{}{suffix}", name.replace('.', "_"));
        out.gauge(&metric, help).set(&[], value);
    }
}

/// What a unit adds to the name, and what its values are multiplied by.
fn base(unit: &str) -> (&'static str, f64) {
    let digits = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = unit.split_at(digits);
    let number = number.parse().unwrap_or(1.0);
    let (suffix, factor) = match unit {
        "ms" => ("_seconds", 1e-3),
        "s" => ("_seconds", 1.0),
        "min" => ("_seconds", 60.0),
        "h" => ("_seconds", 3_600.0),
        "d" => ("_seconds", 86_400.0),
        "B" => ("_bytes", 1.0),
        "kB" => ("_bytes", 1_024.0),
        "MB" => ("_bytes", 1_048_576.0),
        "GB" => ("_bytes", 1_073_741_824.0),
        "TB" => ("_bytes", 1_099_511_627_776.0),
        _ => ("", 1.0),
    };
    (suffix, factor * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_in_base_units() {
        let mut rows = Rows::default();
        for row in [
            ["shared_buffers", "16384", "8kB", "Buffers.", "integer"],
            ["statement_timeout", "1500", "ms", "Timeout.", "integer"],
            ["autovacuum", "on", "", "Vacuum.", "bool"],
            ["log_min_duration", "-1", "ms", "Off.", "integer"],
            ["my.setting", "x", "", "No number.", "real"],
        ] {
            rows.rows.push(row.iter().map(|text| Some((*text).to_owned())).collect());
        }
        let mut out = Metrics::new();
        tell(&rows, &mut out);
        assert_eq!(
            stormglass_sdk::testing::render(&out),
            "pg_settings_shared_buffers_bytes 134217728\npg_settings_statement_timeout_seconds 1.5\n\
             pg_settings_autovacuum 1\npg_settings_log_min_duration_seconds -1\n"
        );
    }
}
