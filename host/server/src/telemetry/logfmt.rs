//! Log lines as `key=value` pairs, with Prometheus' keys: `time`, `level`, `source`, `msg`, then the event's own.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// See the module.
pub(super) struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        let metadata = event.metadata();
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        write!(writer, "time={time} level={} source={} msg=", metadata.level(), metadata.target())?;
        write_value(&mut writer, &pairs.message)?;
        writeln!(writer, "{}", pairs.rest)
    }
}

/// The fields of an event: the message apart, the others in their order.
#[derive(Default)]
struct Pairs {
    message: String,
    rest: String,
}

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let _ = write!(self.rest, " {}=", field.name());
            let _ = write_value(&mut self.rest, &format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.rest, " {}=", field.name());
        let _ = write_value(&mut self.rest, value);
    }
}

/// A value, quoted where a reader could not tell otherwise where it ends.
fn write_value(out: &mut impl fmt::Write, value: &str) -> fmt::Result {
    let plain =
        !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'));
    if plain { out.write_str(value) } else { write!(out, "{value:?}") }
}

#[cfg(test)]
mod tests {
    use super::write_value;

    #[test]
    fn values_are_quoted_where_needed() {
        let shown = |value: &str| {
            let mut out = String::new();
            write_value(&mut out, value).unwrap();
            out
        };
        assert_eq!(shown("127.0.0.1:9090"), "127.0.0.1:9090");
        assert_eq!(shown("two words"), "\"two words\"");
        assert_eq!(shown("a=\"b\"\n"), "\"a=\\\"b\\\"\\n\"");
        assert_eq!(shown(""), "\"\"");
    }
}
