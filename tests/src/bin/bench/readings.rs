// SPDX-License-Identifier: MIT
//! The cost of readings: of a map, compared with the kernel's batch call and formatting alone; of
//! 100,000 keys on a terminal; and the memory for a map of a million keys.

use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpfpack_decode::{Layout, Member, Struct};
use bpfpack_frame::{Entry, Reading, Time};
use bpfpack_render::{Settings, formats, utc};
use bpfpack_spec::{ReadFrom, Shape, View};
use bpfpack_sys::map::{Batch, Map};
use bpfpack_tests::load::Caller;
use bpfpack_tests::sys::{carry, cpu_of, terminal, thread_id, wait_usage};
use bpfpack_tests::{pack, pack_with, program, scratch};
use libbpf_rs::{MapHandle, MapType};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{median, path};

/// Rounds of the first part, interleaved.
const ROUNDS: usize = 31;

/// Entries of the map, their sizes in bytes, and readings per round.
const ENTRIES: usize = 10_240;
const KEY: usize = 8;
const VALUE: usize = 112;
const READINGS: u32 = 20;
const INTERVAL: Duration = Duration::from_millis(50);

/// Keys on the terminal, and seconds.
const KEYS: i32 = 100_000;
const SECONDS: u64 = 10;

/// Keys of the largest map.
const MILLION: i32 = 1_000_000;

pub(crate) fn readings() -> Result<()> {
    beside_the_call()?;
    on_a_terminal()?;
    of_a_million()
}

/// A map like the fixture's, owned by this process.
struct Plain {
    map: Map,
    view: Arc<View>,
}

impl Plain {
    fn new() -> Result<Plain> {
        let options = libbpf_sys_options();
        let handle = MapHandle::create(
            MapType::Hash,
            Some("bench"),
            KEY as u32,
            VALUE as u32,
            ENTRIES as u32,
            &options,
        )?;
        let map = Map::of(&handle)?;
        for key in 0..ENTRIES as u64 {
            let mut value = [0; VALUE];
            value[..8].copy_from_slice(&key.wrapping_mul(7919).to_le_bytes());
            value[8..16].copy_from_slice(&key.to_le_bytes());
            value[16..24].copy_from_slice(&(key << 9).to_le_bytes());
            map.update(&key.to_le_bytes(), &value, 0)?;
        }
        let int = || Layout::Int { size: 8, signed: false };
        let others = Layout::Array { element: Box::new(int()), stride: 8, len: 13 };
        let members = vec![Member::new("count", 0, int()), Member::new("others", 8, others)];
        let value = Layout::Struct(Struct { size: VALUE, members });
        let view = View {
            index: 0,
            name: "wide".into(),
            from: ReadFrom::Map { map: "wide".into() },
            key: Some(int()),
            counters: value.counters(&[]),
            value,
            shape: Shape::Table,
            interval: Duration::from_secs(1),
            differences: false,
            leave_out_zeros: false,
            sort: None,
            stacks: Vec::new(),
            average: None,
            per_cpu: false,
        };
        Ok(Plain { map, view: Arc::new(view) })
    }

    /// Reads all elements by the batch call. Returns them and the time.
    fn read(&self) -> Result<(Vec<u8>, Vec<u8>, Duration)> {
        let (mut keys, mut values) = (vec![0; KEY * ENTRIES], vec![0; VALUE * ENTRIES]);
        let mut next = vec![0; self.map.position_size()];
        let begin = Instant::now();
        let batch = Batch {
            from: None,
            next: &mut next,
            keys: &mut keys,
            values: &mut values,
            count: ENTRIES as u32,
        };
        let (found, _) = self.map.lookup_batch(batch)?;
        let took = begin.elapsed();
        ensure!(found as usize == ENTRIES, "the batch call found {found} elements");
        Ok((keys, values, took))
    }

    /// The time to format them as JSON.
    fn format(&self, keys: &[u8], values: &[u8]) -> Duration {
        let entries = keys.chunks(KEY).zip(values.chunks(VALUE));
        let entries = entries.map(|(key, value)| Entry::new(key, value)).collect();
        let reading = Reading::new(Arc::clone(&self.view), Time::default(), entries);
        let settings = Settings::bare(utc);
        let json = formats::named("json").unwrap_or(formats::TEXT);
        let mut out = Vec::with_capacity(8 << 20);
        let begin = Instant::now();
        json.format(&settings).reading(reading, &mut out);
        begin.elapsed()
    }
}

fn libbpf_sys_options() -> libbpf_sys::bpf_map_create_opts {
    libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
        ..Default::default()
    }
}

