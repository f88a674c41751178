//! Paths into JSON: `{.a.b[*].c}` or `$.a.b[*].c`, and JSON pointers (RFC 6901) such as `/a/b/0`.
//!
//! Of JSONPath there are names (`.a`, `['a']`), places (`[0]`, `[-1]` from the end), all (`[*]`, `.*`), descent (`..a`)
//! and filters (`[?(@.state == "up")]`, with `==`, `!=`, `<`, `<=`, `>`, `>=`, or without a comparison for whether it is
//! there). What a path does not find is nothing, not an error.

use serde_json::Value;

/// A path that has been read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Name(String),
    Place(i64),
    All,
    /// A name at any depth.
    Descent(String),
    Filter(Filter),
}

#[derive(Debug, Clone, PartialEq)]
struct Filter {
    path: Path,
    /// How what is there compares with what; none where it has to be there alone.
    comparison: Option<(Comparison, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Path {
    /// Reads a path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("path {text:?}: {what}");
        let inner = text.trim();
        if inner.is_empty() || inner.starts_with('/') {
            return Ok(Self::pointer(inner));
        }
        let inner = match inner.strip_prefix('{') {
            Some(rest) => {
                rest.strip_suffix('}').ok_or_else(|| wrong("the closing } is missing".to_owned()))?.trim()
            }
            None => inner,
        };
        let mut rest = inner.strip_prefix(['$', '@']).unwrap_or(inner);
        let steps = steps(&mut rest).map_err(wrong)?;
        if rest.is_empty() { Ok(Self(steps)) } else { Err(wrong(format!("{rest:?} is not understood"))) }
    }

    fn pointer(text: &str) -> Self {
        let parts = text.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
        Self(parts.map(Step::Name).collect())
    }

    /// All that it leads to.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.take(value)).collect();
        }
        found
    }
}

impl Step {
    fn take<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Name(name), Value::Object(members)) => members.get(name).into_iter().collect(),
            // In a pointer a number may be a place.
            (Self::Name(name), Value::Array(values)) => {
                name.parse::<usize>().ok().and_then(|at| values.get(at)).into_iter().collect()
            }
            (Self::Place(at), Value::Array(values)) => {
                let length = i64::try_from(values.len()).unwrap_or(i64::MAX);
                let at = if *at < 0 { length + at } else { *at };
                usize::try_from(at).ok().and_then(|at| values.get(at)).into_iter().collect()
            }
            (Self::All, Value::Array(values)) => values.iter().collect(),
            (Self::All, Value::Object(members)) => members.values().collect(),
            (Self::Descent(name), value) => {
                let mut found = Vec::new();
                descend(value, name, &mut found);
                found
            }
            (Self::Filter(filter), Value::Array(values)) => {
                values.iter().filter(|v| filter.holds(v)).collect()
            }
            (Self::Filter(filter), Value::Object(members)) => {
                members.values().filter(|v| filter.holds(v)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// JSON nests at most 128 deep where it is read, so that this ends.
fn descend<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(name));
            members.values().for_each(|value| descend(value, name, found));
        }
        Value::Array(values) => values.iter().for_each(|value| descend(value, name, found)),
        _ => {}
    }
}

impl Filter {
    fn holds(&self, value: &Value) -> bool {
        let found = self.path.find(value);
        let Some((comparison, other)) = &self.comparison else { return !found.is_empty() };
        found.into_iter().any(|value| compare(*comparison, value, other))
    }
}

