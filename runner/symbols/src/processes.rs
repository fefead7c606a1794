// SPDX-License-Identifier: MIT
//! Recorded processes, and when each is inspected again.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::cache::Recent;
use super::files::Files;
use super::frame::CodeAddress;
use super::jit::Jit;
use super::maps::{self, Backing, Image, Mapping};

/// The maximum number of recorded processes. A usual one takes 1 KiB, a browser 20 KiB.
const MAX_PROCESSES: usize = 4096;

/// The maximum number of processes with tables of generated code. Each table is limited to 4 MiB.
const MAX_JITS: usize = 8;

/// During this time, ecli does not check whether a process is still the same program, which takes
/// 20 µs. If its ID is reused meanwhile, unknown addresses usually reveal that.
pub(crate) const FRESH: Duration = Duration::from_millis(200);

/// How long to wait before reading mappings again if an address is still missing; doubled each
/// time. Stacks often contain values that are not addresses.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

#[derive(Debug)]
struct Process {
    /// Changes with each reading of the mappings.
    generation: u64,
    /// `None` for a process that was never seen alive.
    image: Option<Image>,
    mappings: Vec<Mapping>,
    /// When the image was last compared.
    checked: Instant,
    /// When the mappings were read.
    read: Instant,
    /// How long to wait after that.
    pause: Duration,
}

/// What is mapped at an address.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub backing: Backing,
    pub module: Rc<str>,
    /// The offset in the file.
    pub place: CodeAddress,
}

impl Process {
    fn locate(&self, places: &[CodeAddress]) -> Vec<Option<Located>> {
        let locate = |place: &CodeAddress| {
            let address = place.lookup();
            let after = self.mappings.partition_point(|mapping| mapping.start <= address);
            let mapping = self.mappings.get(after.checked_sub(1)?)?;
            let offset = |address: u64| (address - mapping.start).wrapping_add(mapping.offset);
            (address < mapping.end).then(|| Located {
                backing: mapping.backing,
                module: Rc::clone(&mapping.module),
                place: place.map(offset),
            })
        };
        places.iter().map(locate).collect()
    }
}

/// The number of addresses that can get a name only if the process is inspected again.
fn missing(located: &[Option<Located>], has_jit: bool, files: &mut Files) -> usize {
    let mut is_missing = |located: &Option<Located>| match located.as_ref().map(|at| at.backing) {
        None => true,
        Some(Backing::File(id)) => !files.has(id),
        Some(Backing::Made) => !has_jit,
        Some(Backing::Other) => false,
    };
    located.iter().filter(|located| is_missing(located)).count()
}

/// The recorded processes.
#[derive(Debug)]
pub(crate) struct Processes {
    /// `/proc`; another directory in tests.
    proc: PathBuf,
    known: Recent<u32, Process>,
    jits: Recent<u32, Jit>,
    /// The number of times mappings were read.
    readings: u64,
    /// Messages about what was given up.
    given_up: Vec<String>,
}

impl Processes {
    pub(crate) fn new(proc: PathBuf) -> Processes {
        Processes {
            proc,
            known: Recent::new(MAX_PROCESSES),
            jits: Recent::new(MAX_JITS),
            readings: 0,
            given_up: Vec::new(),
        }
    }

    /// A number that changes when the data about a process does; 0 if there is none.
    pub(crate) fn generation(&mut self, pid: u32) -> u64 {
        self.known.get(&pid).map_or(0, |process| process.generation)
    }

    /// Messages about what was given up since the last call.
    pub(crate) fn given_up(&mut self) -> Vec<String> {
        std::mem::take(&mut self.given_up)
    }

    /// Records a process, or updates its record if it is another program now.
    pub(crate) fn note(&mut self, pid: u32, files: &mut Files, now: Instant) {
        if let Some(process) = self.known.get(&pid) {
            if now.duration_since(process.checked) < FRESH {
                return;
            }
            process.checked = now;
            match (process.image, Image::read(&self.proc.join(pid.to_string()))) {
                // It has ended; its record stays.
                (_, None) => return,
                (Some(then), Some(image)) if then == image || then.ended_as(&image) => return,
                _ => {}
            }
        }
        self.read(pid, files, now);
    }

    /// Finds what is mapped at each address. If some addresses are in no mapping, the mappings are
    /// read again, because libraries are loaded and code is generated at any time.
    pub(crate) fn locate(
        &mut self,
        pid: u32,
        places: &[CodeAddress],
        files: &mut Files,
        now: Instant,
    ) -> Vec<Option<Located>> {
        let has_jit = self.jits.get(&pid).is_some();
        let Some(process) = self.known.get(&pid) else { return vec![None; places.len()] };
        let located = process.locate(places);
        let missing = missing(&located, has_jit, files);
        let pause = process.pause;
        if missing == 0 || now.duration_since(process.read) <= pause {
            return located;
        }
        self.read(pid, files, now);
        let has_jit = self.jits.get(&pid).is_some();
        let Some(process) = self.known.get(&pid) else { return located };
        let located = process.locate(places);
        if self::missing(&located, has_jit, files) >= missing {
            process.pause = (pause * 2).clamp(PAUSE.0, PAUSE.1);
        }
        located
    }

    /// The current list of a process's generated code.
    pub(crate) fn jit(&mut self, pid: u32) -> Option<&Jit> {
        let jit = self.jits.get(&pid)?;
        if let Some(what) = jit.read_on() {
            self.given_up
                .push(format!("process {pid}: {what}; its functions may be shown without names"));
        }
        Some(jit)
    }

    fn read(&mut self, pid: u32, files: &mut Files, now: Instant) {
        let path = self.proc.join(pid.to_string());
        let known = self.known.get(&pid).and_then(|process| process.image);
        let mut image = Image::read(&path);
        let (mut mappings, mut is_cut) = maps::read(&path, files);
        let after = Image::read(&path);
        if image != after {
            // Meanwhile, it became another program or ended.
            image = after;
            (mappings, is_cut) = maps::read(&path, files);
        }
        let ended = match (known, image) {
            (Some(_), None) => true,
            (Some(then), Some(now)) => then.ended_as(&now) || mappings.is_empty() && then == now,
            (None, _) => false,
        };
        if let Some(process) = self.known.get(&pid)
            && ended
        {
            (process.checked, process.read) = (now, now);
            return;
        }
        if known != image {
            self.jits.remove(&pid);
        }
        if is_cut && known != image {
            self.given_up.push(format!(
                "process {pid} has more than {} executable mappings, or its list of them is longer \
                 than {} MB: some of its functions are shown without names",
                maps::MOST,
                maps::MAX_BYTES >> 20
            ));
        }
        let makes_code = mappings.iter().any(|mapping| mapping.backing == Backing::Made);
        if makes_code
            && self.jits.get(&pid).is_none()
            && let Some(jit) = Jit::open(&path)
        {
            self.jits.insert(pid, jit);
        }
        let pause = Duration::ZERO;
        self.readings += 1;
        let generation = self.readings;
        let process = Process { generation, image, mappings, checked: now, read: now, pause };
        self.known.insert(pid, process);
    }
}
