//! Request parameters: from the query string, and from the form body of a POST, in that order.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use model::{Matcher, Timestamp};
use url::form_urlencoded;

use super::envelope::ApiError;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let mut pairs = decode(request.uri().query().unwrap_or_default().as_bytes());
        let is_form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        if request.method() == Method::POST && is_form {
            let body = Bytes::from_request(request, state).await.map_err(ApiError::bad_data)?;
            pairs.extend(decode(&body));
        }
        Ok(Self(pairs))
    }
}

fn decode(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

impl Params {
    #[cfg(test)]
    pub(crate) fn from_query(query: &str) -> Self {
        Self(decode(query.as_bytes()))
    }

    /// The first value of a parameter; an empty one counts as missing, as in Prometheus.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::parameter(name, "missing"))
    }

    /// A time: seconds since the epoch with fractions, or RFC 3339.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_time(text)
            .map(Some)
            .ok_or_else(|| ApiError::parameter(name, format!("cannot parse {text:?} to a valid timestamp")))
    }

    pub(crate) fn required_time(&self, name: &str) -> Result<Timestamp, ApiError> {
        self.required(name)?;
        self.time(name)?.ok_or_else(|| ApiError::parameter(name, "missing"))
    }

    /// A duration: seconds with fractions, or Prometheus' notation.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_seconds(text)
            .or_else(|| model::parse_duration(text).ok())
            .map(Some)
            .ok_or_else(|| ApiError::parameter(name, format!("cannot parse {text:?} to a valid duration")))
    }

    /// A count; zero means no limit.
    pub(crate) fn limit(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let limit: usize =
            text.parse().map_err(|_| ApiError::parameter(name, "must be a whole number, 0 or more"))?;
        Ok((limit > 0).then_some(limit))
    }

    /// Yes or no; no where nothing is said.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some(other) => Err(ApiError::parameter(name, format!("{other:?} is neither true nor false"))),
        }
    }

    /// The selectors of all `match[]` parameters.
    pub(crate) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        self.all("match[]")
            .map(|text| promql::parse_selector(text).map_err(|error| ApiError::parameter("match[]", error)))
            .collect()
    }
}

fn parse_seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Reads a time as the API takes it.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        // Beyond this, milliseconds would not fit; Prometheus' own bounds are of the same size.
        return (seconds.abs() < 9.2e15).then(|| Timestamp::from_secs_f64(seconds));
    }
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp::from_millis(time.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::from_query(query)
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let ms = |query: &str| params(query).time("t").map(|t| t.map(Timestamp::millis));
        assert_eq!(ms("t=1.5").unwrap(), Some(1500));
        assert_eq!(ms("t=2026-01-01T00:00:00Z").unwrap(), Some(1_767_225_600_000));
        assert_eq!(ms("t=2026-01-01T01:00:00%2B01:00").unwrap(), Some(1_767_225_600_000));
        assert_eq!(ms("u=1").unwrap(), None);
        assert!(ms("t=yesterday").is_err());
        assert!(ms("t=NaN").is_err());
    }

    #[test]
    fn durations_are_seconds_or_prometheus_notation() {
        let ms = |query: &str| params(query).duration("d").map(|d| d.map(|d| d.as_millis()));
        assert_eq!(ms("d=15").unwrap(), Some(15_000));
        assert_eq!(ms("d=0.25").unwrap(), Some(250));
        assert_eq!(ms("d=1m30s").unwrap(), Some(90_000));
        assert!(ms("d=-1").is_err());
    }
}