fn compare(comparison: Comparison, value: &Value, other: &Value) -> bool {
    let order = match (value.as_f64(), other.as_f64(), value.as_str(), other.as_str()) {
        (Some(a), Some(b), ..) => a.partial_cmp(&b),
        (_, _, Some(a), Some(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match comparison {
        Comparison::Equal => value == other || order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::NotEqual => value != other && order.is_none_or(std::cmp::Ordering::is_ne),
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

/// Reads steps until something else comes, which is left.
fn steps(rest: &mut &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix("..") {
            *rest = after;
            steps.push(Step::Descent(name(rest)?));
        } else if let Some(after) = rest.strip_prefix('.') {
            *rest = after;
            if let Some(after) = rest.strip_prefix('*') {
                *rest = after;
                steps.push(Step::All);
            } else if !rest.is_empty() && !rest.starts_with('[') {
                steps.push(Step::Name(name(rest)?));
            }
        } else if let Some(after) = rest.strip_prefix('[') {
            *rest = after;
            steps.push(bracket(rest)?);
        } else {
            return Ok(steps);
        }
    }
}

fn name(rest: &mut &str) -> Result<String, String> {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    if name.is_empty() {
        return Err(format!("a name is missing before {rest:?}"));
    }
    *rest = after;
    Ok(name.to_owned())
}

/// What is inside of brackets, whose opening one has been read.
fn bracket(rest: &mut &str) -> Result<Step, String> {
    let close = |rest: &mut &str, with: &str| match rest.trim_start().strip_prefix(with) {
        Some(after) => {
            *rest = after;
            Ok(())
        }
        None => Err(format!("{with:?} is missing before {rest:?}")),
    };
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        close(rest, "]")?;
        return Ok(Step::All);
    }
    if let Some(after) = rest.strip_prefix("?(") {
        *rest = after.trim_start();
        *rest = rest.strip_prefix('@').ok_or("a filter begins with @")?;
        let path = Path(steps(rest)?);
        let comparison = comparison(rest)?;
        close(rest, ")")?;
        close(rest, "]")?;
        return Ok(Step::Filter(Filter { path, comparison }));
    }
    if rest.starts_with(['\'', '"']) {
        let text = quoted(rest)?;
        close(rest, "]")?;
        return Ok(Step::Name(text));
    }
    let end = rest.find(']').ok_or("] is missing")?;
    let (number, after) = rest.split_at(end);
    let at =
        number.trim().parse().map_err(|_| format!("{number:?} is neither a place nor a name in quotes"))?;
    *rest = after;
    close(rest, "]")?;
    Ok(Step::Place(at))
}

fn quoted(rest: &mut &str) -> Result<String, String> {
    let mut characters = rest.chars();
    let quote = characters.next().ok_or("a quote is missing")?;
    let inner = characters.as_str();
    let end = inner.find(quote).ok_or_else(|| format!("the closing {quote} is missing"))?;
    let (text, after) = inner.split_at(end);
    *rest = after.strip_prefix(quote).unwrap_or(after);
    Ok(text.to_owned())
}

fn comparison(rest: &mut &str) -> Result<Option<(Comparison, Value)>, String> {
    const OPERATORS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let text = rest.trim_start();
    let Some((operator, comparison)) = OPERATORS.iter().find(|(operator, _)| text.starts_with(operator))
    else {
        return Ok(None);
    };
    *rest = text.get(operator.len()..).unwrap_or_default().trim_start();
    if rest.starts_with(['\'', '"']) {
        return Ok(Some((*comparison, Value::String(quoted(rest)?))));
    }
    let end = rest.find(')').ok_or("the closing ) of a filter is missing")?;
    let (literal, after) = rest.split_at(end);
    let value = serde_json::from_str(literal.trim())
        .map_err(|_| format!("{literal:?} is neither a number, true, false, null nor a text in quotes"))?;
    *rest = after;
    Ok(Some((*comparison, value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(path: &str, expected: &Value) {
        let document = json!({
            "counter": 7, "a-b": true, "x/y": 1,
            "values": [
                {"id": "a", "count": 1, "state": "up", "tags": {"rack": 1}},
                {"id": "b", "count": 2, "state": "down"},
                {"id": "c", "count": 3, "state": "up", "deep": [{"id": "d"}]}
            ]
        });
        let found = Path::parse(path).map(|path| json!(path.find(&document)));
        assert_eq!(&found.unwrap_or_else(|error| json!(error)), expected, "{path}");
    }

    #[test]
    fn paths_lead_to_values() {
        check("{.counter}", &json!([7]));
        check("{ $.counter }", &json!([7]));
        check("$['x/y']", &json!([1]));
        check(".a-b", &json!([true]));
        check("/values/1/id", &json!(["b"]));
        check("/x~1y", &json!([1]));
        check("{.values[*].count}", &json!([1, 2, 3]));
        check("{.values[-1].id}", &json!(["c"]));
        check("{.values[0].tags.*}", &json!([1]));
        check("$..id", &json!(["a", "b", "c", "d"]));
        check("{.values[?(@.state == \"up\")].id}", &json!(["a", "c"]));
        check("{.values[?(@.count >= 2)].id}", &json!(["b", "c"]));
        check("{.values[?(@.state != 'up')].id}", &json!(["b"]));
        check("{.values[?(@.deep)].id}", &json!(["c"]));
        check("{.none.of.this}", &json!([]));
        check("{.values[9]}", &json!([]));
        check("{.counter.deeper}", &json!([]));
    }

    #[test]
    fn what_is_no_path_is_told() {
        check("{.a", &json!("path \"{.a\": the closing } is missing"));
        check("{.a[x]}", &json!("path \"{.a[x]}\": \"x\" is neither a place nor a name in quotes"));
        check("{.a[?(.b)]}", &json!("path \"{.a[?(.b)]}\": a filter begins with @"));
        check("{.a b}", &json!("path \"{.a b}\": \" b\" is not understood"));
        check("{.a[}", &json!("path \"{.a[}\": ] is missing"));
        check("{...}", &json!("path \"{...}\": a name is missing before \".\""));
        check(
            "{.a[?(@.b == )]}",
            &json!(
                "path \"{.a[?(@.b == )]}\": \"\" is neither a number, true, false, null nor a text in quotes"
            ),
        );
    }
}
