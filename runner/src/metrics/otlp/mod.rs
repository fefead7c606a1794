// SPDX-License-Identifier: MIT
//! Metrics and records for an OpenTelemetry collector: OTLP over HTTP. A thread sends them, so a
//! receiver that is slow or away does not hold up the run.

mod logs;
mod queue;
mod sender;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bpfpack_metrics::Family;
use bpfpack_metrics::otlp::{Attribute, Resource};
use bpfpack_registry::http::Url;
use bpfpack_render::{Format, Labels};

use crate::args::OtlpPlan;
use crate::failure::{self, Failure};
use crate::metrics::scrapes::Asker;
use crate::metrics::texts::Texts;
use crate::talk::Talk;
use sender::{Receiver, Sender, Shared};

pub(super) use queue::{Counts, Signal};

/// How long the last requests may take.
const LAST: Duration = Duration::from_secs(5);

/// A receiver that is known, before anything is sent.
#[derive(Debug)]
pub(crate) struct Target {
    receiver: Receiver,
    name: String,
}

/// A thread that sends.
#[derive(Debug)]
pub(super) struct Exporting {
    shared: Arc<Shared>,
    name: String,
    package: String,
    sends_logs: bool,
}

impl Target {
    /// Resolves the URL, and reads the environment variables of OpenTelemetry. It connects to
    /// nothing.
    ///
    /// # Errors
    /// Returns an error if the URL or a header is wrong.
    pub(super) fn of(plan: &OtlpPlan) -> Result<Target, Failure> {
        let url = |signal: Signal| {
            let text = url_of(&plan.url, signal);
            Url::parse(&text).context("--otlp").map_err(|error| {
                Failure::new(failure::exit_code::USAGE, error)
                    .hint("for example --otlp http://127.0.0.1:4318")
            })
        };
        let urls = [url(Signal::Metrics)?, url(Signal::Logs)?];
        let variable = std::env::var("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
        let mut headers = pairs(&variable);
        headers.extend(plan.headers.iter().cloned());
        if let Some((name, _)) = headers.iter().find(|(name, value)| !is_header(name, value)) {
            let text = format!("`{name}` is not a header of HTTP, or its value is not");
            return Err(Failure::usage(text).hint("--otlp-header NAME=VALUE, in visible ASCII"));
        }
        let name = plan.url.split(['?', '#']).next().unwrap_or_default().to_owned();
        Ok(Target { receiver: Receiver::new(urls, headers), name })
    }

    /// Starts to send.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub(super) fn start(
        self,
        plan: &OtlpPlan,
        asker: Asker,
        package: &str,
        digest: &str,
    ) -> Result<Exporting, Failure> {
        let resource = resource(package, digest);
        let shared = Arc::new(Shared::new(&resource));
        let sender = Sender {
            shared: Arc::clone(&shared),
            receiver: self.receiver,
            resource,
            asker: Some(asker).filter(|_| plan.sends(Signal::Metrics.name())),
            interval: plan.interval,
            start: SystemTime::now(),
        };
        std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || sender.run())
            .map_err(failure::system("cannot start a thread"))?;
        let sends_logs = plan.sends(Signal::Logs.name());
        Ok(Exporting { shared, name: self.name, package: package.to_owned(), sends_logs })
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl Exporting {
    /// The output that makes logs of records, if they are sent.
    pub(super) fn logs(&self, labels: Labels) -> Option<Box<dyn Format>> {
        let texts = Texts::new(labels, &self.package);
        let output = || logs::LogsOutput::new(Arc::clone(&self.shared), texts);
        self.sends_logs.then(|| Box::new(output()) as _)
    }

    /// Where they are sent, for a note.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What was delivered and lost until now.
    pub(super) fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    /// Sends what remains, for some seconds unless `is_impatient` becomes true, and reports what was
    /// lost.
    pub(super) fn finish(
        &self,
        last: Vec<Family>,
        talk: &Talk,
        mut is_impatient: impl FnMut() -> bool,
    ) {
        let begin = std::time::Instant::now();
        self.shared.end(last);
        let mut is_done = false;
        while !is_done && begin.elapsed() < LAST && !is_impatient() {
            is_done = self.shared.is_done_after(Duration::from_millis(20));
        }
        let counts = self.counts();
        let failure = self.shared.failure().map_or(String::new(), |text| format!(": {text}"));
        for signal in Signal::ALL {
            let (delivered, lost) = (counts.delivered(signal), counts.lost(signal));
            if lost > 0 {
                let what = in_words(lost, signal);
                talk.warning(&format!("{what} not delivered to {}{failure}", self.name));
            } else if delivered > 0 {
                let what = in_words(delivered, signal);
                talk.detail(&format!("{what} delivered to {}", self.name));
            }
        }
        if !is_done {
            let text = format!("the last requests were not delivered to {}{failure}", self.name);
            talk.warning(&text);
        }
    }
}

/// A number of values or records, with the verb that follows.
fn in_words(count: u64, signal: Signal) -> String {
    match (signal, count) {
        (Signal::Metrics, 1) => "1 value of a metric was".to_owned(),
        (Signal::Metrics, count) => format!("{count} values of metrics were"),
        (Signal::Logs, 1) => "1 record was".to_owned(),
        (Signal::Logs, count) => format!("{count} records were"),
    }
}

/// The URL for a signal: `/v1/metrics` or `/v1/logs` below the one that is given, which may end with
/// either already.
fn url_of(base: &str, signal: Signal) -> String {
    let name = signal.name();
    match base.strip_suffix("/v1/metrics").or_else(|| base.strip_suffix("/v1/logs")) {
        Some(base) => format!("{base}/v1/{name}"),
        None => format!("{}/v1/{name}", base.trim_end_matches('/')),
    }
}

/// The pairs `NAME=VALUE,…` of an environment variable; values may be percent-encoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_owned(), decoded(value.trim())))
    };
    text.split(',').filter_map(pair).collect()
}

