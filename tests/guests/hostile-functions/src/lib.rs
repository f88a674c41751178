//! Functions of PromQL that misbehave, each in the way that its name says.

use std::hint::black_box;

use stormglass_sdk::{Function, FunctionCall, NoConfig, Plugin, Result, Signature, ValueType, function};

/// What one step of `allocate` takes: little enough that the limit, not the step, ends it.
const ALLOCATE_STEP_BYTES: usize = 1 << 20;

struct Hostile;

impl Plugin for Hostile {
    type Config = NoConfig;

    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl Function for Hostile {
    fn signatures() -> Vec<Signature> {
        ["same", "spin", "trap", "allocate", "fewer", "more", "nothing"]
            .map(|name| Signature::new(&format!("hostile_{name}"), "Misbehaves.", &[ValueType::Vector]))
            .to_vec()
    }

    fn eval(&mut self, call: &FunctionCall) -> Result<Vec<f64>> {
        match call.name.as_str() {
            "hostile_spin" => loop {
                black_box(());
            },
            "hostile_trap" => panic!("trapping as it is called"),
            "hostile_allocate" => {
                let mut held: Vec<Vec<u8>> = Vec::new();
                loop {
                    held.push(black_box(vec![1; ALLOCATE_STEP_BYTES]));
                }
            }
            "hostile_fewer" => Ok(Vec::new()),
            "hostile_more" => Ok(vec![1.0; call.values.len() * 2]),
            "hostile_nothing" => Ok(vec![f64::NAN; call.values.len()]),
            _ => Ok(call.values.clone()),
        }
    }
}

function!(Hostile);
