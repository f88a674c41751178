//! The bodies of a receiver's answers, in the encoding of the request.

use prost::Message as _;
use serde_json::json;

use super::{Encoding, proto};
use crate::Rejected;

/// What a request was about; the JSON of an answer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Data points.
    Metrics,
    /// Spans.
    Traces,
}

/// The answer to a request that was taken, in full or in part: `ExportMetricsServiceResponse` or
/// `ExportTraceServiceResponse`. Without anything rejected it says nothing, which means full success.
pub fn success(signal: Signal, rejected: &Rejected, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let partial_success = (!rejected.is_empty()).then(|| proto::PartialSuccess {
                rejected: i64::try_from(rejected.count).unwrap_or(i64::MAX),
                error_message: rejected.summary(),
            });
            proto::ExportServiceResponse { partial_success }.encode_to_vec()
        }
        Encoding::Json if rejected.is_empty() => b"{}".to_vec(),
        Encoding::Json => {
            let count = match signal {
                Signal::Metrics => "rejectedDataPoints",
                Signal::Traces => "rejectedSpans",
            };
            // 64-bit integers are texts in protobuf's JSON.
            let partial = json!({count: rejected.count.to_string(), "errorMessage": rejected.summary()});
            json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// The answer to a request that was refused: a `google.rpc.Status`, whose `code` is one of gRPC's
/// (3 is "invalid argument", 8 "resource exhausted", 14 "unavailable").
pub fn error(code: i32, message: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => proto::RpcStatus { code, message: message.to_owned() }.encode_to_vec(),
        Encoding::Json => json!({ "code": code, "message": message }).to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn full_success_says_nothing() {
        assert_eq!(success(Signal::Traces, &Rejected::default(), Encoding::Protobuf), b"");
        assert_eq!(text(success(Signal::Traces, &Rejected::default(), Encoding::Json)), "{}");
    }

    #[test]
    fn partial_success_counts_and_explains() {
        let mut rejected = Rejected::default();
        rejected.note(2, || "metric a: delta".to_owned());
        rejected.note(1, || "metric b: no name".to_owned());
        expect![[r#"{"partialSuccess":{"errorMessage":"metric a: delta; metric b: no name","rejectedDataPoints":"3"}}"#]]
            .assert_eq(&text(success(Signal::Metrics, &rejected, Encoding::Json)));
        let body = success(Signal::Metrics, &rejected, Encoding::Protobuf);
        let partial = proto::ExportServiceResponse::decode(&body[..]).unwrap().partial_success.unwrap();
        assert_eq!((partial.rejected, partial.error_message), (3, rejected.summary()));
    }

    #[test]
    fn errors_carry_code_and_message() {
        expect![[r#"{"code":3,"message":"no"}"#]].assert_eq(&text(error(3, "no", Encoding::Json)));
        let status = proto::RpcStatus::decode(&error(8, "much", Encoding::Protobuf)[..]).unwrap();
        assert_eq!((status.code, status.message.as_str()), (8, "much"));
    }
}