/// A text without percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = others.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match code.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_header(name: &str, value: &str) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(in_name) && value.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Who sends: the package on this machine. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add to
/// that.
fn resource(package: &str, digest: &str) -> Resource {
    let service = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let service = service.unwrap_or_else(|| package.to_owned());
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let own = [
        ("service.name", service),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("host.name", text(uname.nodename())),
        ("host.arch", std::env::consts::ARCH.to_owned()),
        ("os.type", "linux".to_owned()),
        ("os.version", text(uname.release())),
        ("bpfpack.package", package.to_owned()),
        ("bpfpack.package.sha256", digest.to_owned()),
    ];
    let given = pairs(&std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
    let mut all: Vec<(String, String)> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    all.retain(|(name, _)| !given.iter().any(|(other, _)| other == name));
    all.extend(given);
    let attributes: Vec<(&str, Attribute<'_>)> =
        all.iter().map(|(name, value)| (&**name, Attribute::String(value))).collect();
    Resource::new(&attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_both_signals() {
        for (base, metrics) in [
            ("http://a:4318", "http://a:4318/v1/metrics"),
            ("http://a:4318/", "http://a:4318/v1/metrics"),
            ("https://a/otlp", "https://a/otlp/v1/metrics"),
            ("https://a/x/v1/logs", "https://a/x/v1/metrics"),
        ] {
            assert_eq!(url_of(base, Signal::Metrics), metrics);
            assert_eq!(url_of(base, Signal::Logs), metrics.replace("metrics", "logs"));
        }
    }

    #[test]
    fn variables_have_pairs() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("a=1, b=x%20y%2,c"), [pair("a", "1"), pair("b", "x y%2")]);
        assert_eq!(pairs(""), []);
        assert!(is_header("Authorization", "Bearer x") && !is_header("a b", "x"));
        assert!(!is_header("a", "x\r\nb: c") && !is_header("", ""));
    }
}
