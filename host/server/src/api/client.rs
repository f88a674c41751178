//! Who sends a query, as far as the fair queue tells clients apart.
//!
//! A client is the first of these that the request has: the tenant in `X-Scope-OrgID`, the user that Grafana names in
//! `X-Grafana-User` (with `X-Grafana-Org-Id`), the user of basic authentication, the address that the connection comes
//! from. Each dashboard that Grafana names in `X-Dashboard-Uid` counts as a client of its own beside that, since all of
//! them come from the same address. Nothing is believed for more than a turn in the queue: who lies about itself gets
//! more turns, not more rights.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine as _;

use crate::queries::fair::Client;
use crate::queries::{Caller, HttpRequest};
use crate::web::listen::Peer;

/// Names longer than this are cut: they are kept while a query runs.
const NAME_BYTES_MAX: usize = 100;

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<Peer>>().map(|info| info.0.0);
        let request = HttpRequest {
            address: address.map(|address| address.ip()),
            method: parts.method.clone(),
            path: parts.extensions.get::<MatchedPath>().cloned(),
        };
        Ok(Self::Client(Client(name(&parts.headers, address).into()), request))
    }
}

fn name(headers: &HeaderMap, address: Option<SocketAddr>) -> String {
    let mut name = identity(headers)
        .or_else(|| Some(format!("address {}", address?.ip())))
        .unwrap_or_else(|| "unknown".to_owned());
    if let Some(dashboard) = text(headers, "x-dashboard-uid") {
        name.push_str(", dashboard ");
        name.push_str(dashboard);
    }
    name.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect()
}

fn identity(headers: &HeaderMap) -> Option<String> {
    if let Some(tenant) = text(headers, "x-scope-orgid") {
        return Some(format!("tenant {tenant}"));
    }
    if let Some(user) = text(headers, "x-grafana-user") {
        let organisation = text(headers, "x-grafana-org-id").unwrap_or("-");
        return Some(format!("grafana user {organisation}/{user}"));
    }
    let credentials = text(headers, header::AUTHORIZATION.as_str())?.strip_prefix("Basic ")?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(credentials.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    Some(format!("user {}", decoded.split_once(':')?.0))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expected: &str) {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        let address = "192.0.2.7:1234".parse().unwrap();
        assert_eq!(name(&headers.collect(), Some(address)), expected);
    }

    #[test]
    fn clients_are_told_apart() {
        check(&[], "address 192.0.2.7");
        check(&[("x-dashboard-uid", "abc")], "address 192.0.2.7, dashboard abc");
        check(&[("x-scope-orgid", "team"), ("x-grafana-user", "eve")], "tenant team");
        check(&[("x-grafana-user", "eve"), ("x-grafana-org-id", "3")], "grafana user 3/eve");
        check(&[("authorization", "Basic ZXZlOnNlY3JldA==")], "user eve");
        check(&[("authorization", "Bearer x")], "address 192.0.2.7");
        assert_eq!(name(&HeaderMap::new(), None), "unknown");
    }
}
