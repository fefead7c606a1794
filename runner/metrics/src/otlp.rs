// SPDX-License-Identifier: MIT
//! Requests of the OpenTelemetry protocol (OTLP), as protobuf: the bodies of HTTP requests to
//! `/v1/metrics` and `/v1/logs` and of the same gRPC calls. Sending them is the caller's part.

mod attribute;
mod common;
mod logs;
mod logs_proto;
mod metrics;
mod metrics_proto;
mod name;
mod response;
#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

pub use attribute::{Attribute, Resource};
pub use logs::{LogRecord, Logs};
pub use metrics::metrics;
pub use response::{rejected, status};

/// The name of the instrumentation scope.
const SCOPE: &str = "bpfpack";

/// Nanoseconds since 1970. A time before is 0, which means unknown.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
