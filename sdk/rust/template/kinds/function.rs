//! Functions of PromQL.

use stormglass_sdk::{Function, FunctionCall, NoConfig, Plugin, Result, Signature, ValueType, function};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Function for Hello {
    fn signatures() -> Vec<Signature> {
        vec![Signature::new("double", "Twice as much.", &[ValueType::Vector])]
    }

    fn eval(&mut self, call: &FunctionCall) -> Result<Vec<f64>> {
        Ok(call.values.iter().map(|value| 2.0 * value).collect())
    }
}

function!(Hello);
