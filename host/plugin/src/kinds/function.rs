//! Functions of PromQL.

use std::collections::BTreeSet;

use model::FunctionCall;
use serde::Serialize;
use wasmtime::Store;

use crate::bindings::exports::stormglass::plugin::function as guest;
use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::limits::{FUNCTION_PARAMETERS_MAX, FUNCTIONS_MAX, Limits};
use crate::state::State;

/// A function and what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Its name, without the prefix under which it is called.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// What it takes: a vector or a range first, then scalars and texts.
    pub parameters: Vec<ParameterType>,
    /// How many of the last may be left out; never the first.
    pub optional: usize,
}

/// What a function can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// An instant vector.
    Vector,
    /// A range vector.
    Range,
    /// A number for each step.
    Scalar,
    /// A text.
    Text,
}

/// Asks which functions there are.
pub(crate) struct Signatures(pub(crate) guest::Guest);

impl Call for Signatures {
    const OPERATION: Operation = Operation::Signatures;
    type Raw = Vec<guest::Signature>;
    type Answer = Vec<Signature>;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Self::Raw> {
        self.0.call_signatures(store).await
    }

    fn check(raw: Self::Raw, _limits: &Limits) -> Result<Vec<Signature>, Refusal> {
        if raw.is_empty() || raw.len() > FUNCTIONS_MAX {
            let count = raw.len();
            return Err(Refusal::output(format!("{count} functions; there must be 1 to {FUNCTIONS_MAX}")));
        }
        let mut names = BTreeSet::new();
        let signatures: Vec<Signature> = raw.into_iter().map(signature_in).collect::<Result<_, _>>()?;
        match signatures.iter().find(|signature| !names.insert(signature.name.as_str())) {
            Some(twice) => Err(Refusal::output(format!("function {:?} is there twice", twice.name))),
            None => Ok(signatures),
        }
    }
}

fn signature_in(raw: guest::Signature) -> Result<Signature, Refusal> {
    let guest::Signature { name, help, parameters, optional } = raw;
    let wrong = |what: &str| Err(Refusal::output(format!("function {name:?} {what}")));
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 64 || !name.bytes().all(plain) {
        return wrong("has a name of other than up to 64 lower-case letters, digits and underscores");
    }
    let parameters: Vec<ParameterType> = parameters
        .into_iter()
        .map(|parameter| match parameter {
            guest::ValueType::Vector => ParameterType::Vector,
            guest::ValueType::Range => ParameterType::Range,
            guest::ValueType::Scalar => ParameterType::Scalar,
            guest::ValueType::Text => ParameterType::Text,
        })
        .collect();
    let of_series =
        |parameter: &ParameterType| matches!(parameter, ParameterType::Vector | ParameterType::Range);
    match parameters.split_first() {
        Some((first, others)) if of_series(first) && !others.iter().any(of_series) => {}
        _ => return wrong("does not take one vector or range, first, and else scalars and texts"),
    }
    let optional = usize::try_from(optional).unwrap_or(usize::MAX);
    if parameters.len() > FUNCTION_PARAMETERS_MAX || optional >= parameters.len() {
        return wrong("takes too many parameters, or leaves out the first");
    }
    Ok(Signature { name, help, parameters, optional })
}

/// Evaluates one call.
pub(crate) struct Eval {
    pub(crate) guest: guest::Guest,
    pub(crate) name: String,
    pub(crate) call: FunctionCall,
}

/// The guest's answer beside how long it has to be.
pub(crate) struct Answered {
    expected: usize,
    answer: Result<Vec<f64>, GuestError>,
}

impl Call for Eval {
    const OPERATION: Operation = Operation::Eval;
    type Raw = Answered;
    type Answer = Vec<f64>;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Answered> {
        let FunctionCall {
            start_ms,
            step_ms,
            steps,
            series,
            values,
            timestamps_ms,
            window_starts,
            window_ends,
            scalars,
            texts,
        } = self.call;
        let expected = steps.saturating_mul(series);
        // An answer of so many values would be far over what may cross.
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let call = guest::Call {
            name: self.name,
            start_ms,
            step_ms,
            steps: narrow(steps),
            series: narrow(series),
            values,
            timestamps_ms,
            window_starts,
            window_ends,
            scalars,
            texts,
        };
        Ok(Answered { expected, answer: self.guest.call_eval(store, &call).await? })
    }

    fn check(raw: Answered, _limits: &Limits) -> Result<Vec<f64>, Refusal> {
        let (expected, values) = (raw.expected, raw.answer?);
        if values.len() != expected {
            return Err(Refusal::output(format!("{} values for {expected}", values.len())));
        }
        Ok(values)
    }
}
