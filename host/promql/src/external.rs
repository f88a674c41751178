//! Functions that are not of the language: called as `wasm_<name>(...)`, evaluated by whoever brings them.
//!
//! The parser takes any such name with any arguments, so that a rule can be read before the function is there; the
//! engine looks the function up and checks its arguments each time a query is planned.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use model::FunctionCall;

use crate::parser::ValueType;

/// What the names of external functions begin with.
pub const EXTERNAL_PREFIX: &str = "wasm_";

/// The external functions that there are.
pub trait ExternalFunctions: Debug + Send + Sync {
    /// The function that is called by this name, prefix and all.
    fn find(&self, name: &str) -> Option<Arc<dyn ExternalFunction>>;
}

/// A function that is not of the language. It is pure: a query may call it as often as it likes.
pub trait ExternalFunction: Debug + Send + Sync {
    /// Types of its arguments: the first a vector or a range vector, the others scalars and strings.
    fn args(&self) -> &[ValueType];

    /// How many of the last arguments may be left out.
    fn optional(&self) -> usize;

    /// One value for each series and step of the call, row by row. Blocks until it is there, but not long after
    /// [`ExternalLimits::is_over`].
    ///
    /// # Errors
    /// A text for the query's author.
    fn eval(&self, call: FunctionCall, limits: &ExternalLimits) -> Result<Vec<f64>, String>;
}

/// How long a query waits for an external function.
#[derive(Debug, Clone)]
pub struct ExternalLimits {
    /// When the query's time is over.
    pub deadline: Instant,
    /// Set when nobody waits for the answer any more.
    pub canceled: Arc<AtomicBool>,
}

impl ExternalLimits {
    /// Whether nobody waits any more, for whatever reason.
    pub fn is_over(&self) -> bool {
        self.canceled.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }
}

/// None at all, as where only the language is wanted.
#[derive(Debug)]
pub(crate) struct NoFunctions;

impl ExternalFunctions for NoFunctions {
    fn find(&self, _name: &str) -> Option<Arc<dyn ExternalFunction>> {
        None
    }
}
