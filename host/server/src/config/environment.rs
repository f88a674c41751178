//! Environment variables in `external_labels`, as Prometheus expands them: `$NAME` and `${NAME}`, a variable that is not
//! set becomes nothing, and `$$` is a dollar sign.

use model::Labels;

/// Labels with their values expanded by `variable`; names of variables that are not set are told to `missing`.
pub(super) fn expand(
    labels: &Labels,
    variable: impl Fn(&str) -> Option<String>,
    mut missing: impl FnMut(&str),
) -> Labels {
    let mut value = |text: &str| {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (name, tail) = variable_name(after);
            rest = tail;
            match name {
                // Prometheus takes a second dollar sign for a variable of that name, whose value is the sign itself.
                Some("$") => expanded.push('$'),
                Some(name) => match variable(name) {
                    Some(value) => expanded.push_str(&value),
                    None => missing(name),
                },
                None => expanded.push('$'),
            }
        }
        expanded.push_str(rest);
        expanded
    };
    Labels::from_pairs(labels.iter().map(|(name, text)| (name.to_owned(), value(text))))
}

/// What follows a dollar sign: a variable's name if there is one, and the rest.
fn variable_name(text: &str) -> (Option<&str>, &str) {
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.split_once('}') {
            Some((name, rest)) if !name.is_empty() => (Some(name), rest),
            // Go's `os.Expand` swallows what it cannot read.
            Some((_, rest)) => (None, rest),
            None => (None, braced),
        };
    }
    if let Some(rest) = text.strip_prefix('$') {
        return (Some("$"), rest);
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    match text.split_at(end) {
        ("", rest) => (None, rest),
        (name, rest) => (Some(name), rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_prometheus_does() {
        let check = |text: &str, expected: &str, not_set: &[&str]| {
            let mut missing = Vec::new();
            let variable = |name: &str| (name == "REGION").then(|| "eu".to_owned());
            let labels = Labels::from_pairs([("a", text)]);
            let expanded = expand(&labels, variable, |name| missing.push(name.to_owned()));
            assert_eq!(expanded.get("a").unwrap_or_default(), expected, "{text}");
            assert_eq!(missing, not_set, "{text}");
        };
        check("plain", "plain", &[]);
        check("$REGION", "eu", &[]);
        check("x-${REGION}-1", "x-eu-1", &[]);
        check("$REGION.$NONE!", "eu.!", &["NONE"]);
        check("$$REGION", "$REGION", &[]);
        check("5$", "5$", &[]);
        check("${REGION", "$REGION", &[]);
    }
}
