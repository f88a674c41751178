//! Nodes to text, within a budget of bytes and steps.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Timestamp;

use super::functions::Dialect;
use super::parse::{Base, Command, Named, Node, Operand, Pipeline, Target};
use super::{Answers, TemplateError, Value, format, functions};

/// How many nodes one rendering may run; nested ranges multiply, and an evaluation must not hang in one.
const STEPS_MAX: usize = 1_000_000;
/// How deep blocks and named templates may be inside each other while rendering: a template may call itself.
const DEPTH_MAX: usize = 128;

/// Why rendering stops.
pub(super) enum Stop {
    /// For good.
    Failed(TemplateError),
    /// Until somebody has evaluated this expression.
    Needs(Arc<str>),
}

impl From<TemplateError> for Stop {
    fn from(error: TemplateError) -> Self {
        Self::Failed(error)
    }
}

fn failed(what: impl Into<String>) -> Stop {
    Stop::Failed(TemplateError::Execution(what.into()))
}

/// What is around a template when it is rendered.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) dot: &'a Value,
    pub(super) variables: &'a [(&'static str, Value)],
    pub(super) external_url: &'a Value,
    pub(super) at: Timestamp,
    /// Whose functions those are that both systems have by one name.
    pub(super) dialect: Dialect,
    /// Whether the text is HTML: values that are printed are then escaped, unless the pipeline says that they are HTML.
    pub(super) html: bool,
}

/// Renders the nodes.
pub(super) fn render(
    nodes: &[Node],
    named: &Named,
    data: Surroundings<'_>,
    answers: &Answers,
    bytes_max: usize,
) -> Result<String, Stop> {
    let mut scope: Vec<_> =
        data.variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    scope.push((String::new(), data.dot.clone()));
    let mut exec = Exec { out: String::new(), bytes_max, scope, steps: 0, depth: 0, named, data, answers };
    exec.nodes(nodes, data.dot)?;
    Ok(exec.out)
}

/// Whether what a pipeline yields is HTML already.
fn yields_html(pipeline: &Pipeline) -> bool {
    matches!(pipeline.0.last(), Some(Command::Call(name, _)) if matches!(name.as_str(), "html" | "safeHtml"))
}

struct Exec<'a> {
    out: String,
    bytes_max: usize,
    /// Variables, the innermost last; `$` is the one without a name.
    scope: Vec<(String, Value)>,
    steps: usize,
    depth: usize,
    named: &'a Named,
    data: Surroundings<'a>,
    answers: &'a Answers,
}

