// SPDX-License-Identifier: MIT
//! The formats in which Prometheus scrapes. A scrape's `Accept` header chooses one.
//!
//! Names of families and labels are written as they are: they match `[a-zA-Z_:][a-zA-Z0-9_:]*`, and
//! no histogram has a label `le`. Values of labels, and helps, may be any text. A family without
//! series, and a value that is not of its family's type, are left out.

mod choose;
mod client_model;
mod lines;
mod native;
mod number;
mod openmetrics;
mod protobuf;
#[cfg(test)]
mod tests;
mod text;

use crate::Family;

/// A format of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4, which every scraper reads.
    Text,
    /// OpenMetrics 1.0, the text format with units and infos.
    OpenMetrics,
    /// Delimited protobuf messages of `io.prometheus.client`, the only format with native
    /// histograms.
    Protobuf,
}

impl Exposition {
    /// Chooses the format that an `Accept` header prefers. Several headers of a request count as one,
    /// joined by commas. Without a header, or with none of our formats, it is [`Exposition::Text`].
    #[must_use]
    pub fn choose(accept: Option<&str>) -> Exposition {
        choose::choose(accept.unwrap_or_default())
    }

    /// The value of the `Content-Type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }

    /// Appends a whole response: all families of a program, in their order.
    pub fn write<'f>(&self, families: impl IntoIterator<Item = &'f Family>, out: &mut Vec<u8>) {
        let families = families.into_iter().filter(|family| !family.series.is_empty());
        match self {
            Exposition::Text => text::write(families, out),
            Exposition::OpenMetrics => openmetrics::write(families, out),
            Exposition::Protobuf => protobuf::write(families, out),
        }
    }
}
