//! Nodes to text, within a budget of bytes and steps.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;

use super::parse::{Base, Command, Node, Operand, Pipeline};
use super::{TemplateError, Value, format, functions};

/// How many nodes one rendering may run; nested ranges multiply, and an evaluation must not hang in one.
const STEPS_MAX: usize = 1_000_000;

/// Renders the nodes.
pub(super) fn render(
    nodes: &[Node],
    dot: &Value,
    variables: &[(&'static str, Value)],
    bytes_max: usize,
) -> Result<String, TemplateError> {
    let mut scope: Vec<_> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    scope.push((String::new(), dot.clone()));
    let mut exec = Exec { out: String::new(), bytes_max, scope, steps: 0 };
    exec.nodes(nodes, dot)?;
    Ok(exec.out)
}

struct Exec {
    out: String,
    bytes_max: usize,
    /// Variables, the innermost last; `$` is the one without a name.
    scope: Vec<(String, Value)>,
    steps: usize,
}

impl Exec {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let outer = self.scope.len();
        for node in nodes {
            self.node(node, dot)?;
        }
        self.scope.truncate(outer);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(TemplateError::Execution(format!("more than {STEPS_MAX} steps")));
        }
        match node {
            Node::Text(text) => self.write(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.write(&format::print(&value))
            }
            Node::Assign { name, declare, value } => {
                let value = self.pipeline(value, dot)?;
                if *declare {
                    self.scope.push((name.clone(), value));
                    return Ok(());
                }
                match self.scope.iter_mut().rev().find(|(n, _)| n == name) {
                    Some((_, slot)) => *slot = value,
                    None => return Err(undefined(name)),
                }
                Ok(())
            }
            Node::Condition { with, variable, value, then, otherwise } => {
                let value = self.pipeline(value, dot)?;
                let outer = self.scope.len();
                if let Some(name) = variable {
                    self.scope.push((name.clone(), value.clone()));
                }
                match (functions::truth(&value), with) {
                    (true, true) => self.nodes(then, &value)?,
                    (true, false) => self.nodes(then, dot)?,
                    (false, _) => self.nodes(otherwise, dot)?,
                }
                self.scope.truncate(outer);
                Ok(())
            }
            Node::Range { key, element, value, body, otherwise } => {
                let items = items(self.pipeline(value, dot)?)?;
                if items.is_empty() {
                    return self.nodes(otherwise, dot);
                }
                let outer = self.scope.len();
                for (at, item) in items {
                    for (name, value) in [(key, &at), (element, &item)] {
                        if let Some(name) = name {
                            self.scope.push((name.clone(), value.clone()));
                        }
                    }
                    self.nodes(body, &item)?;
                    self.scope.truncate(outer);
                }
                Ok(())
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.out.len() + text.len() > self.bytes_max {
            return Err(TemplateError::TooLarge(self.bytes_max));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut last = None;
        for command in &pipeline.0 {
            last = Some(match command {
                Command::Operand(operand) => self.operand(operand, dot)?,
                Command::Call(name, arguments) => {
                    let mut values = Vec::with_capacity(arguments.len() + 1);
                    for argument in arguments {
                        values.push(self.operand(argument, dot)?);
                    }
                    values.extend(last);
                    self.call(name, &values)?
                }
            });
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
        functions::call(name, arguments, self.bytes_max)
            .map_err(|what| TemplateError::Execution(format!("error calling {name}: {what}")))
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Literal(value) => value.clone(),
            Base::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
            Base::Call(name) => self.call(name, &[])?,
            Base::Variable(name) => match self.scope.iter().rev().find(|(n, _)| n == name) {
                Some((_, value)) => value.clone(),
                None => return Err(undefined(name)),
            },
        };
        for field in &operand.fields {
            value = member(&value, field)?;
        }
        Ok(value)
    }
}

fn undefined(name: &str) -> TemplateError {
    TemplateError::Execution(format!("undefined variable \"${name}\""))
}

/// A field of a value.
fn member(value: &Value, field: &str) -> Result<Value, TemplateError> {
    match value {
        Value::Labels(labels) => Ok(labels.get(field).unwrap_or_default().into()),
        Value::Fields(fields) => match fields.get(field) {
            Some(value) => Ok(value.clone()),
            None => Err(TemplateError::Execution(format!("can't evaluate field {field}"))),
        },
        other => Err(TemplateError::Execution(format!(
            "can't evaluate field {field} in type {}",
            format::type_name(other)
        ))),
    }
}

/// What `range` goes over: keys and elements.
fn items(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Labels(labels) => Ok(labels.iter().map(|(n, v)| (n.into(), v.into())).collect()),
        Value::List(list) => {
            let list = Arc::unwrap_or_clone(list);
            Ok(list.into_iter().enumerate().map(|(at, item)| (Value::Int(at as i64), item)).collect())
        }
        other => {
            Err(TemplateError::Execution(format!("range can't iterate over {}", format::type_name(&other))))
        }
    }
}
