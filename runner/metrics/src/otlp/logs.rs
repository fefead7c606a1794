// SPDX-License-Identifier: MIT
//! Logs: records are encoded one by one as they come, so that a batch costs no more memory than its
//! request, and its size is known at any time.

use std::time::SystemTime;

use super::attribute::{Attribute, Resource, fill, set};
use super::common::InstrumentationScope;
use super::logs_proto::{
    LOG_RECORDS, LogRecordMessage, RESOURCE, RESOURCE_LOGS, SCOPE, SCOPE_LOGS, SeverityNumber,
};
use super::nanoseconds;
use crate::wire;

/// A record: an event that a program reports. Its severity is INFO.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'a> {
    /// When it happened.
    pub time: Option<SystemTime>,
    /// When it was received.
    pub observed: SystemTime,
    /// The kind of event: all of a kind have the same attributes. Empty if there is none.
    pub event_name: &'a str,
    /// The event as a line of text.
    pub body: &'a str,
    /// The members of the event. No two have the same name.
    pub attributes: &'a [(&'a str, Attribute<'a>)],
}

/// A batch of records.
///
/// ```
/// use std::time::SystemTime;
/// use bpfpack_metrics::otlp::{Attribute, LogRecord, Logs, Resource};
///
/// let mut logs = Logs::new(&Resource::new(&[("service.name", Attribute::String("execsnoop"))]));
/// logs.push(&LogRecord {
///     time: None,
///     observed: SystemTime::now(),
///     event_name: "exec",
///     body: "sh starts",
///     attributes: &[("comm", Attribute::String("sh")), ("pid", Attribute::Int(4711))],
/// });
/// let size = logs.size();
/// assert_eq!(logs.take().len(), size);
/// assert!(logs.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct Logs {
    /// The field `ResourceLogs.resource`.
    resource: Vec<u8>,
    /// The field `ScopeLogs.scope`.
    scope: Vec<u8>,
    /// The fields `ScopeLogs.log_records`.
    records: Vec<u8>,
    count: usize,
    /// The record before, whose memory the next one uses.
    last: LogRecordMessage,
}

impl Logs {
    /// An empty batch.
    #[must_use]
    pub fn new(resource: &Resource) -> Logs {
        let mut logs = Logs {
            resource: Vec::new(),
            scope: Vec::new(),
            records: Vec::new(),
            count: 0,
            last: LogRecordMessage {
                severity_number: SeverityNumber::Info.into(),
                severity_text: "INFO".to_owned(),
                ..LogRecordMessage::default()
            },
        };
        wire::field(RESOURCE, &resource.message(), &mut logs.resource);
        wire::field(SCOPE, &InstrumentationScope::own(), &mut logs.scope);
        logs
    }

    /// Adds a record.
    pub fn push(&mut self, record: &LogRecord<'_>) {
        let message = &mut self.last;
        message.time_unix_nano = record.time.map_or(0, nanoseconds);
        message.observed_time_unix_nano = nanoseconds(record.observed);
        record.event_name.clone_into(&mut message.event_name);
        set(Attribute::String(record.body), message.body.get_or_insert_default());
        fill(record.attributes.iter().copied(), &mut message.attributes);
        wire::field(LOG_RECORDS, message, &mut self.records);
        self.count += 1;
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the request, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        wire::field_size(self.resource_logs())
    }

    /// An `ExportLogsServiceRequest` of all records. The batch is empty afterwards.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        wire::begin(RESOURCE_LOGS, self.resource_logs(), &mut out);
        out.extend_from_slice(&self.resource);
        wire::begin(SCOPE_LOGS, self.scope_logs(), &mut out);
        out.extend_from_slice(&self.scope);
        out.extend_from_slice(&self.records);
        self.records.clear();
        self.count = 0;
        out
    }

    /// The size of the message `ScopeLogs`.
    fn scope_logs(&self) -> usize {
        self.scope.len() + self.records.len()
    }

    /// The size of the message `ResourceLogs`.
    fn resource_logs(&self) -> usize {
        self.resource.len() + wire::field_size(self.scope_logs())
    }
}
