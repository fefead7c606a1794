// SPDX-License-Identifier: MIT
//! Finds the structs that a program writes to its ring and perf buffers.
//!
//! The instructions contain the buffer that a call writes to, and the number of bytes ([`flow`]).
//! The debug information contains the source position of the call, the functions through which it
//! was inlined, and their variables ([`debug`]). The sources contain the text of the call
//! ([`source`]). The struct is, in this order:
//!
//! 1. the type in `sizeof`, the pointer that receives the result, or the target of the data
//!    argument, through parameters of functions and macros: the first one that has the size of the
//!    record, or else the first;
//! 2. the value type of the map whose element is written;
//! 3. the only struct of that size among the function's variables, then among the targets of global
//!    pointers, which people declare to keep a type in BTF.

mod btf;
mod code;
pub(crate) mod debug;
mod entry;
mod evaluate;
mod expression;
pub(crate) mod flow;
mod sections;
mod source;
mod stack;
pub(crate) mod undefined;
pub(crate) mod units;
pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet};

use bpfpack_schemas::btf::{Btf, BtfError, Kind};
use bpfpack_schemas::object::ObjectError;
use serde::{Deserialize, Serialize};

use crate::parsed::Parsed;
use debug::{Debug, address};
use evaluate::{Evaluator, Scope};
use flow::{Call, Flow, helper};
use source::Sources;
use undefined::Undefined;
use units::Slotting;
use value::Value;

/// The facts from an object's debug information.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The structs that are written to each buffer.
    pub(crate) buffers: BTreeMap<String, Written>,
    /// Positions of calls that write a record to an unknown buffer.
    pub(crate) nowhere: Vec<String>,
    /// Functions with code that compute slots of histograms.
    pub(crate) slots: BTreeMap<String, Slotting>,
    /// Undefined names that the code uses.
    pub(crate) undefined: Vec<Undefined>,
}

/// The structs of a buffer, as types of the object's BTF.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The structs: their names, and their BTF ids.
    pub(crate) structs: Vec<(String, u32)>,
    /// Positions of calls whose struct was not found, as `file:line`.
    pub(crate) unknown: Vec<String>,
}

/// Finds the structs of each buffer. Structs that the object's BTF lacks are added: the second
/// result is the new content of `.BTF`, if there is any.
///
/// # Errors
/// The object cannot be read. Malformed debug information counts as absent.
pub(crate) fn facts(object: &Parsed<'_>) -> Result<(Facts, Option<Vec<u8>>), ObjectError> {
    let Parsed { data, elf, btf } = object;
    let section = elf.section_data(".BTF").ok_or(ObjectError::NoBtf)?;
    let sections = sections::Sections::read(elf.elf());
    let debug = sections.as_ref().and_then(|sections| Debug::read(sections, data.len()).ok());
    let debug = debug.unwrap_or_default();
    let flow = flow::walk(elf.elf());
    let sources = Sources::read(&debug, is_ours);
    let evaluator = Evaluator { debug: &debug, sources: &sources, flow: &flow };
    let slots = slots(&evaluator);
    let location = |section, offset| debug.location_text(address(section, offset));
    let undefined = undefined::find(elf.elf(), btf, &flow.functions, location);
    let (found, nowhere) = find(Finder { btf, debug: &debug, flow: &flow, evaluator });
    let Some(mut builder) = btf::Builder::new(section, btf, &debug) else {
        return Err(ObjectError::Btf(BtfError::Header));
    };
    let mut facts = Facts { slots, nowhere, undefined, ..Facts::default() };
    for (map, buffer) in found {
        let mut written = Written { structs: Vec::new(), unknown: buffer.unknown };
        for item in buffer.structs {
            written.structs.push(match item {
                Struct::Debug(index) => (debug.die(index).name.to_owned(), builder.add(index)),
                Struct::Btf(id) => (btf.ty(id).name().to_owned(), id),
            });
        }
        facts.buffers.insert(map, written);
    }
    let added = builder.finish();
    // Omit types that no reader could parse.
    if added.as_ref().is_some_and(|added| Btf::parse(added).is_err()) {
        for written in facts.buffers.values_mut() {
            written.structs.retain(|(_, id)| *id <= btf.len());
        }
        return Ok((facts, None));
    }
    Ok((facts, added))
}

/// The structs of a buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// The structs, in the order of their first calls.
    pub(crate) structs: Vec<Struct>,
    /// Positions of calls whose struct was not found, as `file:line`.
    pub(crate) unknown: Vec<String>,
}

/// The description of a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Struct {
    /// An entry of the debug information.
    Debug(u32),
    /// A type of the object's BTF.
    Btf(u32),
}

