//! InfluxDB's line protocol: `measurement,tag=value field=1.5,other=2i timestamp`.
//!
//! Each numeric or boolean field becomes a series `<measurement>_<field>` with the tags as labels; a field named `value`
//! is the measurement itself. Texts are left out, since no sample holds one. The configuration says what unit timestamps
//! are in.

mod line;

use serde::Deserialize;
use stormglass_sdk::{Chunk, Consumed, Decoder, Plugin, Result, Samples, decoder};

/// Which part of a second a timestamp counts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Precision {
    #[default]
    Ns,
    Us,
    Ms,
    S,
}

/// The `config:` of the plugin's entry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    precision: Precision,
}

struct InfluxLine {
    config: Config,
}

impl Plugin for InfluxLine {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "precision": {
                "enum": ["ns", "us", "ms", "s"],
                "default": "ns",
                "description": "Which part of a second timestamps count."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Decoder for InfluxLine {
    fn decode(&mut self, chunk: &Chunk, out: &mut Samples) -> Result<Consumed> {
        let (lines, bytes) = chunk.lines();
        let mut consumed = Consumed { bytes, ..Consumed::default() };
        for text in lines {
            if text.starts_with(b"#") || text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line =
                std::str::from_utf8(text).map_err(|_| "it is no UTF-8".to_owned()).and_then(line::parse);
            match line {
                Ok(line) => self.store(&line, out),
                Err(reason) => consumed.reject(format!("{reason}: {:?}", String::from_utf8_lossy(text))),
            }
        }
        Ok(consumed)
    }
}

impl InfluxLine {
    fn store(&self, line: &line::Line, out: &mut Samples) {
        let at_ms = line.timestamp.map(|time| match self.config.precision {
            Precision::Ns => time.div_euclid(1_000_000),
            Precision::Us => time.div_euclid(1_000),
            Precision::Ms => time,
            Precision::S => time.saturating_mul(1000),
        });
        let tags: Vec<(String, &str)> =
            line.tags.iter().map(|(name, value)| (plain(name), value.as_str())).collect();
        let labels: Vec<(&str, &str)> = tags.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let measurement = plain(&line.measurement);
        for (field, value) in &line.fields {
            let name = if field == "value" {
                measurement.clone()
            } else {
                format!("{measurement}_{}", plain(field))
            };
            out.add_at(&name, &labels, *value, at_ms);
        }
    }
}

/// The text as a name: an underscore for each character that no name has.
fn plain(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

decoder!(InfluxLine);

#[cfg(test)]
mod tests {
    use stormglass_sdk::testing;

    use super::*;

    fn check(config: &str, data: &str, expected: &str, rejected: &[&str]) {
        let mut plugin: InfluxLine = testing::init(config).unwrap();
        let chunk = Chunk {
            data: data.as_bytes().to_vec(),
            datagram_ends: vec![],
            content_type: String::new(),
            last: true,
        };
        let mut out = Samples::new();
        testing::Host::new().run(|| {
            let consumed = plugin.decode(&chunk, &mut out).unwrap();
            assert_eq!(consumed.bytes, data.len());
            assert_eq!(consumed.rejected as usize, rejected.len());
            assert_eq!(consumed.reason.as_deref(), rejected.first().copied());
            assert_eq!(testing::render_batch(&out.into_batch()), expected);
        });
    }

    #[test]
    fn fields_become_series() {
        check(
            "{}",
            "cpu,host=a\\ b,core=0 usage=1.5,idle=98i,on=t,note=\"x, y=z\" 1700000000123456789\n",
            "cpu_usage{core=\"0\",host=\"a b\"} 1.5 @1700000000123\n\
             cpu_idle{core=\"0\",host=\"a b\"} 98 @1700000000123\n\
             cpu_on{core=\"0\",host=\"a b\"} 1 @1700000000123\n",
            &[],
        );
        check(r#"{"precision": "s"}"#, "# comment\n\ntemp value=21 100", "temp 21 @100000\n", &[]);
        check("{}", "a.b,x-y=1 v=2u", "a_b_v{x_y=\"1\"} 2\n", &[]);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        check("{}", "cpu\ncpu value=1\n", "cpu 1\n", &["it has no fields: \"cpu\""]);
        check("{}", "cpu value=x", "", &["field \"value\" is no number, boolean or text: \"cpu value=x\""]);
        check("{}", "cpu,host value=1", "", &["a tag has no value: \"cpu,host value=1\""]);
        check("{}", "cpu value=1 soon", "", &["its timestamp is no number: \"cpu value=1 soon\""]);
    }
}
