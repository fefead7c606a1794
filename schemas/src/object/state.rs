// SPDX-License-Identifier: MIT
//! The maps and variables that each program uses.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::BpfObject;
use super::code::{Code, CodeLocation, Reference};

impl BpfObject<'_> {
    /// For each program, the names of the maps and mutable variables that it uses, directly or in
    /// functions that it calls. Constants (`.rodata`) do not count.
    #[must_use]
    pub fn state_of_programs(&self) -> BTreeMap<String, State> {
        let code = self.code();
        let mut walk = Walk::new(&code);
        let state = |program: super::Program| {
            let start = code.find(&program.name)?;
            Some((program.name, walk.state(start)))
        };
        self.programs().into_iter().filter_map(state).collect()
    }
}

/// The state that a program uses: sorted numbers of maps and variables. Programs with the same
/// state share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(Arc<[u32]>);

impl State {
    /// The state that consists of these numbers.
    #[must_use]
    pub fn new(mut numbers: Vec<u32>) -> State {
        numbers.sort_unstable();
        numbers.dedup();
        State(numbers.into())
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether another state contains all of it.
    #[must_use]
    pub fn is_subset(&self, other: &State) -> bool {
        self.0.iter().all(|number| other.0.binary_search(number).is_ok())
    }
}

/// Follows calls through the object.
struct Walk<'c, 'e, 'd> {
    code: &'c Code<'e, 'd>,
    /// The numbers of maps and variables.
    names: BTreeMap<&'d str, u32>,
    /// What each function uses directly, and what it calls.
    functions: BTreeMap<CodeLocation, Rc<Uses>>,
    known: BTreeSet<Arc<[u32]>>,
}

/// What a function uses and calls.
#[derive(Default)]
struct Uses {
    state: Vec<u32>,
    calls: Vec<CodeLocation>,
}

impl<'c, 'e, 'd> Walk<'c, 'e, 'd> {
    fn new(code: &'c Code<'e, 'd>) -> Walk<'c, 'e, 'd> {
        let (names, functions, known) = Default::default();
        Walk { code, names, functions, known }
    }

    /// The state that a function and its callees use.
    fn state(&mut self, start: CodeLocation) -> State {
        let (mut used, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut todo = vec![start];
        while let Some(place) = todo.pop() {
            if seen.insert(place) {
                let function = self.function(place);
                used.extend(&function.state);
                todo.extend(&function.calls);
            }
        }
        let state = State::new(used.into_iter().collect());
        match self.known.get(&state.0) {
            Some(known) => State(Arc::clone(known)),
            None => {
                self.known.insert(Arc::clone(&state.0));
                state
            }
        }
    }

    fn function(&mut self, place: CodeLocation) -> Rc<Uses> {
        if let Some(known) = self.functions.get(&place) {
            return Rc::clone(known);
        }
        let uses = Rc::new(self.read(place).unwrap_or_default());
        self.functions.insert(place, Rc::clone(&uses));
        uses
    }

    /// What a function uses and calls; `None` if there is no such function.
    fn read(&mut self, place: CodeLocation) -> Option<Uses> {
        let mut uses = Uses::default();
        for (_, _, reference) in self.code.instructions(self.code.function(place)?) {
            match reference {
                Some(Reference::Function(target)) => uses.calls.push(target),
                Some(Reference::Data { section, name }) if is_state(section) => {
                    let next = self.names.len() as u32;
                    uses.state.push(*self.names.entry(name).or_insert(next));
                }
                _ => {}
            }
        }
        uses.state.sort_unstable();
        uses.state.dedup();
        uses.calls.sort_unstable();
        uses.calls.dedup();
        Some(uses)
    }
}

/// Whether the content of a section counts as state.
fn is_state(section: &str) -> bool {
    [".maps", ".bss", ".data"].iter().any(|stem| section.starts_with(stem))
}
