//! The routing tree: which routes want an alert, and what its group is called.

use model::Labels;

use crate::config::{GroupBy, Route, matchers_text};
use crate::template::quote;

/// A route that wants an alert.
pub(super) struct Matched<'a> {
    pub(super) route: &'a Route,
    /// The matchers from the root to the route, the first part of the group key.
    pub(super) key: String,
    /// The places from the root to the route, which tell routes with the same matchers apart.
    pub(super) path: Vec<usize>,
}

/// The routes that want an alert of these labels: depth first, a node itself only where none of its children
/// does, siblings until one matches that does not continue.
pub(super) fn matching<'a>(root: &'a Route, labels: &Labels) -> Vec<Matched<'a>> {
    let mut found = Vec::new();
    walk(root, labels, "", &mut Vec::new(), &mut found);
    found
}

fn walk<'a>(
    route: &'a Route,
    labels: &Labels,
    parent: &str,
    path: &mut Vec<usize>,
    found: &mut Vec<Matched<'a>>,
) -> bool {
    if !route.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
        return false;
    }
    let own = matchers_text(&route.matchers);
    let key = if parent.is_empty() { own } else { format!("{parent}/{own}") };
    let before = found.len();
    for (place, child) in route.routes.iter().enumerate() {
        path.push(place);
        let matched = walk(child, labels, &key, path, found);
        path.pop();
        if matched && !child.continues {
            break;
        }
    }
    if found.len() == before {
        found.push(Matched { route, key, path: path.clone() });
    }
    true
}

/// The labels that decide which group below the route an alert belongs to.
pub(super) fn group_labels(route: &Route, labels: &Labels) -> Labels {
    match &route.group_by {
        GroupBy::All => labels.clone(),
        GroupBy::Labels(names) => labels.filtered(|name| names.contains(name)),
    }
}

/// The group's key, exactly as Alertmanager writes it, since users key their own systems on it.
pub(super) fn group_key(route_key: &str, labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{route_key}:{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn keys(labels: &[(&str, &str)]) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(
            r#"
route:
  receiver: a
  group_by: [alertname, team]
  routes:
    - matchers: ['severity="page"']
      routes:
        - {matchers: ['team=~"x|y"'], continue: true}
        - {matchers: ['dc!=""'], group_by: []}
    - {matchers: ['severity=~".+"'], group_by: ['...']}
receivers: [{name: a}]
"#,
        )
        .unwrap();
        let labels = Labels::from_pairs(labels.iter().copied());
        matching(&config.route, &labels)
            .into_iter()
            .map(|matched| group_key(&matched.key, &group_labels(matched.route, &labels)))
            .collect()
    }

    #[test]
    fn keys_are_alertmanagers() {
        assert_eq!(keys(&[("alertname", "x")]), [r#"{}:{alertname="x"}"#]);
        assert_eq!(
            keys(&[("alertname", "x"), ("severity", "page")]),
            [r#"{}/{severity="page"}:{alertname="x"}"#]
        );
        assert_eq!(
            keys(&[("alertname", "x"), ("team", "y"), ("severity", "page")]),
            [r#"{}/{severity="page"}/{team=~"x|y"}:{alertname="x", team="y"}"#]
        );
        assert_eq!(
            keys(&[("alertname", "x"), ("team", "y"), ("severity", "page"), ("dc", "1")]),
            [
                r#"{}/{severity="page"}/{team=~"x|y"}:{alertname="x", team="y"}"#,
                r#"{}/{severity="page"}/{dc!=""}:{}"#
            ]
        );
        assert_eq!(
            keys(&[("alertname", "a\"b"), ("severity", "info")]),
            [r#"{}/{severity=~".+"}:{alertname="a\"b", severity="info"}"#]
        );
    }
}
