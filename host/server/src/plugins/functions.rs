//! Functions of plugins are called in PromQL as `wasm_<name>(...)`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use arc_swap::ArcSwap;
use model::FunctionCall;
use plugin::{Instance, Kind, ParameterType, Signature};
use promql::{EXTERNAL_PREFIX, ExternalFunction, ExternalFunctions, ExternalLimits, ValueType};
use tokio::runtime::Handle;

use super::RunningSet;

/// How often a query that waits for a function looks whether anybody waits for the query.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The functions of all plugins that run, by the name under which they are called.
pub(crate) struct PluginFunctions {
    runtime: Handle,
    by_name: ArcSwap<ByName>,
}

/// Functions by the name under which they are called.
pub(crate) type ByName = BTreeMap<String, Arc<PluginFunction>>;

/// One function.
pub(crate) struct PluginFunction {
    runtime: Handle,
    instance: Arc<Instance>,
    name: String,
    args: Vec<ValueType>,
    optional: usize,
}

impl PluginFunctions {
    /// None yet. Must be made within the runtime that plugins run in.
    pub(crate) fn new() -> Self {
        Self { runtime: Handle::current(), by_name: ArcSwap::default() }
    }

    /// The functions of these plugins.
    ///
    /// # Errors
    /// Two plugins with a function of the same name: the second's name, and why.
    pub(crate) fn of(&self, running: &RunningSet) -> Result<ByName, (String, String)> {
        let mut found = ByName::new();
        for running in running.values().filter(|running| running.instance.kinds().contains(&Kind::Function)) {
            for signature in running.instance.signatures() {
                let name = format!("{EXTERNAL_PREFIX}{}", signature.name);
                let function = self.function(&running.instance, signature);
                if let Some(first) = found.insert(name.clone(), Arc::new(function)) {
                    let first = first.instance.name().to_owned();
                    let what = format!("its function {name} is that of plugin {first:?} already");
                    return Err((running.config.name.clone(), what));
                }
            }
        }
        Ok(found)
    }

    /// Makes these the functions that queries find.
    pub(crate) fn install(&self, functions: ByName) {
        self.by_name.store(Arc::new(functions));
    }

    /// The functions of plugins that a rule calls and no plugin has. Another configuration may bring them.
    pub(crate) fn missing(&self, expr: &str) -> Vec<String> {
        let known = self.by_name.load();
        called(expr).into_iter().filter(|name| !known.contains_key(name)).collect()
    }

    fn function(&self, instance: &Arc<Instance>, signature: &Signature) -> PluginFunction {
        let args = signature.parameters.iter().map(|parameter| match parameter {
            ParameterType::Vector => ValueType::Vector,
            ParameterType::Range => ValueType::Matrix,
            ParameterType::Scalar => ValueType::Scalar,
            ParameterType::Text => ValueType::String,
        });
        PluginFunction {
            runtime: self.runtime.clone(),
            instance: Arc::clone(instance),
            name: signature.name.clone(),
            args: args.collect(),
            optional: signature.optional,
        }
    }
}

/// The functions of plugins that an expression calls; none where it is no expression, which is told elsewhere.
pub(crate) fn called(expr: &str) -> Vec<String> {
    let parsed = promql::parse(expr);
    parsed.iter().flat_map(|expr| expr.external_functions()).map(str::to_owned).collect()
}

impl fmt::Debug for PluginFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.load().keys()).finish()
    }
}

impl fmt::Debug for PluginFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ExternalFunctions for PluginFunctions {
    fn find(&self, name: &str) -> Option<Arc<dyn ExternalFunction>> {
        let function = self.by_name.load().get(name).cloned()?;
        Some(function)
    }
}

impl ExternalFunction for PluginFunction {
    fn args(&self) -> &[ValueType] {
        &self.args
    }

    fn optional(&self) -> usize {
        self.optional
    }

    // On the query's own thread, which may block.
    fn eval(&self, call: FunctionCall, limits: &ExternalLimits) -> Result<Vec<f64>, String> {
        let left = limits.deadline.saturating_duration_since(StdInstant::now());
        self.runtime.block_on(async {
            let mut eval = std::pin::pin!(self.instance.eval(self.name.clone(), call, left));
            let mut look = tokio::time::interval(LOOK_INTERVAL);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut eval => return answer.map_err(|error| error.to_string()),
                    // Dropping the call stops the guest.
                    _ = look.tick() => if limits.is_over() {
                        return Err("nobody waits for it any more".to_owned());
                    },
                }
            }
        })
    }
}
