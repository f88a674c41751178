//! The functions of the conformance cases in Rust: see `sdk/conformance`.

use stormglass_sdk::{
    Error, Function, FunctionCall, NoConfig, Plugin, Result, Signature, ValueType, function,
};

struct Functions;

impl Plugin for Functions {
    type Config = NoConfig;

    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl Function for Functions {
    fn signatures() -> Vec<Signature> {
        use ValueType::{Range, Scalar, Text, Vector};
        vec![
            Signature::new("scale", "Multiplies, by 2 unless told.", &[Vector, Scalar]).optional(1),
            Signature::new("window_count", "Samples of each window.", &[Range]),
            Signature::new("window_span", "Seconds from first to last.", &[Range]),
            Signature::new("text_bytes", "Adds the length of a text.", &[Vector, Text]),
            Signature::new("refuse", "Fails.", &[Vector]),
        ]
    }

    fn eval(&mut self, call: &FunctionCall) -> Result<Vec<f64>> {
        let span = |times: &[i64]| match times {
            [first, .., last] => (last - first) as f64 / 1000.0,
            _ => 0.0,
        };
        match call.name.as_str() {
            "scale" => Ok(call
                .rows()
                .flat_map(|row| {
                    row.iter().enumerate().map(|(step, value)| value * call.scalar(0, step).unwrap_or(2.0))
                })
                .collect()),
            "window_count" => Ok(call.windows().map(|(_, values)| values.len() as f64).collect()),
            "window_span" => Ok(call.windows().map(|(times, _)| span(times)).collect()),
            "text_bytes" => Ok(call.values.iter().map(|value| value + call.texts[0].len() as f64).collect()),
            _ => Err(Error::permanent("refused")),
        }
    }
}

function!(Functions);
