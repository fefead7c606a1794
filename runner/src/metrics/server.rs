// SPDX-License-Identifier: MIT
//! Where Prometheus scrapes: `/metrics`, `/-/healthy`, and a page for people.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use bpfpack_listen::{
    Activation, Address, Config, Listener, LocalAddress, Request, Response, Server, WebConfig,
};
use bpfpack_metrics::exposition::Exposition;

use bpfpack_metrics::Family;

use super::own;
use super::scrapes::NoAnswer;
use crate::args::MetricsPlan;
use crate::failure::{self, Failure, exit_code, talk};
use crate::sys;

/// How long a scrape waits for the run, unless Prometheus says how long it waits. Its default is
/// ten seconds.
const PATIENCE: Duration = Duration::from_secs(9);

/// The header in which Prometheus says how many seconds it waits.
const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// An open address that is not served yet.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: Listener,
    web: Option<WebConfig>,
}

/// A server. Dropping it ends its threads.
#[derive(Debug)]
pub(crate) struct Running {
    _server: Server,
}

impl Listening {
    /// Opens the address of the plan, if it has one, and reads the web configuration file.
    ///
    /// # Errors
    /// Returns an error if the address cannot be used, or the file.
    pub(super) fn open(plan: &MetricsPlan) -> Result<Option<Listening>, Failure> {
        Listening::open_at(plan.listen.as_deref(), plan.web_config.as_deref())
    }

    /// Opens an address, if there is one, and reads the web configuration file.
    ///
    /// # Errors
    /// Returns an error if the address cannot be used, or the file.
    pub(crate) fn open_at(
        listen: Option<&str>,
        web_config: Option<&Path>,
    ) -> Result<Option<Listening>, Failure> {
        let Some((address, web)) = Listening::read(listen, web_config)? else { return Ok(None) };
        let listener = Listener::bind(&address, &Activation::of_environment(&sys::inherited));
        let listener = listener.map_err(|error| {
            let hint = error.hint();
            let failure = Failure::new(exit_code::OUTPUT, anyhow::Error::new(error));
            hint.into_iter().fold(failure, Failure::hint)
        })?;
        Ok(Some(Listening { listener, web }))
    }

    /// Checks an address and a web configuration file. The address may be in use.
    ///
    /// # Errors
    /// Returns an error if the text is not an address, or the file cannot be used.
    pub(crate) fn check(listen: Option<&str>, web_config: Option<&Path>) -> Result<(), Failure> {
        Listening::read(listen, web_config).map(drop)
    }

    fn read(
        listen: Option<&str>,
        web_config: Option<&Path>,
    ) -> Result<Option<(Address, Option<WebConfig>)>, Failure> {
        let Some(listen) = listen else { return Ok(None) };
        let address: Address = listen.parse().map_err(|error: bpfpack_listen::BadAddress| {
            Failure::usage(format!("cannot listen: {error}"))
                .hint("for example 127.0.0.1:9435, or unix:/run/tracer.sock")
        })?;
        let web = match web_config {
            None => None,
            Some(path) => {
                let tell = |error: &bpfpack_listen::WebError| {
                    talk::warning(&format!("{error}; the server goes on as before"));
                };
                let web = WebConfig::load(path, tell).context("cannot use the web configuration");
                Some(web.map_err(|error| Failure::new(exit_code::USAGE, error))?)
            }
        };
        Ok(Some((address, web)))
    }

    /// The URLs of the metrics.
    pub(crate) fn urls(&self) -> String {
        let is_encrypted = self.web.as_ref().is_some_and(WebConfig::uses_tls);
        let scheme = if is_encrypted { "https" } else { "http" };
        let url = |address: &LocalAddress| match address {
            LocalAddress::Tcp(address) => format!("{scheme}://{address}/metrics"),
            LocalAddress::Unix(_) => format!("{address}, path /metrics"),
        };
        self.listener.addresses().iter().map(url).collect::<Vec<_>>().join(" and ")
    }

    /// Begins to answer requests. `families` returns the metrics of this moment, within a time; those
    /// of the process are added. `title` is for people.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub(crate) fn serve(
        self,
        families: impl Fn(Duration) -> Result<Arc<Vec<Family>>, NoAnswer> + Send + Sync + 'static,
        title: &str,
    ) -> Result<Running, Failure> {
        let config = Config { web: self.web, ..Config::default() };
        let (page, start) = (page(title), SystemTime::now());
        let handler = move |request: &Request| match request.path() {
            "/metrics" => scrape(request, &families, start),
            "/-/healthy" | "/-/ready" => Response::text(200, "ok\n"),
            "/" => Response::new(200, "text/html; charset=utf-8", page.as_bytes()),
            _ => Response::text(404, "there are only /metrics and /-/healthy\n"),
        };
        let server = Server::start(self.listener, config, handler);
        let server = server.map_err(failure::system("cannot start a thread"))?;
        Ok(Running { _server: server })
    }
}

/// The page for people.
fn page(package: &str) -> String {
    let name: String =
        package.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
    format!(
        "<!DOCTYPE html>\n<title>{name} - bpfpack</title>\n<h1>{name}</h1>\n\
         <p><a href=\"/metrics\">Metrics</a></p>\n"
    )
}

fn scrape(
    request: &Request,
    families: &dyn Fn(Duration) -> Result<Arc<Vec<Family>>, NoAnswer>,
    start: SystemTime,
) -> Response {
    let begin = Instant::now();
    match families(patience(request.header(TIMEOUT))) {
        Ok(families) => {
            let format = Exposition::choose(request.accept());
            let mut body = Vec::new();
            let of_process = own::process(start, begin.elapsed());
            format.write(families.iter().chain(&of_process), &mut body);
            Response::new(200, format.content_type(), body)
        }
        Err(NoAnswer::Late) => {
            Response::text(503, "the tracer did not answer in time: it waits for a slow output\n")
        }
        Err(NoAnswer::Over) => Response::text(503, "the tracer ends\n"),
    }
}

/// How long a scrape may take: a little less than Prometheus waits.
fn patience(header: Option<&str>) -> Duration {
    let seconds = header.and_then(|text| text.parse::<f64>().ok());
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds * 0.9).ok());
    wait.map_or(PATIENCE, |wait| wait.clamp(Duration::from_millis(100), Duration::from_secs(300)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_waits_less_than_prometheus() {
        let ms = |header| patience(header).as_millis();
        assert_eq!((ms(None), ms(Some("5")), ms(Some("0.01"))), (9000, 4500, 100));
        assert_eq!((ms(Some("1e99")), ms(Some("x")), ms(Some("-1"))), (9000, 9000, 9000));
    }

    #[test]
    fn the_page_shows_no_markup_of_a_package() {
        assert!(page("a<b>").contains("<h1>ab</h1>"));
    }
}