/// Finds the structs of each buffer, and the calls whose buffer is unknown.
fn find(finder: Finder<'_, '_>) -> (BTreeMap<String, Buffer>, Vec<String>) {
    let mut nowhere = Vec::new();
    let mut found: BTreeMap<String, Buffer> = BTreeMap::new();
    for call in &finder.flow.calls {
        let Some(shape) = Shape::of(call) else { continue };
        let maps = finder.maps(call, &shape);
        if maps.is_empty() {
            nowhere.push(finder.location(call));
        }
        for map in maps {
            let structs = finder.structs(call, &shape, &map);
            let buffer = found.entry(map).or_default();
            if structs.is_empty() {
                let location = finder.location(call);
                if !buffer.unknown.contains(&location) {
                    buffer.unknown.push(location);
                }
            }
            for item in structs {
                if !buffer.structs.iter().any(|known| finder.same(*known, item)) {
                    buffer.structs.push(item);
                }
            }
        }
    }
    nowhere.dedup();
    (found, nowhere)
}

/// How each function with code computes slots, including the functions inlined into it.
fn slots(evaluator: &Evaluator<'_, '_>) -> BTreeMap<String, Slotting> {
    let debug = evaluator.debug;
    let mut found = BTreeMap::new();
    for function in debug.functions() {
        let parts = debug.parts(function);
        let by_part = parts.into_iter().filter_map(|part| evaluator.slotting(part));
        // A logarithm is certain; a plain index may be for another array.
        if let Some(slotting) =
            by_part.max_by_key(|slotting| (slotting.is_log2, slotting.unit.is_some()))
        {
            let name = debug.die(debug.origin(function)).name;
            found.insert(name.to_owned(), slotting);
        }
    }
    found
}

/// Whether a file is one of our headers, which are compiled under this name.
fn is_ours(path: &str) -> bool {
    path.starts_with("./bpfpack/") || path.starts_with("bpfpack/")
}

/// The meaning of a helper's arguments.
struct Shape {
    name: &'static str,
    map: usize,
    size: usize,
    /// `None` if the data is the target of the result.
    data: Option<usize>,
}

impl Shape {
    fn of(call: &Call) -> Option<Shape> {
        let shape = |name, map, size, data| Some(Shape { name, map, size, data });
        match call.helper {
            helper::PERF_EVENT_OUTPUT => shape("bpf_perf_event_output", 1, 4, Some(3)),
            helper::SKB_OUTPUT => shape("bpf_skb_output", 1, 4, Some(3)),
            helper::XDP_OUTPUT => shape("bpf_xdp_output", 1, 4, Some(3)),
            helper::RINGBUF_OUTPUT => shape("bpf_ringbuf_output", 0, 2, Some(1)),
            helper::RINGBUF_RESERVE => shape("bpf_ringbuf_reserve", 0, 1, None),
            helper::RINGBUF_RESERVE_DYNPTR => shape("bpf_ringbuf_reserve_dynptr", 0, 1, None),
            _ => None,
        }
    }
}

struct Finder<'f, 'd> {
    btf: &'f Btf<'f>,
    debug: &'f Debug<'d>,
    flow: &'f Flow,
    evaluator: Evaluator<'f, 'd>,
}

