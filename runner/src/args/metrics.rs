// SPDX-License-Identifier: MIT
//! The options for metrics, and what they mean.

use std::path::PathBuf;
use std::time::Duration;

use bpfpack_schemas::meta::{check_label_name, check_metric_name};
use clap::Args;

#[cfg(feature = "metrics")]
use super::values::duration;
use crate::failure::Failure;

/// The maximum number of series of a metric unless another one is given.
const MAX_SERIES: u32 = 10_000;

const METRICS: &str = "Metrics";

/// The options for metrics. Without support for metrics, those that ask for any remain, and say so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[group(skip)]
pub struct MetricsOptions {
    /// Whether `ecli serve` serves them.
    #[arg(skip)]
    pub served: bool,

    /// Serve metrics to Prometheus at HOST:PORT, unix:PATH, or a socket of systemd (fd://). Without
    /// -f and -o, nothing else is shown
    #[arg(long, value_name = "ADDRESS", help_heading = METRICS)]
    pub listen: Option<String>,

    /// Set TLS and passwords of the server by a web configuration file of Prometheus exporters
    #[cfg_attr(feature = "metrics", arg(long, value_name = "FILE", requires = "listen"))]
    #[cfg_attr(feature = "metrics", arg(help_heading = METRICS))]
    #[cfg_attr(not(feature = "metrics"), arg(skip))]
    pub web_config: Option<PathBuf>,

    /// Send metrics and records to an OpenTelemetry collector (OTLP over HTTP)
    #[arg(long, value_name = "URL", help_heading = METRICS)]
    pub otlp: Option<String>,

    /// Send metrics at this interval
    #[cfg_attr(feature = "metrics", arg(long, value_name = "TIME", default_value = "60s"))]
    #[cfg_attr(feature = "metrics", arg(value_parser = duration, help_heading = METRICS))]
    #[cfg_attr(not(feature = "metrics"), arg(skip))]
    pub otlp_interval: Duration,

    /// Send only metrics, or only logs: the records
    #[cfg_attr(feature = "metrics", arg(long, value_name = "KIND", value_delimiter = ','))]
    #[cfg_attr(feature = "metrics", arg(default_value = "metrics,logs", requires = "otlp"))]
    #[cfg_attr(feature = "metrics", arg(value_parser = ["metrics", "logs"]))]
    #[cfg_attr(feature = "metrics", arg(hide_possible_values = true, help_heading = METRICS))]
    #[cfg_attr(not(feature = "metrics"), arg(skip))]
    pub otlp_signals: Vec<String>,

    /// Send a header with each request, for example a token; repeatable
    #[cfg_attr(feature = "metrics", arg(long, value_name = "NAME=VALUE", requires = "otlp"))]
    #[cfg_attr(feature = "metrics", arg(value_parser = header, help_heading = METRICS))]
    #[cfg_attr(not(feature = "metrics"), arg(skip))]
    pub otlp_header: Vec<(String, String)>,

    /// Write records to the journal of systemd
    #[arg(long, help_heading = METRICS)]
    pub journal: bool,

    /// The socket of the journal; for tests
    #[arg(long, value_name = "FILE", default_value = "/run/systemd/journal/socket", hide = true)]
    pub journal_socket: PathBuf,

    #[cfg_attr(feature = "metrics", command(flatten))]
    #[cfg_attr(not(feature = "metrics"), arg(skip))]
    pub choices: MetricChoices,

    /// Export at most N series of a metric; what exceeds them is added up in one
    #[arg(long, value_name = "N", default_value_t = MAX_SERIES, help_heading = METRICS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_series: u32,

    /// Measure how often and how long each program runs
    #[arg(long, help_heading = METRICS)]
    pub run_times: bool,
}

/// What is chosen for the names and labels of metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[group(skip)]
pub struct MetricChoices {
    /// Choose the members that become labels; values that differ only in others are added up; repeatable
    #[arg(long, value_name = "[MAP:]NAME,...", help_heading = METRICS)]
    #[arg(value_parser = labels)]
    pub labels: Vec<LabelsArg>,

