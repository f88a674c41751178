//! Bounds how many requests of a kind are worked on at once. One beyond it is told at once to come back, before
//! its body is read: what waits in senders costs this server nothing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When to come back. Senders wait longer by themselves where it happens again.
pub(super) const RETRY_AFTER_SECS: &str = "1";

/// Lets in a number of requests at once; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Semaphore>);

impl Admission {
    pub(crate) fn new(requests_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(requests_max)))
    }

    /// A place, held until it is dropped; `None` where all are taken.
    pub(crate) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// A layer around handlers: 503 with `Retry-After` where all places are taken.
pub(crate) async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let Some(_place) = admission.enter() else {
        let headers = [(header::RETRY_AFTER, RETRY_AFTER_SECS)];
        return (StatusCode::SERVICE_UNAVAILABLE, headers, "too many requests at once; send it again\n")
            .into_response();
    };
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use axum::{Router, middleware};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn requests_beyond_the_limit_are_told_to_come_back() {
        let admission = Admission::new(1);
        let router: Router = Router::new()
            .route("/", post(async || "done"))
            .layer(middleware::from_fn_with_state(admission.clone(), admit));
        let push = || router.clone().oneshot(Request::post("/").body(Body::empty()).unwrap());
        let place = admission.enter();
        let refused = push().await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], RETRY_AFTER_SECS);
        drop(place);
        assert_eq!(push().await.unwrap().status(), StatusCode::OK);
    }
}
