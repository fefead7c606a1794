// SPDX-License-Identifier: MIT
//! Servers that scrape and store metrics, as users run them: Prometheus and VictoriaMetrics. Each has
//! a directory and a port of its own, and ends when it is dropped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scrape::{Scraped, exchange};
use crate::{can, root, scratch};

/// How long a server may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// Ports to try: another program may take one before the server does.
const PORTS: usize = 3;

/// A program of `tests/setup.sh`, or one in the PATH; otherwise says that it is missing.
#[must_use]
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(root().join("target/servers/usr/bin"))
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    let _ = can(&format!("needs {name} (tests/setup.sh test)"), found.is_some());
    found
}

/// What is scraped under one name.
#[derive(Debug, Clone)]
pub struct Job {
    /// The label `job`.
    pub name: String,
    /// The label `instance`, the address and the path of each.
    pub targets: Vec<(String, SocketAddr, String)>,
}

impl Job {
    /// A job with one target.
    #[must_use]
    pub fn of(name: &str, address: SocketAddr) -> Job {
        let target = (name.to_owned(), address, "/metrics".to_owned());
        Job { name: name.to_owned(), targets: vec![target] }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Store {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Store {
    /// Starts Prometheus, if it is installed.
    #[must_use]
    #[track_caller]
    pub fn prometheus(jobs: &[Job], every: &str, options: &[&str]) -> Option<Store> {
        let program = installed("prometheus")?;
        Some(Store::start(jobs, every, "/-/ready", &|dir, config, address| {
            let mut command = Command::new(&program);
            command
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--log.level=warn")
                .args(options);
            command
        }))
    }

    /// Starts VictoriaMetrics, if it is installed.
    #[must_use]
    #[track_caller]
    pub fn victoria_metrics(jobs: &[Job], every: &str) -> Option<Store> {
        let program = installed("victoria-metrics")?;
        Some(Store::start(jobs, every, "/health", &|dir, config, address| {
            let mut command = Command::new(&program);
            command
                .arg(format!("-promscrape.config={}", config.display()))
                .arg(format!("-storageDataPath={}", dir.join("data").display()))
                .arg(format!("-httpListenAddr={address}"))
                // By default, samples of the last 30 seconds are not shown.
                .args(["-search.latencyOffset=0s", "-loggerLevel=WARN"]);
            command
        }))
    }

    #[track_caller]
    fn start(
        jobs: &[Job],
        every: &str,
        ready: &str,
        command: &dyn Fn(&Path, &Path, SocketAddr) -> Command,
    ) -> Store {
        let mut said = String::new();
        for _ in 0..PORTS {
            let (dir, address) = (scratch(), free_address());
            let config = dir.path().join("config.yml");
            // JSON is YAML.
            fs::write(&config, configuration(jobs, every).to_string()).unwrap();
            let log = File::create(dir.path().join("log")).unwrap();
            let child = command(dir.path(), &config, address)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut store = Store { child, address, dir };
            if store.becomes_ready(ready) {
                return store;
            }
            said = fs::read_to_string(store.dir.path().join("log")).unwrap_or_default();
        }
        panic!("the server does not start:\n{said}");
    }

    /// Waits until it is ready. Returns whether it is, and has not ended.
    fn becomes_ready(&mut self, path: &str) -> bool {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if self.try_get(path).is_some_and(|answer| answer.status == 200) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn try_get(&self, path: &str) -> Option<Scraped> {
        let stream = TcpStream::connect(self.address).ok()?;
        // An answer of HTTP/1.0 is not in chunks.
        Some(exchange(stream, &format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n")))
    }

    /// Makes VictoriaMetrics show what it has scraped. Otherwise, that takes seconds.
    pub fn flush(&self) {
        let _ = self.try_get("/internal/force_flush");
    }

    /// The result of a query for this moment.
    #[must_use]
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", encoded(query));
        let answer = self.try_get(&path).unwrap();
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The numbers that a query results in, by the value of a label.
    #[must_use]
    #[track_caller]
    pub fn numbers(&self, query: &str, label: &str) -> BTreeMap<String, f64> {
        let one = |series: &Value| {
            let label = series["metric"][label].as_str().unwrap_or_default().to_owned();
            (label, series["value"][1].as_str().unwrap().parse().unwrap())
        };
        self.query(query).iter().map(one).collect()
    }

    /// The buckets of a classic histogram with these labels: bound and count, in ascending order.
    #[must_use]
    #[track_caller]
    pub fn buckets(&self, query: &str) -> Vec<(f64, f64)> {
        let numbers = self.numbers(query, "le");
        let mut buckets: Vec<(f64, f64)> =
            numbers.into_iter().map(|(le, count)| (le.parse().unwrap(), count)).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }

    /// One of Prometheus' metrics of itself.
    #[must_use]
    #[track_caller]
    pub fn own(&self, name: &str) -> f64 {
        let text = self.try_get("/metrics").unwrap().text();
        // Some have labels; the first one is that of floats.
        let is_it =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let line = text.lines().find(is_it).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Makes Prometheus write what it has in memory as a block, below `snapshots`.
    #[track_caller]
    pub fn snapshot(&self) {
        let stream = TcpStream::connect(self.address).unwrap();
        let path = "/api/v1/admin/tsdb/snapshot";
        let request = format!("POST {path} HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(exchange(stream, &request).status, 200);
    }

    /// The process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory with its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration that both servers read.
fn configuration(jobs: &[Job], every: &str) -> Value {
    let target = |(instance, address, path): &(String, SocketAddr, String)| {
        let labels = json!({"instance": instance, "__metrics_path__": path});
        json!({"targets": [address.to_string()], "labels": labels})
    };
    let job = |job: &Job| {
        let targets: Vec<Value> = job.targets.iter().map(target).collect();
        json!({"job_name": job.name, "static_configs": targets})
    };
    let jobs: Vec<Value> = jobs.iter().map(job).collect();
    json!({
        "global": {"scrape_interval": every, "scrape_timeout": every},
        "scrape_configs": jobs,
    })
}

/// An address at which nobody listens now.
#[must_use]
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A text for a URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