    /// Rename a metric, make it a gauge or a counter, or leave it out (off); repeatable
    #[arg(long, value_name = "MAP[.NAME]=NEW", help_heading = METRICS)]
    #[arg(value_parser = metric)]
    pub metric: Vec<MetricArg>,
}

/// Metrics of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsPlan {
    /// Where they are served; `None` if they are only sent.
    pub listen: Option<String>,
    /// Where they are sent.
    pub otlp: Option<OtlpPlan>,
    /// The web configuration file.
    pub web_config: Option<PathBuf>,
    /// The socket of the journal that records are written to.
    pub journal: Option<PathBuf>,
    /// Their names and labels.
    pub choices: MetricChoices,
    /// The maximum number of series of a metric.
    pub max_series: u32,
    /// Whether the kernel measures the run time of programs.
    pub run_times: bool,
}

/// A receiver of metrics and records, by OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpPlan {
    /// Its URL.
    pub url: String,
    /// Time between two requests with metrics.
    pub interval: Duration,
    /// What is sent: `metrics`, `logs`.
    pub signals: Vec<String>,
    /// Headers of all requests.
    pub headers: Vec<(String, String)>,
}

impl OtlpPlan {
    /// Whether a signal is sent.
    pub(crate) fn sends(&self, signal: &str) -> bool {
        self.signals.iter().any(|name| name == signal)
    }
}

/// The members that become labels, from `--labels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelsArg {
    /// The map or buffer; `None` for all.
    pub source: Option<String>,
    /// Members, each `NAME` or `NAME=LABEL`.
    pub members: Vec<String>,
}

/// A choice for a metric, from `--metric`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricArg {
    /// The map or buffer.
    pub source: String,
    /// The member; `None` for all.
    pub member: Option<String>,
    /// What is chosen.
    pub action: MetricDo,
}

/// What is chosen for a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricDo {
    /// The beginning of its name.
    Name(String),
    /// It is not exported.
    Off,
    /// It is a gauge.
    Gauge,
    /// It is a counter.
    Counter,
}

impl MetricsOptions {
    /// Whether metrics are served or sent.
    pub(super) fn exports(&self) -> bool {
        self.served || self.listen.is_some() || self.otlp.is_some() || self.journal
    }

    /// What they mean; `None` if nothing is served or sent.
    ///
    /// # Errors
    /// Returns an error if metrics are chosen that nobody receives.
    pub(super) fn plan(self) -> Result<Option<MetricsPlan>, Failure> {
        let exports = self.exports();
        let chosen = [
            (!self.choices.labels.is_empty(), "--labels"),
            (!self.choices.metric.is_empty(), "--metric"),
            (self.run_times, "--run-times"),
        ];
        if let Some((_, option)) = chosen.iter().find(|(is_given, _)| *is_given && !exports) {
            let text = format!("{option} is for metrics: --listen serves them, --otlp sends them");
            return Err(Failure::usage(text));
        }
        let otlp = self.otlp.map(|url| OtlpPlan {
            url,
            interval: self.otlp_interval,
            signals: self.otlp_signals,
            headers: self.otlp_header,
        });
        Ok(exports.then_some(MetricsPlan {
            listen: self.listen,
            otlp,
            journal: self.journal.then_some(self.journal_socket),
            web_config: self.web_config,
            choices: self.choices,
            max_series: self.max_series,
            run_times: self.run_times,
        }))
    }
}

/// Parses `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no `=`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Parses `[MAP:]MEMBER[=LABEL],…`.
fn labels(text: &str) -> Result<LabelsArg, String> {
    let (source, members) = match text.split_once(':') {
        Some((source, members)) => (Some(source.to_owned()), members),
        None => (None, text),
    };
    let members: Vec<String> =
        members.split(',').map(str::trim).filter(|it| !it.is_empty()).map(String::from).collect();
    let labels = members.iter().filter_map(|member| member.split_once('='));
    labels.map(|(_, label)| label).try_for_each(check_label_name)?;
    Ok(LabelsArg { source, members })
}

