// SPDX-License-Identifier: MIT
//! The cost of metrics: CPU time for a scrape of many series, and what scrapes and OTLP beside them
//! do to records that come as fast as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bpfpack_tests::http::{Answer, Server};
use bpfpack_tests::load::Caller;
use bpfpack_tests::numbers::of_this_thread;
use bpfpack_tests::scrape::Target;
use bpfpack_tests::sys::{carry, cpu_of};
use bpfpack_tests::{Running, pack, scratch};

use crate::consumer::{Consumer, Flood};
use crate::events::{BURST, CALLS, Round, measure};
use crate::median;

/// Keys of the map, each of which is a series.
const KEYS: i32 = 10_000;

/// Scrapes of each format, and the time between two.
const SCRAPES: usize = 60;
const PAUSE: Duration = Duration::from_millis(100);

/// CPU time that a scrape may take, in milliseconds.
const LIMIT: f64 = 15.0;

/// Formats, the headers that ask for them, and whether they are compressed, as Prometheus wants it.
const FORMATS: [(&str, &str, bool); 4] = [
    ("text", "text/plain", false),
    ("OpenMetrics", "application/openmetrics-text;version=1.0.0", false),
    (
        "protobuf",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        false,
    ),
    ("OpenMetrics, gzip", "application/openmetrics-text;version=1.0.0", true),
];

/// Rounds of each way, interleaved.
const ROUNDS: usize = 30;

/// How often metrics are scraped and sent beside records.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) fn scrape() -> Result<()> {
    many_series()?;
    beside_records()
}

fn many_series() -> Result<()> {
    println!("scrape: {KEYS} series, {SCRAPES} scrapes of each format, one each {PAUSE:?}\n");
    let dir = scratch();
    let package = pack("tests/fixtures/keys.bpf.c", &dir);
    let target = Target::unix(dir.path());
    let (listen, own) = (target.argument(), of_this_thread());
    let mut args = vec!["run", "--listen", &listen, "--max-series", "20000", &package];
    args.extend(own.iter().map(String::as_str));
    let running = Running::ecli(&args);
    (0..KEYS).for_each(carry);
    for (name, accept, packed) in FORMATS {
        let encoding = if packed { "Accept-Encoding: gzip\r\n" } else { "" };
        let headers = format!("Accept: {accept}\r\n{encoding}");
        let mut times = Vec::new();
        let mut size = 0;
        for number in 0..=SCRAPES {
            // Some counts change from scrape to scrape.
            (0..KEYS).step_by(10).for_each(carry);
            std::thread::sleep(PAUSE);
            let before = cpu_of(running.pid())?;
            let scraped = target.get("/metrics", &headers);
            let used = (cpu_of(running.pid())? - before).as_secs_f64() * 1e3;
            ensure!(scraped.status == 200, "{}", scraped.text());
            size = scraped.body.len();
            // The first one makes the series.
            times.extend((number > 0).then_some(used));
        }
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        println!(
            "{name:<17} {:6.2} ms of CPU, {mean:6.2} on average, {:6.2} at most, {} KB  (limit \
             {LIMIT} ms)",
            median(&times),
            times.iter().copied().fold(0.0, f64::max),
            size >> 10
        );
    }
    let outcome = running.interrupt();
    ensure!(outcome.code == 0, "{}", outcome.stderr);
    println!();
    Ok(())
}

/// What happens beside records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// It could be scraped.
    Listening,
    Scrapes,
    Otlp,
}

const WAYS: [(Beside, &str); 4] = [
    (Beside::Nothing, "without metrics"),
    (Beside::Listening, "--listen"),
    (Beside::Scrapes, "a scrape per second"),
    (Beside::Otlp, "OTLP per second"),
];

fn beside_records() -> Result<()> {
    println!(
        "scrape: {} records of 48 bytes as JSON, {BURST} for each system call, with metrics beside \
         them; {ROUNDS} rounds, interleaved\n",
        CALLS * BURST
    );
    let flood = Flood::pack(false);
    let mut rounds: Vec<Vec<Round>> = Vec::new();
    for round in 0..ROUNDS {
        // The first one may find the machine in another state, so the order alternates.
        let mut found = Vec::new();
        for at in 0..WAYS.len() {
            let at = (at + round) % WAYS.len();
            found.push((at, once(&flood, WAYS[at].0)?));
        }
        found.sort_by_key(|(at, _)| *at);
        rounds.push(found.into_iter().map(|(_, round)| round).collect());
    }
    for (at, (_, name)) in WAYS.iter().enumerate() {
        let shown: Vec<f64> = rounds.iter().map(|round| round[at].shown).collect();
        let ratio = |number: fn(&Round) -> f64| {
            let mut all: Vec<f64> =
                rounds.iter().map(|round| number(&round[at]) / number(&round[0])).collect();
            all.sort_by(f64::total_cmp);
            let part = |part: usize| all[(all.len() - 1) * part / 4];
            format!("{:.3} x (half of them {:.3} to {:.3})", part(2), part(1), part(3))
        };
        println!(
            "{name:<20} {:5.2} M/s shown, {}; CPU of each {}",
            median(&shown) / 1e6,
            ratio(|round| round.shown),
            ratio(|round| round.cpu),
        );
    }
    println!();
    Ok(())
}

fn once(flood: &Flood, beside: Beside) -> Result<Round> {
    let dir = scratch();
    let target = Target::unix(dir.path());
    let mut args = vec!["run".to_owned(), "-j".to_owned()];
    match beside {
        Beside::Nothing => {}
        Beside::Listening | Beside::Scrapes => args.extend(["--listen".into(), target.argument()]),
        Beside::Otlp => {
            let server = Server::start();
            server.answer("/v1/metrics", Answer::Bytes(Vec::new()));
            args.extend(["--otlp".into(), server.url("")]);
            args.extend(["--otlp-interval", "1s", "--otlp-signals", "metrics"].map(String::from));
        }
    }
    let caller = Caller::start()?;
    args.extend(flood.run_args(caller.tid(), BURST));
    let consumer = Consumer::of(Running::ecli(&args))?;
    let scraper = Scraper::start((beside == Beside::Scrapes).then_some(target));
    let round = measure(consumer, caller, CALLS, 0);
    drop(scraper);
    round
}

/// A thread that scrapes until it is dropped.
struct Scraper {
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scraper {
    /// Starts it, if there is a target.
    fn start(target: Option<Target>) -> Scraper {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let run = |target: Target| {
            std::thread::spawn(move || {
                // The first one is in the middle of the records.
                std::thread::park_timeout(EVERY / 2);
                while !over.load(Ordering::Relaxed) {
                    let _ = target.get("/metrics", "");
                    std::thread::park_timeout(EVERY);
                }
            })
        };
        Scraper { is_over, thread: target.map(run) }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
