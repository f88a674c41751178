//! Who may use the API from a page of another origin: those that `--web.cors.origin` matches, as in Prometheus.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use regex::Regex;

/// What matches every origin, and is answered without naming one.
const ANYBODY: &str = "^(?s:.*)$";

/// Adds the headers that let a browser hand the answer on, and answers what browsers ask beforehand.
pub(super) async fn allow(State(origins): State<Arc<Regex>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    add(&origins, origin, response.headers_mut());
    response
}

fn add(origins: &Regex, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    let Some(origin) = origin else { return };
    let anybody = origins.as_str() == ANYBODY;
    if !anybody && !origin.to_str().is_ok_and(|text| origins.is_match(text)) {
        return;
    }
    let fixed = HeaderValue::from_static;
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fixed("Accept, Authorization, Content-Type, Origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("GET, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, fixed("Date"));
    headers.append(header::VARY, fixed("Origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, if anybody { fixed("*") } else { origin });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origins: &str, origin: Option<&'static str>, allowed: Option<&str>) {
        let origins = Regex::new(&format!("^(?s:{origins})$")).unwrap();
        let mut headers = HeaderMap::new();
        add(&origins, origin.map(HeaderValue::from_static), &mut headers);
        let found = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
        assert_eq!(found, allowed, "{origins} {origin:?}");
    }

    #[test]
    fn only_origins_that_match_as_a_whole_are_allowed() {
        check(".*", Some("https://a.example"), Some("*"));
        check(".*", None, None);
        check("https://(a|b)[.]example", Some("https://a.example"), Some("https://a.example"));
        check("https://(a|b)[.]example", Some("https://a.example.evil"), None);
        check("https://(a|b)[.]example", Some("https://c.example"), None);
    }
}