/// Parses `MAP[.MEMBER]=NAME`.
fn metric(text: &str) -> Result<MetricArg, String> {
    let (of, action) = text.split_once('=').ok_or("it has no `=`")?;
    let (source, member) = match of.rsplit_once('.') {
        Some((source, member)) if !source.is_empty() => (source, Some(member.to_owned())),
        _ => (of, None),
    };
    let action = match action {
        "off" => MetricDo::Off,
        "gauge" | "counter" if member.is_none() => {
            return Err(format!("`{action}` is for a member: {source}.MEMBER={action}"));
        }
        "gauge" => MetricDo::Gauge,
        "counter" => MetricDo::Counter,
        name if member.is_some() => {
            return Err(format!(
                "a member is `gauge`, `counter` or `off`; `{name}` can be the name of {source}"
            ));
        }
        name => {
            check_metric_name(name)?;
            MetricDo::Name(name.to_owned())
        }
    };
    Ok(MetricArg { source: source.to_owned(), member, action })
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;

    fn metrics(args: &[&str]) -> Result<MetricsPlan, String> {
        let all = [&["run", "--listen", "127.0.0.1:1"], args, &["p"]].concat();
        plan(&all).map(|plan| plan.metrics.unwrap())
    }

    #[test]
    fn nothing_else_is_shown_unless_it_is_asked_for() {
        let outputs = |args: &[&str]| {
            let args = [&["run", "--listen", ":9435"], args, &["p"]].concat();
            plan(&args).unwrap().outputs.len()
        };
        assert_eq!(outputs(&[]), 0);
        assert_eq!(outputs(&["-j"]), 1);
        assert_eq!(outputs(&["-o", "csv:a"]), 1);
        assert_eq!(outputs(&["-o", "csv:a", "-o", "-"]), 2);
        assert!(plan(&["run", "p"]).unwrap().metrics.is_none());
        let sent = plan(&["run", "--otlp", "http://a", "--otlp-header", "x=y=z", "p"]).unwrap();
        let sent = (sent.outputs.len(), sent.metrics.unwrap().otlp.unwrap());
        assert_eq!((sent.0, &sent.1.headers[..]), (0, &[("x".into(), "y=z".into())][..]));
        assert!(sent.1.sends("metrics") && sent.1.sends("logs"));
        assert!(plan(&["run", "--otlp", "http://a", "--otlp-signals", "traces", "p"]).is_err());
        assert!(plan(&["run", "--labels", "a", "p"]).is_err());
        let text = plan(&["run", "--listen", ":1", "--rate", "p"]).unwrap_err();
        assert!(text.contains("--rate"), "{text}");
    }

    #[test]
    fn labels_are_for_all_sources_or_for_one() {
        let of =
            |text: &str| metrics(&["--labels", text]).map(|mut plan| plan.choices.labels.remove(0));
        let arg = |source: Option<&str>, members: &[&str]| LabelsArg {
            source: source.map(str::to_owned),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
        };
        assert_eq!(of("comm,uid=user"), Ok(arg(None, &["comm", "uid=user"])));
        assert_eq!(of("hists:"), Ok(arg(Some("hists"), &[])));
        assert!(of("comm=a-b").unwrap_err().contains("`a-b` is not a name for a label"));
    }

    #[test]
    fn metrics_are_renamed_and_left_out() {
        let of =
            |text: &str| metrics(&["--metric", text]).map(|mut plan| plan.choices.metric.remove(0));
        let arg = |member: Option<&str>, action| MetricArg {
            source: "hists".into(),
            member: member.map(str::to_owned),
            action,
        };
        assert_eq!(of("hists=irq_latency"), Ok(arg(None, MetricDo::Name("irq_latency".into()))));
        assert_eq!(of("hists=off"), Ok(arg(None, MetricDo::Off)));
        assert_eq!(of("hists.max=gauge"), Ok(arg(Some("max"), MetricDo::Gauge)));
        for (text, words) in [
            ("hists", "no `=`"),
            ("hists=gauge", "hists.MEMBER=gauge"),
            ("hists.a=b", "can be the name of hists"),
            ("hists=1a", "`1a` is not a name for a metric"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
