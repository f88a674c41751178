//! Graphite's plain text, one metric a line: `path value [timestamp]`, the path with tags as `name;tag=value`.
//!
//! Dots of a path become underscores, as no metric's name has dots; `prefix` stands before each name.

use serde::Deserialize;
use stormglass_sdk::{Chunk, Consumed, Decoder, Plugin, Result, Samples, decoder};

/// The `config:` of the plugin's entry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What stands before each metric's name.
    prefix: String,
}

struct Graphite {
    config: Config,
}

impl Plugin for Graphite {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "prefix": {
                "type": "string",
                "pattern": "^([a-zA-Z_][a-zA-Z0-9_]*)?$",
                "description": "What stands before each metric's name."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Decoder for Graphite {
    fn decode(&mut self, chunk: &Chunk, out: &mut Samples) -> Result<Consumed> {
        let (lines, bytes) = chunk.lines();
        let mut consumed = Consumed { bytes, ..Consumed::default() };
        for line in lines {
            if let Err(reason) = self.line(line, out) {
                consumed.reject(reason);
            }
        }
        Ok(consumed)
    }
}

impl Graphite {
    fn line(&self, line: &[u8], out: &mut Samples) -> std::result::Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|_| "a line is no UTF-8".to_owned())?;
        let wrong = |what: &str| format!("{what} in {line:?}");
        let mut parts = line.split_ascii_whitespace();
        let (Some(path), Some(value)) = (parts.next(), parts.next()) else {
            return Err(wrong("no path and value"));
        };
        let value: f64 = value.parse().map_err(|_| wrong("no number"))?;
        let at_ms = match parts.next() {
            // carbon takes -1 for now.
            None | Some("-1" | "N") => None,
            Some(seconds) => {
                let seconds: f64 = seconds.parse().map_err(|_| wrong("no timestamp"))?;
                if !(seconds.is_finite() && seconds >= 0.0) {
                    return Err(wrong("no timestamp"));
                }
                Some((seconds * 1000.0) as i64)
            }
        };
        if parts.next().is_some() {
            return Err(wrong("more than path, value and timestamp"));
        }
        let mut tags = path.split(';');
        let name = self.name(tags.next().unwrap_or_default()).ok_or_else(|| wrong("no path"))?;
        let mut labels = Vec::new();
        for tag in tags {
            let (key, value) = tag.split_once('=').ok_or_else(|| wrong("a tag without a value"))?;
            labels.push((plain(key), value));
        }
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        out.add_at(&name, &labels, value, at_ms);
        Ok(())
    }

    fn name(&self, path: &str) -> Option<String> {
        let path = path.trim_matches('.');
        if path.is_empty() {
            return None;
        }
        let name = format!("{}{}", self.config.prefix, plain(path));
        Some(if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name })
    }
}

/// The text with an underscore for each character that no name has.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

decoder!(Graphite);

#[cfg(test)]
mod tests {
    use stormglass_sdk::testing;

    use super::*;

    fn check(data: &str, last: bool, expected: &str, consumed: &Consumed) {
        let mut plugin: Graphite = testing::init(r#"{"prefix": "g_"}"#).unwrap();
        let chunk = Chunk {
            data: data.as_bytes().to_vec(),
            datagram_ends: vec![],
            content_type: String::new(),
            last,
        };
        let mut out = Samples::new();
        testing::Host::new().now_ms(5).run(|| {
            assert_eq!(plugin.decode(&chunk, &mut out).unwrap(), *consumed);
            assert_eq!(testing::render_batch(&out.into_batch()), expected);
        });
    }

    #[test]
    fn lines_become_samples() {
        let whole = |bytes| Consumed { bytes, ..Consumed::default() };
        check("a.b-c 1.5 10\na.b-c 2 11.5\r\n", true, "g_a_b_c 1.5 @10000\ng_a_b_c 2 @11500\n", &whole(27));
        check("a;dc=eu.west;x=1 3 1\n", true, "g_a{dc=\"eu.west\",x=\"1\"} 3 @1000\n", &whole(21));
        check("a 3", true, "g_a 3\n", &whole(3));
        check("a 3 -1\nb 4 7", true, "g_a 3 @5\ng_b 4 @7000\n", &whole(12));
    }

    #[test]
    fn half_a_line_waits_for_its_rest() {
        check("a 1 1\nb 2", false, "g_a 1 @1000\n", &Consumed { bytes: 6, ..Consumed::default() });
        check("a 1", false, "", &Consumed::default());
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let refused = |bytes, reason: &str| Consumed { bytes, rejected: 1, reason: Some(reason.to_owned()) };
        check("a x\nb 1\n", true, "g_b 1\n", &refused(8, "no number in \"a x\""));
        check("alone\n", true, "", &refused(6, "no path and value in \"alone\""));
        check("a;b 1\n", true, "", &refused(6, "a tag without a value in \"a;b 1\""));
        check("a 1 nan\n", true, "", &refused(8, "no timestamp in \"a 1 nan\""));
    }
}
