// SPDX-License-Identifier: MIT
//! What is remembered of processes, and when it is looked at again.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::cache::Recent;
use super::files::Files;
use super::frame::CodeAddress;
use super::jit::Jit;
use super::maps::{self, Backing, Image, Mapping};

/// How many processes are remembered. A usual one takes 1 KiB, a browser 20 KiB.
const MAX_PROCESSES: usize = 4096;

/// How many processes' tables of made code are remembered; each has a limit of 4 MiB.
const MAX_JITS: usize = 8;

/// For so long it is not asked whether a process is still the same program, which takes 20 µs. If
/// another one has its number meanwhile, that is mostly seen by its strange addresses.
pub(crate) const FRESH: Duration = Duration::from_millis(200);

/// How long to wait before reading maps again that lacked an address, after this did not help:
/// doubled each time. Stacks often hold addresses that are none.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

#[derive(Debug)]
struct Process {
    /// Another one for each reading of the mappings.
    generation: u64,
    /// None for a process that was never seen alive.
    image: Option<Image>,
    mappings: Vec<Mapping>,
    /// When the image was compared last.
    checked: Instant,
    /// When the mappings were read.
    read: Instant,
    /// How long to wait from then on.
    pause: Duration,
}

/// What is mapped at an address.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub backing: Backing,
    pub module: Rc<str>,
    /// Where in the file.
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

/// How many addresses could get a name only by looking at the process again.
fn missing(located: &[Option<Located>], has_jit: bool, files: &mut Files) -> usize {
    let mut is_missing = |located: &Option<Located>| match located.as_ref().map(|at| at.backing) {
        None => true,
        Some(Backing::File(id)) => !files.has(id),
        Some(Backing::Made) => !has_jit,
        Some(Backing::Other) => false,
    };
    located.iter().filter(|located| is_missing(located)).count()
}

/// The processes that were noted.
#[derive(Debug)]
pub(crate) struct Processes {
    /// `/proc`; something else in tests.
    proc: PathBuf,
    known: Recent<u32, Process>,
    jits: Recent<u32, Jit>,
    /// How often mappings were read.
    readings: u64,
    /// What was given up since that was told.
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

    /// A number that changes when what is known of a process does; 0 where nothing is known.
    pub(crate) fn generation(&mut self, pid: u32) -> u64 {
        self.known.get(&pid).map_or(0, |process| process.generation)
    }

    /// What was given up since this was last asked, in words.
    pub(crate) fn given_up(&mut self) -> Vec<String> {
        std::mem::take(&mut self.given_up)
    }

    /// Makes sure that a process is known, and that what is known is of this one.
    pub(crate) fn note(&mut self, pid: u32, files: &mut Files, now: Instant) {
        if let Some(process) = self.known.get(&pid) {
            if now.duration_since(process.checked) < FRESH {
                return;
            }
            process.checked = now;
            match (process.image, Image::read(&self.proc.join(pid.to_string()))) {
                // It ended; what is known of it stays.
                (_, None) => return,
                (Some(then), Some(image)) if then == image || then.ended_as(&image) => return,
                _ => {}
            }
        }
        self.read(pid, files, now);
    }

    /// What is mapped at each of the addresses. The mappings are read again if some are in none of
    /// them, since libraries are loaded and code is made at any time.
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

    /// What the process tells of code that it makes, up to now.
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
            // It became another program, or ended, in between.
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
