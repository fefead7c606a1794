// SPDX-License-Identifier: MIT
//! Names of user addresses, found in the files of processes. Only the worker uses this module.
//!
//! A process may have ended when its addresses are looked up. Therefore its mappings are recorded
//! while it lives (`note`), all of its files are kept open, and an address is looked up as an
//! offset in a file (`files`), never through the process. Nothing here fails: unknown parts of a
//! frame are missing, and a file that was given up is reported once (`given_up`).

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use super::cache::Recent;
use super::files::{self, Files};
use super::frame::{CodeAddress, MAX_FRAMES, StackFrame, StackFrames};
use super::maps::Backing;
use super::processes::{Located, Processes};

/// An offset in a file.
type Spot = (files::Id, CodeAddress);

/// The frames of an address.
#[derive(Debug, Clone)]
pub struct Found {
    /// The frames, innermost first.
    pub frames: StackFrames,
    /// Whether they stay the same as long as the process's mappings do. Frames in a file do; frames
    /// in code that is generated at run time do not.
    pub is_settled: bool,
}

/// Known processes and files, with caches.
#[derive(Debug)]
pub struct Engine {
    processes: Processes,
    files: Files,
    frames: Recent<Spot, StackFrames>,
}

impl Engine {
    /// An engine that has read nothing. With `lines`, it reads debug information for source lines
    /// and inlined calls, which for large programs is slow and takes as much memory.
    pub fn new(lines: bool) -> Engine {
        Engine::of("/proc".into(), lines)
    }

    /// An engine with another directory instead of `/proc`.
    pub fn of(proc: PathBuf, lines: bool) -> Engine {
        Engine {
            processes: Processes::new(proc),
            files: Files::new(lines),
            frames: Recent::new(MAX_FRAMES),
        }
    }

    /// Records a process's mappings. A process that was inspected a moment ago costs no system
    /// call. Returns a number that changes when the recorded mappings do.
    pub fn note(&mut self, pid: u32) -> u64 {
        self.processes.note(pid, &mut self.files, Instant::now());
        self.processes.generation(pid)
    }

    /// Messages about what was given up since the last call.
    pub fn given_up(&mut self) -> Vec<String> {
        self.processes.given_up()
    }

    /// The frames of each of a process's addresses, and the number that `note` returns.
    pub fn user(&mut self, pid: u32, places: &[CodeAddress]) -> (u64, Vec<Found>) {
        let now = Instant::now();
        self.processes.note(pid, &mut self.files, now);
        let located = self.processes.locate(pid, places, &mut self.files, now);
        let mut found: Vec<Option<StackFrames>> = vec![None; places.len()];
        let mut wanted: Vec<(Spot, usize)> = Vec::new();
        for (at, located) in located.iter().enumerate() {
            let Some(Located { backing: Backing::File(id), place, .. }) = located else { continue };
            found[at] = self.frames.get(&(*id, *place)).map(|frames| Rc::clone(frames));
            if found[at].is_none() {
                wanted.push(((*id, *place), at));
            }
        }
        self.look_up(wanted, &mut found);
        let is_named = |frames: &StackFrames| frames.iter().any(|frame| frame.name.is_some());
        let all_named = found.iter().all(|frames| frames.as_ref().is_some_and(is_named));
        let jit = if all_named { None } else { self.processes.jit(pid) };
        let complete =
            |((found, located), place): ((Option<StackFrames>, Option<Located>), &CodeAddress)| {
                if let Some(frames) = found.as_ref().filter(|frames| is_named(frames)) {
                    return Found { frames: Rc::clone(frames), is_settled: true };
                }
                let made = jit
                    .and_then(|jit| jit.frame(*place))
                    .map(|frame| Rc::new([frame]) as StackFrames);
                let is_settled = made.is_none() && found.is_some();
                let frames = made.or(found).unwrap_or_else(|| Rc::new([nameless(*place, located)]));
                Found { frames, is_settled }
            };
        let all = found.into_iter().zip(located).zip(places).map(complete).collect();
        (self.processes.generation(pid), all)
    }

    /// Looks up addresses, each file once and each address once.
    fn look_up(&mut self, mut wanted: Vec<(Spot, usize)>, found: &mut [Option<StackFrames>]) {
        wanted.sort_by_key(|((id, place), at)| (*id, place.address(), place.lookup(), *at));
        for in_file in wanted.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let Some(((id, _), _)) = in_file.first() else { continue };
            let same: Vec<&[(Spot, usize)]> =
                in_file.chunk_by(|(one, _), (other, _)| one == other).collect();
            let places: Vec<CodeAddress> =
                same.iter().filter_map(|group| Some(group.first()?.0.1)).collect();
            for (group, frames) in same.iter().zip(self.files.frames(*id, &places)) {
                for (spot, at) in *group {
                    found[*at] = Some(Rc::clone(&frames));
                    self.frames.insert(*spot, Rc::clone(&frames));
                }
            }
        }
    }
}

/// The frame of an address that is in no file, or in one that cannot be read.
fn nameless(place: CodeAddress, located: Option<Located>) -> StackFrame {
    match located {
        Some(Located { module, .. }) if module.starts_with('[') => {
            StackFrame { module: Some(module), ..StackFrame::unknown(place.address()) }
        }
        Some(Located { module, place, .. }) => {
            StackFrame { module: Some(module), ..StackFrame::unknown(place.address()) }
        }
        None => StackFrame::unknown(place.address()),
    }
}
