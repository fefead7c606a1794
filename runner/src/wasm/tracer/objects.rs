// SPDX-License-Identifier: MIT
//! The objects of a module, by handle: each owns its maps, its links and its buffers, and is gone
//! with all of them when it is closed.
//!
//! The numbers that a module gets for maps are not the system's: they count from [`FIRST`] on, are
//! positive, none is given twice, and none is one of WASI's descriptors. A module can thus neither
//! guess a map that is not its own, nor reach another one by the number of one it has closed; and
//! where an element is itself a descriptor (a map of maps, a cgroup), the number is looked up here,
//! and never handed to the kernel as it is.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use bpfpack_schemas::object::BpfObject;
use libbpf_rs::MapCore as _;

use super::buffer::{PolledBuffer, is_buffer};
use super::tally::Tally;
use crate::attach::{self, Attachment, Context, Options, Owner};
use crate::failure::{self, Failure, exit_code};
use crate::instrument::{Counters, load_counting};
use crate::load;
use crate::memory;
use crate::sys::map::Map;
use crate::talk::Talk;

/// The first number that a map gets.
const FIRST: i32 = 1024;

/// Objects that a module may have at once.
const MOST: usize = 64;

/// What names the maps of data sections: they are found by any name before the point.
const NAME: &str = "module";

/// An object that the kernel has taken.
#[derive(Debug)]
struct Loaded {
    // In this order they are dropped: attachments first.
    attachments: Vec<Attachment>,
    /// Buffers by the maps' names; none while one is being polled.
    buffers: BTreeMap<String, Option<PolledBuffer>>,
    counters: Option<Rc<Counters>>,
    object: libbpf_rs::Object,
}

/// A map that the module knows by a number.
#[derive(Debug)]
struct Descriptor {
    handle: u64,
    name: String,
    map: Map,
}

/// The objects.
#[derive(Debug)]
pub(super) struct Objects {
    loaded: BTreeMap<u64, Loaded>,
    descriptors: BTreeMap<i32, Descriptor>,
    next_handle: u64,
    next_descriptor: i32,
    /// Objects that were closed, to be compared.
    pub closed: u64,
    /// What was taken and lost.
    pub tally: Tally,
    /// Whether the programs are to count what they lose.
    counts: bool,
    /// Bytes that the maps of an object may take.
    max_memory: Option<u64>,
}

impl Objects {
    /// None yet.
    pub(super) fn new(counts: bool, max_memory: Option<u64>) -> Objects {
        Objects {
            loaded: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            next_handle: 1,
            next_descriptor: FIRST,
            closed: 0,
            tally: Tally::default(),
            counts,
            max_memory,
        }
    }

    /// Loads an object; its handle.
    pub(super) fn load(&mut self, bytes: &[u8], talk: &Talk) -> Result<u64, Failure> {
        if self.loaded.len() >= MOST {
            let error = anyhow::anyhow!("the module has {MOST} open objects, which is the limit");
            return Err(Failure::new(exit_code::LOAD, error));
        }
        let elf = BpfObject::parse(bytes).map_err(bad_object)?;
        attach::check_capabilities(&elf)?;
        let load = |bytes: &[u8]| {
            let mut opened = load::open(NAME, bytes)?;
            let pinned = opened.forget_pins();
            // What others have pinned is not the module's.
            if !pinned.is_empty() {
                talk.warning(&format!("a module cannot pin maps: {}", pinned.join(", ")));
            }
            memory::check(&opened.memory(), &elf, self.max_memory)?;
            opened.load(attach::load_hint).map_err(|refused| refused.failure)
        };
        let (loaded, counters) = load_counting(&elf, bytes, self.counts, load)?;
        let (object, counters) = (loaded.0, counters.map(Rc::new));
        if let Some(warning) = attach::unasked_lsm(&elf) {
            talk.warning(warning);
        }
        let mut buffers = BTreeMap::new();
        // Before anything is attached, so that no record comes too early. What cannot be opened is
        // told when it is polled.
        for map in object.maps().filter(is_buffer) {
            if let Ok(buffer) = PolledBuffer::open(&map) {
                buffers.insert(map.name().to_string_lossy().into_owned(), Some(buffer));
            }
        }
        let handle = self.next_handle;
        self.next_handle += 1;
        self.loaded.insert(handle, Loaded { attachments: Vec::new(), buffers, counters, object });
        Ok(handle)
    }

    /// Detaches an object's programs, and forgets it; false where there is none.
    pub(super) fn close(&mut self, handle: u64) -> bool {
        let Some(mut loaded) = self.loaded.remove(&handle) else { return false };
        self.descriptors.retain(|_, descriptor| descriptor.handle != handle);
        self.closed += 1;
        loaded.attachments.clear();
        for (name, buffer) in &loaded.buffers {
            if let Some(buffer) = buffer {
                self.tally.add(name, buffer, loaded.counters.as_deref());
            }
        }
        if let Some(counters) = &loaded.counters {
            self.tally.add_object(counters);
        }
        true
    }

    /// Closes all.
    pub(super) fn close_all(&mut self) {
        while let Some(handle) = self.loaded.keys().next().copied() {
            self.close(handle);
        }
    }