/// The CPU time of a run that reads a map a number of times. This thread fills the map, or it stays
/// empty.
fn run(package: &str, is_full: bool) -> Result<f64> {
    let readings = READINGS.to_string();
    let interval = format!("{}ms", INTERVAL.as_millis());
    let carrier = Caller::NUMBER.to_string();
    let tid = if is_full { thread_id() } else { 0 }.to_string();
    let child = Command::new(program("ecli"))
        .args(["run", "-q", "-j", "-i", &interval, "-c", &readings, "-o", "/dev/null"])
        .args(["--only", "wide", package, "--target_pid", &tid, "--carrier", &carrier])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start ecli")?;
    // It is attached before the first interval is over; the map is full after one of these rounds.
    for _ in 0..20 {
        (0..ENTRIES as i32).for_each(carry);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(wait_usage(child)?.cpu.as_secs_f64())
}

fn beside_the_call() -> Result<()> {
    println!(
        "readings: {ENTRIES} entries of {} bytes as JSON, beside the batch call and the formatting \
         alone; {ROUNDS} rounds, interleaved\n",
        KEY + VALUE
    );
    let dir = scratch();
    let package = pack_with("tests/fixtures/keys.bpf.c", &dir, &["-DWIDE"]);
    let plain = Plain::new()?;
    let (mut of_ecli, mut of_plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (full, empty) = (run(&package, true)?, run(&package, false)?);
        let ecli = (full - empty) / f64::from(READINGS);
        let mut times = Vec::new();
        for _ in 0..READINGS {
            // As long as ecli waits: after a pause, caches are cold for both.
            std::thread::sleep(INTERVAL);
            let (keys, values, call) = plain.read()?;
            times.push((call + plain.format(&keys, &values)).as_secs_f64());
        }
        let plain = median(&times);
        ratios.push(ecli / plain);
        of_ecli.push(ecli * 1e3);
        of_plain.push(plain * 1e3);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |part: usize| ratios[(ratios.len() - 1) * part / 4];
    println!(
        "ecli {:.2} ms of CPU each, the call and the formatting {:.2} ms: {:.2} x  (half of them \
         {:.2} to {:.2})\n",
        median(&of_ecli),
        median(&of_plain),
        at(2),
        at(1),
        at(3)
    );
    Ok(())
}

/// Starts ecli with a map of this number of keys, optionally on a terminal.
fn start(
    package: &str,
    keys: i32,
    options: &[&str],
    is_on_terminal: bool,
) -> Result<(Child, File)> {
    let (ours, theirs) = terminal()?;
    let size = Winsize { ws_row: 50, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size)?;
    let (tid, carrier) = (thread_id().to_string(), Caller::NUMBER.to_string());
    let entries = format!("counts={}", (keys as u32).next_power_of_two());
    let mut command = Command::new(program("ecli"));
    command.args(["run", "--map-entries", &entries, "-i", "1s"]).args(options);
    command.args([package, "--target_pid", &tid, "--carrier", &carrier]).env("TERM", "xterm");
    if is_on_terminal {
        command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
    } else {
        let piped = || Stdio::from(theirs.try_clone().unwrap_or_else(|_| std::process::abort()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(piped());
    }
    Ok((command.spawn().context("cannot start ecli")?, ours))
}

fn interrupt(child: &Child) -> Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::INT)?)
}

fn on_a_terminal() -> Result<()> {
    let dir = scratch();
    let package = pack("tests/fixtures/keys.bpf.c", &dir);
    let most = KEYS.to_string();
    let (child, mut ours) = start(&package, KEYS, &["--max-keys", &most], true)?;
    let reader = std::thread::spawn(move || {
        let (mut all, mut bytes) = (0, [0; 65536]);
        while let Ok(len @ 1..) = ours.read(&mut bytes) {
            all += len;
        }
        all
    });
    std::thread::sleep(Duration::from_millis(500));
    (0..KEYS).for_each(carry);
    std::thread::sleep(Duration::from_secs(2));
    let before = cpu_of(child.id())?;
    // Some rows change from reading to reading.
    for second in 0..SECONDS {
        (0..KEYS).filter(|key| key % 1000 == second as i32).for_each(carry);
        std::thread::sleep(Duration::from_secs(1));
    }
    let used = (cpu_of(child.id())? - before).as_secs_f64() / SECONDS as f64;
    interrupt(&child)?;
    let usage = wait_usage(child)?;
    let _ = reader.join();
    println!(
        "a live table of {KEYS} keys, read each second: {:.1} % of a CPU, {} MB at most\n",
        used * 100.0,
        usage.peak_memory >> 20
    );
    Ok(())
}

fn of_a_million() -> Result<()> {
    let dir = scratch();
    let package = pack("tests/fixtures/keys.bpf.c", &dir);
    for options in [&["-j"][..], &["-j", "--clear"], &["-j", "--max-keys", "2000000"]] {
        let (child, mut ours) = start(&package, MILLION, options, false)?;
        let said = std::thread::spawn(move || {
            let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
            while let Ok(len @ 1..) = ours.read(&mut bytes) {
                all.extend_from_slice(&bytes[..len]);
            }
            String::from_utf8_lossy(&all).into_owned()
        });
        std::thread::sleep(Duration::from_millis(500));
        (0..MILLION).for_each(carry);
        std::thread::sleep(Duration::from_secs(4));
        interrupt(&child)?;
        let usage = wait_usage(child)?;
        let said = said.join().unwrap_or_default();
        let limit = said.lines().find(|line| line.contains("more elements")).unwrap_or("no limit");
        println!(
            "{MILLION} keys, {}: {} MB at most; {}",
            options.join(" "),
            usage.peak_memory >> 20,
            limit.trim()
        );
    }
    println!("({} is this ecli)\n", path(&program("ecli")));
    Ok(())
}
