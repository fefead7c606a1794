// SPDX-License-Identifier: MIT
//! Responses of receivers. Their texts are not trusted: the caller escapes them before it shows them.

use prost::Message as _;

/// `ExportMetricsServiceResponse` and `ExportLogsServiceResponse`, whose fields are the same.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportMetricsPartialSuccess` and `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// What a receiver did not accept of a request that succeeded: the number of data points or records,
/// and the reason. A number of 0 with a text is a warning. `None` if it accepted all, and if the
/// body is no such response.
#[must_use]
pub fn rejected(body: &[u8]) -> Option<(i64, String)> {
    let partial = Response::decode(body).ok()?.partial_success?;
    let is_empty = partial.rejected == 0 && partial.error_message.is_empty();
    (!is_empty).then_some((partial.rejected, partial.error_message))
}

/// The reason in the body of a request that failed with an HTTP status of 400 or more. `None` if the
/// body is no `google.rpc.Status` or has no text.
#[must_use]
pub fn status(body: &[u8]) -> Option<String> {
    let status = Status::decode(body).ok()?;
    (!status.message.is_empty()).then_some(status.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(rejected: i64, message: &str) -> Vec<u8> {
        let partial_success = Some(PartialSuccess { rejected, error_message: message.to_owned() });
        Response { partial_success }.encode_to_vec()
    }

    #[test]
    fn partial_success() {
        assert_eq!(rejected(&response(3, "too old")), Some((3, "too old".to_owned())));
        assert_eq!(rejected(&response(0, "slow down")), Some((0, "slow down".to_owned())));
        assert_eq!(rejected(&response(3, "")), Some((3, String::new())));
        assert_eq!(rejected(&response(0, "")), None);
        // Bytes that were put together by hand: field 1 with field 1 = 2 and field 2 = "no".
        assert_eq!(rejected(b"\x0a\x06\x08\x02\x12\x02no"), Some((2, "no".to_owned())));
        for other in [&b""[..], b"{}", b"<html></html>", b"\x0a\x06\x08", b"\x0a\x02\x12\x05no"] {
            assert_eq!(rejected(other), None, "{other:?}");
        }
    }

    #[test]
    fn reasons_of_failures() {
        assert_eq!(status(b"\x08\x03\x12\x07invalid"), Some("invalid".to_owned()));
        for other in [&b""[..], b"\x08\x03", b"404 page not found", b"{\"message\":\"no\"}"] {
            assert_eq!(status(other), None, "{other:?}");
        }
    }
}