impl<'f> Finder<'f, '_> {
    /// The buffers that a call can write to: one, unless the buffer is a parameter.
    fn maps(&self, call: &Call, shape: &Shape) -> Vec<String> {
        if let Value::Map(map) = call.arguments[shape.map] {
            return self.flow.names.get(&map).cloned().into_iter().collect();
        }
        let names = &self.flow.names;
        let known = |name: &str| names.values().any(|known| known == name);
        let scopes = self.evaluator.scopes(call.function, call.at, &[shape.name]);
        let words = scopes.iter().flat_map(|scope| self.evaluator.words(scope, shape.map));
        let found: BTreeSet<String> = words.filter(|word| known(word)).collect();
        found.into_iter().collect()
    }

    /// The calls that write to a buffer.
    fn scopes(&self, call: &Call, shape: &Shape, map: &str) -> Vec<Scope<'f>> {
        let mut scopes = self.evaluator.scopes(call.function, call.at, &[shape.name]);
        if scopes.len() > 1 {
            let is_it = |scope: &Scope<'f>| {
                self.evaluator.words(scope, shape.map).iter().any(|word| word == map)
            };
            scopes.retain(is_it);
        }
        let of_map = |scope| self.evaluator.of_map(scope, map, shape.map);
        scopes.into_iter().map(of_map).collect()
    }

    fn structs(&self, call: &Call, shape: &Shape, map: &str) -> Vec<Struct> {
        let size = match call.arguments[shape.size] {
            Value::Const(size) => u64::try_from(size).ok(),
            _ => None,
        };
        if call.helper == helper::RINGBUF_RESERVE_DYNPTR {
            return self.written_through_dynptr(call);
        }
        let scopes = self.scopes(call, shape, map);
        let fits = |item: &u32| size.is_none() || self.debug.size_of(*item) == size;
        let mut found: Vec<u32> = Vec::new();
        for scope in &scopes {
            let by_size = self.evaluator.sizeof(scope, shape.size);
            let by_data = match shape.data {
                Some(data) => self.evaluator.pointed_to(scope, data),
                None => self.evaluator.result(scope),
            };
            let all = [by_size, by_data];
            // Several types of one kind come from several callers. The two kinds describe the same
            // records from two sides.
            let fitting = all.iter().find(|items| items.iter().any(fits));
            match fitting {
                Some(items) => found.extend(items.iter().copied().filter(fits)),
                None => found.extend(all.iter().flatten().copied().take(1)),
            }
        }
        let mut distinct: Vec<u32> = Vec::new();
        for item in found {
            if !distinct.iter().any(|known| self.debug.is_same(*known, item)) {
                distinct.push(item);
            }
        }
        if !distinct.is_empty() {
            return distinct.into_iter().map(Struct::Debug).collect();
        }
        let by_element = shape.data.and_then(|data| self.value_type(call.arguments[data], size));
        let is_scalar = |scope: &Scope<'f>| {
            shape.data.is_some_and(|data| self.evaluator.is_scalar(scope, data))
        };
        if by_element.is_none() && scopes.iter().any(is_scalar) {
            return Vec::new();
        }
        let fallback = by_element
            .or_else(|| size.and_then(|size| self.local_of_size(call, size)))
            .or_else(|| self.kept_of_size(size));
        fallback.into_iter().collect()
    }

    /// The structs at the start of a record in a dynptr.
    fn written_through_dynptr(&self, reserve: &Call) -> Vec<Struct> {
        let dynptr = reserve.arguments[3];
        let same = self.flow.calls.iter().filter(|call| call.function == reserve.function);
        let mut found = Vec::new();
        for call in same {
            let (name, is_it) = match call.helper {
                helper::DYNPTR_WRITE => ("bpf_dynptr_write", call.arguments[0] == dynptr),
                helper::DYNPTR_DATA => ("bpf_dynptr_data", call.arguments[0] == dynptr),
                _ => continue,
            };
            if !is_it || call.arguments[1] != Value::Const(0) {
                continue;
            }
            for scope in self.evaluator.scopes(call.function, call.at, &[name]) {
                let items = match call.helper {
                    helper::DYNPTR_WRITE => self.evaluator.pointed_to(&scope, 2),
                    _ => self.evaluator.result(&scope),
                };
                found.extend(items.into_iter().take(1).map(Struct::Debug));
            }
        }
        found
    }

    /// The value type of the map whose element is written.
    fn value_type(&self, data: Value, size: Option<u64>) -> Option<Struct> {
        let Value::Element(map, spot) = data else { return None };
        let name = self.flow.names.get(&map)?;
        let (_, value) = self.btf.map_types(name);
        let value = value?.resolved();
        let fits = size.is_none_or(|size| value.size().is_some_and(|whole| whole >= size));
        let is_struct = value.kind == Kind::Struct && !value.name().is_empty();
        (is_struct && fits && spot.offset == 0).then_some(Struct::Btf(value.id))
    }

    /// The only struct of a size among the variables of the functions around a call.
    fn local_of_size(&self, call: &Call, size: u64) -> Option<Struct> {
        let mut found: Option<u32> = None;
        for frame in self.debug.frames(address(call.at.0, call.at.1)) {
            for local in self.debug.locals(frame.function) {
                let of_type = self.debug.type_of(local);
                let Some(ty) = of_type.and_then(|ty| self.evaluator.record(ty)) else { continue };
                if self.debug.size_of(ty) != Some(size) {
                    continue;
                }
                if found.is_some_and(|known| self.debug.die(known).name != self.debug.die(ty).name)
                {
                    return None;
                }
                found = Some(ty);
            }
        }
        found.map(Struct::Debug)
    }

    /// The only struct of a size, if the size is known, to which a global pointer points.
    fn kept_of_size(&self, size: Option<u64>) -> Option<Struct> {
        let mut found = None;
        for variable in [".bss", ".data", ".rodata"].iter().flat_map(|s| self.btf.section_vars(s)) {
            let pointer = self.btf.ty(variable.ty).resolved();
            let target = pointer.target().resolved();
            let is_it = pointer.kind == Kind::Ptr
                && target.kind == Kind::Struct
                && (size.is_none() || target.size() == size);
            match found {
                _ if !is_it => {}
                None => found = Some(target.id),
                Some(known) if known == target.id => {}
                Some(_) => return None,
            }
        }
        found.map(Struct::Btf)
    }

    /// Whether two descriptions are of the same struct.
    fn same(&self, a: Struct, b: Struct) -> bool {
        if let (Struct::Debug(a), Struct::Debug(b)) = (a, b) {
            return self.debug.is_same(a, b);
        }
        let name_and_size = |item: Struct| match item {
            Struct::Debug(index) => {
                (self.debug.die(index).name.to_owned(), self.debug.size_of(index))
            }
            Struct::Btf(id) => (self.btf.ty(id).name().to_owned(), self.btf.ty(id).size()),
        };
        a == b || name_and_size(a) == name_and_size(b)
    }

    fn location(&self, call: &Call) -> String {
        let location = self.debug.location_text(address(call.at.0, call.at.1));
        let function = &self.flow.functions[call.function].name;
        location.unwrap_or_else(|| format!("function `{function}`"))
    }
}