    /// Attaches a program of an object, to the target that the module names.
    pub(super) fn attach(
        &mut self,
        handle: u64,
        program: &str,
        target: Option<&str>,
    ) -> Result<(), AttachFailure> {
        let unknown = |errno, text: String| AttachFailure {
            errno,
            failure: Failure::new(exit_code::ATTACH, anyhow::anyhow!(text)),
        };
        let loaded = self.loaded.get_mut(&handle).ok_or_else(|| {
            unknown(libc::EINVAL, format!("cannot attach `{program}`: no object {handle}"))
        })?;
        let found = loaded.object.progs_mut().find(|found| *found.name() == *program);
        let found = found.ok_or_else(|| {
            unknown(libc::ENOENT, format!("the object has no program `{program}`"))
        })?;
        load::take_log();
        let section = found.section().to_string_lossy().into_owned();
        let attachments = attach::attach(Context {
            program: &found,
            section: &section,
            kind: section.split('/').next().unwrap_or_default(),
            owner: Owner::Module,
            named: target.filter(|target| !target.is_empty()),
            options: &Options::default(),
        });
        let attachments = attachments.map_err(|error| AttachFailure {
            errno: error.errno(),
            failure: attach::failure(program, &section, &error),
        })?;
        loaded.attachments.extend(attachments);
        Ok(())
    }

    /// The number of a map of an object; none where there is no such map.
    pub(super) fn map(&mut self, handle: u64, name: &str) -> Option<i32> {
        let loaded = self.loaded.get(&handle)?;
        // Whatever stands before the point: the object's name, in the programs' own loaders.
        let section = name.find('.').map(|point| &name[point..]);
        let is_it = |map: &libbpf_rs::Map<'_>| *map.name() == *name;
        let is_section = |map: &libbpf_rs::Map<'_>| {
            let of_map = map.name().to_str();
            section.is_some_and(|section| {
                of_map.is_some_and(|of_map| load::holds_section(of_map, section))
            })
        };
        let maps = || loaded.object.maps();
        let map = maps().find(is_it).or_else(|| maps().find(is_section))?;
        let name = map.name().to_string_lossy().into_owned();
        let known =
            self.descriptors.iter().find(|(_, known)| known.handle == handle && known.name == name);
        if let Some((number, _)) = known {
            return Some(*number);
        }
        let map = Map::of(&map).ok()?;
        let number = self.next_descriptor;
        self.next_descriptor = number.checked_add(1)?;
        self.descriptors.insert(number, Descriptor { handle, name, map });
        Some(number)
    }

    /// Whether there is such an object.
    pub(super) fn has(&self, handle: u64) -> bool {
        self.loaded.contains_key(&handle)
    }

    /// The map of a number.
    pub(super) fn by_descriptor(&self, descriptor: i32) -> Option<&Map> {
        self.descriptors.get(&descriptor).map(|descriptor| &descriptor.map)
    }

    /// Takes a buffer out, to be polled.
    ///
    /// # Errors
    /// `EBADF` where the object has no such map, `EINVAL` where it is no buffer, `EBUSY` while it is
    /// being polled.
    pub(super) fn take_buffer(&mut self, handle: u64, descriptor: i32) -> io::Result<Polled> {
        let errno = io::Error::from_raw_os_error;
        let known = self.descriptors.get(&descriptor).filter(|known| known.handle == handle);
        let name = known.ok_or_else(|| errno(libc::EBADF))?.name.clone();
        let loaded = self.loaded.get_mut(&handle).ok_or_else(|| errno(libc::EBADF))?;
        let buffer = match loaded.buffers.get_mut(&name) {
            Some(slot) => slot.take().ok_or_else(|| errno(libc::EBUSY))?,
            None => {
                let map = loaded.object.maps().find(|map| *map.name() == *name);
                let buffer = PolledBuffer::open(&map.ok_or_else(|| errno(libc::EBADF))?)?;
                loaded.buffers.insert(name.clone(), None);
                buffer
            }
        };
        Ok(Polled { handle, name, counters: loaded.counters.clone(), buffer })
    }

    /// Puts a buffer back; where its object was closed meanwhile, it is gone, too.
    pub(super) fn put_back(&mut self, polled: Polled, talk: &Talk) {
        let Polled { handle, name, counters, buffer } = polled;
        if let Some(counters) = &counters {
            self.tally.look(&name, counters, talk);
        }
        let Some(loaded) = self.loaded.get_mut(&handle) else {
            self.tally.add(&name, &buffer, counters.as_deref());
            return;
        };
        loaded.buffers.insert(name, Some(buffer));
    }
}

/// Why a program is not attached.
#[derive(Debug)]
pub(super) struct AttachFailure {
    /// A number of Linux, for the module.
    pub errno: i32,
    /// What the user sees.
    pub failure: Failure,
}

/// A buffer that is being polled.
#[derive(Debug)]
pub(super) struct Polled {
    handle: u64,
    name: String,
    counters: Option<Rc<Counters>>,
    /// The buffer.
    pub buffer: PolledBuffer,
}

fn bad_object(error: bpfpack_schemas::object::ObjectError) -> Failure {
    let error = anyhow::Error::new(error).context("the module's object cannot be used");
    Failure::new(failure::exit_code::LOAD, error)
}
