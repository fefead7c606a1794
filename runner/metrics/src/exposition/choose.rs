// SPDX-License-Identifier: MIT
//! Content negotiation (RFC 9110, 12.5.1) between the three formats.

use super::Exposition;

/// One of the ranges of an `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Accepted {
    exposition: Exposition,
    /// From 0 to 1.
    quality: f32,
    /// Whether it names the format: a wildcard with the same quality comes after it.
    is_exact: bool,
}

pub(super) fn choose(accept: &str) -> Exposition {
    let mut best: Option<Accepted> = None;
    for range in accept.split(',').filter_map(read).filter(|range| range.quality > 0.0) {
        // The first one of equals wins.
        let is_better = best.is_none_or(|best| {
            (range.quality, range.is_exact as u8) > (best.quality, best.is_exact as u8)
        });
        if is_better {
            best = Some(range);
        }
    }
    best.map_or(Exposition::Text, |range| range.exposition)
}

/// Reads a media range. `None` is one that we cannot satisfy.
fn read(range: &str) -> Option<Accepted> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let (mut version, mut proto, mut encoding) = (None, None, None);
    let mut quality = 1.0;
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "version" => version = Some(value),
            "proto" => proto = Some(value),
            "encoding" => encoding = Some(value),
            "q" => quality = value.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q))?,
            // `charset`, and `escaping` of names, which are ASCII here.
            _ => {}
        }
    }
    let (exposition, is_exact) = match media.as_str() {
        "application/vnd.google.protobuf" => {
            let is_ours =
                proto == Some("io.prometheus.client.MetricFamily") && encoding == Some("delimited");
            (is_ours.then_some(Exposition::Protobuf)?, true)
        }
        "application/openmetrics-text" => {
            let is_ours = matches!(version, None | Some("1.0.0"));
            (is_ours.then_some(Exposition::OpenMetrics)?, true)
        }
        "text/plain" => {
            let is_ours = matches!(version, None | Some("0.0.4"));
            (is_ours.then_some(Exposition::Text)?, true)
        }
        "text/*" | "*/*" => (Exposition::Text, false),
        _ => return None,
    };
    Some(Accepted { exposition, quality, is_exact })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_scrapers() {
        use Exposition::{OpenMetrics, Protobuf, Text};
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                        encoding=delimited";
        for (accept, expected) in [
            // Prometheus 2.42, without and with native histograms; 3.
            (
                "application/openmetrics-text;version=1.0.0,\
                 application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                &format!(
                    "{protobuf},application/openmetrics-text;version=1.0.0;q=0.8,\
                     application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
                ),
                Protobuf,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OpenMetrics,
            ),
            // A browser, curl.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text),
            ("*/*", Text),
            ("", Text),
        ] {
            assert_eq!(choose(accept), expected, "{accept}");
        }
    }

    #[test]
    fn qualities_and_parameters() {
        use Exposition::{OpenMetrics, Protobuf, Text};
        let protobuf = "application/vnd.google.protobuf";
        let proto = "proto=io.prometheus.client.MetricFamily";
        for (accept, expected) in [
            ("text/plain;q=0.5, application/openmetrics-text;q=0.6", OpenMetrics),
            ("application/openmetrics-text;q=0.5, text/plain", Text),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            ("text/plain, application/openmetrics-text", Text),
            ("*/*, application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;q=0, */*;q=0.1", Text),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=2", Text),
            ("application/openmetrics-text;q=NaN", Text),
            ("Application/OpenMetrics-Text ; Version = \"1.0.0\" ; Q=0.1", OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.1", Text),
            (&format!("{protobuf};{proto};encoding=delimited"), Protobuf),
            (&format!("{protobuf};encoding=delimited; {proto}; q=0.3,text/*;q=0.2"), Protobuf),
            (&format!("{protobuf};{proto};encoding=text"), Text),
            (&format!("{protobuf};{proto}"), Text),
            (protobuf, Text),
            ("application/json", Text),
            (";;,=,;q", Text),
        ] {
            assert_eq!(choose(accept), expected, "{accept}");
        }
    }
}
