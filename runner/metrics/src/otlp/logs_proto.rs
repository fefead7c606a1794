// SPDX-License-Identifier: MIT
//! The messages of `opentelemetry.proto.logs.v1` (open-telemetry/opentelemetry-proto) with the fields
//! that are written here. The ones around a record are written piece by piece, and only tests read
//! them as messages.

use super::common::{AnyValue, KeyValue};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LogRecordMessage {
    #[prost(fixed64, tag = "1")]
    pub(super) time_unix_nano: u64,
    #[prost(enumeration = "SeverityNumber", tag = "2")]
    pub(super) severity_number: i32,
    #[prost(string, tag = "3")]
    pub(super) severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub(super) body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "11")]
    pub(super) observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    pub(super) event_name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum SeverityNumber {
    Unspecified = 0,
    Info = 9,
}

/// `ExportLogsServiceRequest.resource_logs`.
pub(super) const RESOURCE_LOGS: u8 = 1;
/// `ResourceLogs.resource`.
pub(super) const RESOURCE: u8 = 1;
/// `ResourceLogs.scope_logs`.
pub(super) const SCOPE_LOGS: u8 = 2;
/// `ScopeLogs.scope`.
pub(super) const SCOPE: u8 = 1;
/// `ScopeLogs.log_records`.
pub(super) const LOG_RECORDS: u8 = 2;
