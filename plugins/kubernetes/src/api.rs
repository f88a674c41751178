//! The API server: lists of objects, page by page, in the namespaces and by the selectors that are wanted.

use serde::de::DeserializeOwned;
use stormglass_sdk::http::{Request, Timeout, escaped};
use stormglass_sdk::{Context, Error, Result};

use crate::objects::List;
use crate::{Config, Role};

/// So many objects come in one answer: a page of large pods stays below what an answer may be long.
const PAGE_OBJECTS: usize = 250;
/// So many pages of one list are asked for: an API server that never ends its list must not keep us for good.
const PAGES_MAX: usize = 4_000;

/// Asks one API server.
pub(crate) struct Api<'a> {
    config: &'a Config,
    timeout: Timeout,
}

impl<'a> Api<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        Self { config, timeout: config.timeout }
    }

    /// All objects of a kind. `group` is the path of their API, `role` whose selectors count.
    pub(crate) fn list<T: DeserializeOwned>(&self, group: &str, kind: &str, role: Role) -> Result<Vec<T>> {
        let namespaces = &self.config.namespaces.names;
        if namespaces.is_empty() || matches!(role, Role::Node | Role::Namespace) {
            return self.pages(&format!("{group}/{kind}"), role);
        }
        let mut all = Vec::new();
        for namespace in namespaces {
            all.extend(self.pages(&format!("{group}/namespaces/{}/{kind}", escaped(namespace)), role)?);
        }
        Ok(all)
    }

    fn pages<T: DeserializeOwned>(&self, path: &str, role: Role) -> Result<Vec<T>> {
        let base = self.config.api_server.trim_end_matches('/');
        let mut query = format!("limit={PAGE_OBJECTS}");
        if let Some(selector) = self.config.selectors.iter().find(|selector| selector.role == role) {
            for (name, value) in [("labelSelector", &selector.label), ("fieldSelector", &selector.field)] {
                if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                    query += &format!("&{name}={}", escaped(value));
                }
            }
        }
        let doing = format!("list {base}{path}");
        let (mut all, mut next) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let from = if next.is_empty() { String::new() } else { format!("&continue={}", escaped(&next)) };
            let response = Request::get(&format!("{base}{path}?{query}{from}"))
                .header("Accept", "application/json")
                .timeout(self.timeout)
                .send()
                .context(&doing)?;
            if response.status == 410 && !next.is_empty() {
                // The list has grown too old for its next page; from the start it is a new one.
                return Err(Error::retryable("the list expired while it was read").context(doing));
            }
            let page: List<T> = response.error_for_status().context(&doing)?.json().context(&doing)?;
            all.extend(page.items);
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(all);
            }
        }
        Err(Error::permanent(format!("the list has more than {PAGES_MAX} pages")).context(doing))
    }
}
