// SPDX-License-Identifier: MIT
//! The objects of a module, by handle. Each object owns its maps, links and buffers, which are gone
//! when it is closed.
//!
//! A module refers to maps by numbers that are not descriptors of this process. They count from
//! [`FIRST`], none is used twice, and none is a descriptor of WASI. So a module can neither guess a
//! map that is not its own nor reach another map by the number of a closed one. If an element is
//! itself a descriptor (a map of maps, a cgroup), its number is translated here and never passed to
//! the kernel.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use bpfpack_schemas::Meta;
use bpfpack_schemas::object::BpfObject;
use libbpf_rs::MapCore as _;

use super::TracerPlan;
use super::buffer::{PolledBuffer, is_buffer};
use super::tally::Tally;
use crate::attach::{self, Attachment, Context, NotLoaded, Options, Owner, Refused};
use crate::failure::{self, Failure, exit_code};
use crate::instrument::{Counters, load_counting};
use crate::load;
use crate::memory;
use crate::policy::{self, Rules};
use crate::report;
use crate::sys::map::Map;
use crate::talk::Talk;

/// The first number for a map.
const FIRST: i32 = 1024;

/// The maximum number of open objects of a module.
const MOST: usize = 64;

/// The prefix of the maps for data sections. They are found by any name before the dot.
const NAME: &str = "module";

/// A loaded object.
#[derive(Debug)]
struct Loaded {
    // Dropped in this order: attachments first.
    attachments: Vec<Attachment>,
    /// Buffers by map name; `None` while one is being polled.
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

/// The objects of a module.
#[derive(Debug)]
pub(super) struct Objects {
    loaded: BTreeMap<u64, Loaded>,
    descriptors: BTreeMap<i32, Descriptor>,
    next_handle: u64,
    next_descriptor: i32,
    /// The number of closed objects, which shows whether one was closed meanwhile.
    pub closed: u64,
    /// The counts of taken and lost records.
    pub tally: Tally,
    /// Whether programs count lost records.
    counts: bool,
    /// The maximum number of bytes that the maps of an object may take.
    max_memory: Option<u64>,
    /// What objects may do.
    rules: Vec<Rules>,
    /// The name of the module.
    name: String,
}

impl Objects {
    /// No objects, for a module with this name.
    pub(super) fn new(name: &str, plan: &TracerPlan) -> Objects {
        Objects {
            loaded: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            next_handle: 1,
            next_descriptor: FIRST,
            closed: 0,
            tally: Tally::default(),
            counts: !plan.as_is,
            max_memory: plan.max_memory,
            rules: plan.rules.clone(),
            name: name.to_owned(),
        }
    }

    /// Loads an object. Returns its handle.
    pub(super) fn load(&mut self, bytes: &[u8], talk: &Talk) -> Result<u64, Failure> {
        if self.loaded.len() >= MOST {
            let error = anyhow::anyhow!("the module has {MOST} open objects, which is the limit");
            return Err(Failure::new(exit_code::LOAD, error));
        }
        let elf = BpfObject::parse(bytes).map_err(bad_object)?;
        if !self.rules.is_empty() {
            policy::check(&report::of(&elf, &Meta::default()), &self.rules, &self.name)?;
        }
        attach::check_capabilities(&elf)?;
        let general = |failure| NotLoaded::from(Refused::general(failure));
        let load = |bytes: &[u8]| -> Result<_, NotLoaded> {
            let mut opened = load::open(NAME, bytes).map_err(general)?;
            let pinned = opened.forget_pins();
            // Maps that others have pinned are not the module's.
            if !pinned.is_empty() {
                talk.warning(&format!("a module cannot pin maps: {}", pinned.join(", ")));
            }
            memory::check(&opened.memory(), &elf, self.max_memory).map_err(general)?;
            Ok(opened.load()?)
        };
        let (loaded, counters) = load_counting(&elf, bytes, self.counts, load)
            .map_err(|refused| refused.explained(&elf).failure)?;
        let (object, counters) = (loaded.0, counters.map(Rc::new));
        if let Some(warning) = attach::unasked_lsm(&elf) {
            talk.warning(warning);
        }
        let mut buffers = BTreeMap::new();
        // Before programs are attached, so that no record is missed. An error is reported when the
        // buffer is polled.
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

    /// Detaches the programs of an object, and closes it. Returns false if there is no such object.
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

    /// Closes all objects.
    pub(super) fn close_all(&mut self) {
        while let Some(handle) = self.loaded.keys().next().copied() {
            self.close(handle);
        }
    }

    /// Attaches a program of an object to the target that the module names.
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

    /// Returns the number of a map; `None` if the object has no such map.
    pub(super) fn map(&mut self, handle: u64, name: &str) -> Option<i32> {
        let loaded = self.loaded.get(&handle)?;
        // Any prefix is accepted: native loaders use the object's name.
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

    /// Whether the object exists.
    pub(super) fn has(&self, handle: u64) -> bool {
        self.loaded.contains_key(&handle)
    }

    /// The map with a number.
    pub(super) fn by_descriptor(&self, descriptor: i32) -> Option<&Map> {
        self.descriptors.get(&descriptor).map(|descriptor| &descriptor.map)
    }

    /// Takes a buffer out for polling.
    ///
    /// # Errors
    /// Returns `EBADF` if the object has no such map, `EINVAL` if it is not a buffer, and `EBUSY`
    /// while it is being polled.
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

    /// Returns a buffer after polling. If its object was closed meanwhile, the buffer is dropped.
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
    /// An error number for the module, as in errno(3).
    pub errno: i32,
    /// The failure to show.
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
