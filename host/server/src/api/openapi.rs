//! `/api/v1/openapi.yaml`: what is served under `/api/v1`, for generators of clients. A route that it leaves out fails the
//! test below.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::envelope::ApiError;
use super::params::Params;
use crate::app::App;

const DOCUMENT: &str = include_str!("openapi.yaml");

/// The document, in the version of the language that is asked for.
pub(super) async fn document(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let language = match params.get("openapi_version") {
        None | Some("" | "3.1") => "3.1.0",
        Some("3.2") => "3.2.0",
        Some(other) => {
            return Err(ApiError::parameter("openapi_version", format!("{other:?} is neither 3.1 nor 3.2")));
        }
    };
    let text = DOCUMENT
        .replace("@OPENAPI@", language)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@PREFIX@", &app.prefix);
    Ok(([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], text).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described() {
        let source = include_str!("../api.rs");
        let routes =
            source.split("let api = Router::new()").nth(1).unwrap().split(".fallback").next().unwrap();
        let routes: BTreeSet<&str> =
            routes.split(".route(\"").skip(1).filter_map(|route| route.split('"').next()).collect();
        let document: serde_json::Value =
            serde_saphyr::from_str(&DOCUMENT.replace("@OPENAPI@", "3.1.0")).unwrap();
        let described = document["paths"].as_object().unwrap();
        // It has a router of its own.
        let described: BTreeSet<&str> =
            described.keys().map(String::as_str).filter(|path| *path != "/otlp/v1/metrics").collect();
        assert!(routes.len() > 40);
        assert_eq!(described, routes);
    }
}