/// How a list of nodes came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl Exec<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Stop> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(failed(format!("templates nest deeper than {DEPTH_MAX}")));
        }
        let outer = self.scope.len();
        let mut flow = Flow::Next;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.scope.truncate(outer);
        self.depth -= 1;
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, Stop> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(failed(format!("more than {STEPS_MAX} steps")));
        }
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                let printed;
                let text = match value {
                    Value::Nil => functions::NO_VALUE,
                    value => {
                        printed = format::print(&value);
                        printed.as_str()
                    }
                };
                if self.data.html && !yields_html(pipeline) {
                    self.write(&functions::html(text))?;
                } else {
                    self.write(text)?;
                }
            }
            Node::Assign { name, declare, value } => {
                let value = self.pipeline(value, dot)?;
                self.set(name, *declare, value)?;
            }
            Node::Condition { with, variable, value, then, otherwise } => {
                let value = self.pipeline(value, dot)?;
                let outer = self.scope.len();
                if let Some(Target { name, declare }) = variable {
                    self.set(name, *declare, value.clone())?;
                }
                let flow = match (functions::truth(&value), with) {
                    (true, true) => self.nodes(then, &value)?,
                    (true, false) => self.nodes(then, dot)?,
                    (false, _) => self.nodes(otherwise, dot)?,
                };
                self.scope.truncate(outer);
                return Ok(flow);
            }
            Node::Range { key, element, value, body, otherwise } => {
                return self.range([key, element], value, body, otherwise, dot);
            }
            Node::Template { name, value } => {
                let value = match value {
                    Some(value) => self.pipeline(value, dot)?,
                    None => Value::Nil,
                };
                let named = self.named;
                let body = named.get(name).ok_or_else(|| failed(format!("template {name:?} not defined")))?;
                let around = std::mem::replace(&mut self.scope, vec![(String::new(), value.clone())]);
                self.nodes(body, &value)?;
                self.scope = around;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn range(
        &mut self,
        targets: [&Option<Target>; 2],
        value: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, Stop> {
        let value = self.pipeline(value, dot)?;
        if matches!((&value, targets), (Value::Int(_), [Some(_), Some(_)])) {
            return Err(failed("can't iterate over a number with more than one variable"));
        }
        let items = items(value)?;
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        let outer = self.scope.len();
        for (at, item) in items {
            for (target, value) in targets.into_iter().zip([&at, &item]) {
                if let Some(Target { name, declare }) = target {
                    self.set(name, *declare, value.clone())?;
                }
            }
            let flow = self.nodes(body, &item)?;
            self.scope.truncate(outer);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn set(&mut self, name: &str, declare: bool, value: Value) -> Result<(), Stop> {
        if declare {
            self.scope.push((name.to_owned(), value));
            return Ok(());
        }
        match self.scope.iter_mut().rev().find(|(n, _)| n == name) {
            Some((_, slot)) => *slot = value,
            None => return Err(undefined(name)),
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), Stop> {
        if self.out.len() + text.len() > self.bytes_max {
            return Err(Stop::Failed(TemplateError::TooLarge(self.bytes_max)));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Stop> {
        let mut last = None;
        for command in &pipeline.0 {
            last = Some(match command {
                Command::Operand(operand) => self.operand(operand, dot)?,
                Command::Call(name, arguments) => {
                    // Go does not evaluate what does not decide the value any more.
                    if matches!(name.as_str(), "and" | "or") {
                        self.choose(name == "or", arguments, last, dot)?
                    } else {
                        let values = self.arguments(arguments, last, dot)?;
                        self.call(name, &values)?
                    }
                }
                Command::Method(operand, arguments) => {
                    let values = self.arguments(arguments, last, dot)?;
                    let (method, fields) =
                        operand.fields.split_last().ok_or_else(|| failed("no method is named"))?;
                    let mut value = self.base(&operand.base, dot)?;
                    for field in fields {
                        value = member(&value, field)?;
                    }
                    functions::method(&value, method, &values)
                        .map_err(|what| failed(format!("error calling {method}: {what}")))?
                }
            });
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    fn arguments(&self, arguments: &[Operand], last: Option<Value>, dot: &Value) -> Result<Vec<Value>, Stop> {
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(self.operand(argument, dot)?);
        }
        values.extend(last);
        Ok(values)
    }

    /// The first argument that is (`or`) or is not (`and`) true, else the last one.
    fn choose(
        &self,
        wanted: bool,
        arguments: &[Operand],
        last: Option<Value>,
        dot: &Value,
    ) -> Result<Value, Stop> {
        let mut chosen = None;
        for argument in arguments {
            let value = self.operand(argument, dot)?;
            if functions::truth(&value) == wanted {
                return Ok(value);
            }
            chosen = Some(value);
        }
        last.or(chosen).ok_or_else(|| failed("wrong number of arguments for and, or: want at least 1"))
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
        let error = |what: String| failed(format!("error calling {name}: {what}"));
        match (name, arguments) {
            ("query", [Value::Text(expr)]) => match self.answers.get(expr) {
                None => Err(Stop::Needs(Arc::clone(expr))),
                Some(Err(what)) => Err(error(what.clone())),
                Some(Ok(samples)) => Ok(samples.clone()),
            },
            ("now", []) if self.data.dialect == Dialect::Notification => Ok(self.now()),
            ("since", [Value::Time(time)]) => match self.now() {
                Value::Time(now) => Ok(Value::Duration(now.saturating_sub(*time))),
                _ => Ok(Value::Nil),
            },
            ("now", []) => Ok(Value::Float(self.data.at.millis() as f64 / 1000.0)),
            ("externalURL", []) => Ok(self.data.external_url.clone()),
            ("pathPrefix", []) => match self.data.external_url {
                Value::Text(url) => Ok(path(url).into()),
                _ => Ok("".into()),
            },
            _ => functions::call(name, arguments, self.bytes_max).map_err(error),
        }
    }

    fn now(&self) -> Value {
        Value::Time(self.data.at.millis().saturating_mul(1_000_000))
    }

    fn base(&self, base: &Base, dot: &Value) -> Result<Value, Stop> {
        match base {
            Base::Dot => Ok(dot.clone()),
            Base::Literal(value) => Ok(value.clone()),
            Base::Pipeline(pipeline) => self.pipeline(pipeline, dot),
            Base::Call(name) => self.call(name, &[]),
            Base::Variable(name) => match self.scope.iter().rev().find(|(n, _)| n == name) {
                Some((_, value)) => Ok(value.clone()),
                None => Err(undefined(name)),
            },
        }
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, Stop> {
        let mut value = self.base(&operand.base, dot)?;
        for field in &operand.fields {
            value = member(&value, field)?;
        }
        Ok(value)
    }
}

fn undefined(name: &str) -> Stop {
    failed(format!("undefined variable \"${name}\""))
}

/// The path of a URL.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

/// A field of a value, or what a method without arguments yields.
fn member(value: &Value, field: &str) -> Result<Value, Stop> {
    match value {
        Value::Labels(labels) => Ok(labels.get(field).unwrap_or_default().into()),
        Value::Kv(_) | Value::List(_) if functions::is_method(value, field) => {
            functions::method(value, field, &[])
                .map_err(|what| failed(format!("error calling {field}: {what}")))
        }
        Value::Kv(labels) => Ok(labels.get(field).unwrap_or_default().into()),
        Value::Map(map) => Ok(map.get(field).cloned().unwrap_or(Value::Nil)),
        Value::Fields(fields) => match fields.get(field) {
            Some(value) => Ok(value.clone()),
            None => Err(failed(format!("can't evaluate field {field}"))),
        },
        Value::Time(_) | Value::Duration(_) => functions::method(value, field, &[])
            .map_err(|what| failed(format!("error calling {field}: {what}"))),
        Value::Nil => Err(failed(format!("nil data; no entry for key {field:?}"))),
        other => Err(failed(format!("can't evaluate field {field} in type {}", format::type_name(other)))),
    }
}

/// What `range` goes over: keys and elements.
fn items(value: Value) -> Result<Vec<(Value, Value)>, Stop> {
    let map = |map: Arc<BTreeMap<String, Value>>| {
        map.iter().map(|(name, value)| (name.as_str().into(), value.clone())).collect()
    };
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Labels(labels) | Value::Kv(labels) => {
            Ok(labels.iter().map(|(n, v)| (n.into(), v.into())).collect())
        }
        Value::Map(entries) => Ok(map(entries)),
        Value::List(list) => {
            let list = Arc::unwrap_or_clone(list);
            Ok(list.into_iter().enumerate().map(|(at, item)| (Value::Int(at as i64), item)).collect())
        }
        Value::Int(count) if count as u64 <= STEPS_MAX as u64 || count < 0 => {
            Ok((0..count).map(|at| (Value::Int(at), Value::Int(at))).collect())
        }
        other => Err(failed(format!("range can't iterate over {}", format::type_name(&other)))),
    }
}
