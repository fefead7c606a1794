// SPDX-License-Identifier: MIT
//! The description of the package, and its sources.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::{border, Error, Json, Member};

/// The description that a module receives at its start.
#[derive(Debug, Clone, Copy)]
pub struct About<'a>(Json<'a>);

/// The sizes of rows, which readings do not contain. A reading of a source beyond this table is one
/// row.
static STRIDES: [AtomicU32; 256] = {
    #[allow(clippy::declare_interior_mutable_const)]
    const NONE: AtomicU32 = AtomicU32::new(0);
    [NONE; 256]
};

pub(crate) fn stride(source: u32) -> Option<usize> {
    let stride = STRIDES.get(source as usize)?.load(Ordering::Relaxed);
    (stride > 0).then_some(stride as usize)
}

impl<'a> About<'a> {
    /// Parses a description, for tests.
    #[must_use]
    pub fn new(text: &'a str) -> About<'a> {
        About(Json::new(text))
    }

    /// The whole description as JSON.
    #[must_use]
    pub fn json(&self) -> Json<'a> {
        self.0
    }

    /// The package's name; empty if it is missing.
    #[must_use]
    pub fn package(&self) -> &'a str {
        self.0.get("package").and_then(Json::as_str).unwrap_or("")
    }

    /// The number of possible CPUs: a value of a per-CPU map has a part for each.
    #[must_use]
    pub fn cpus(&self) -> u64 {
        self.0.get("cpus").and_then(Json::as_u64).unwrap_or(1)
    }

    /// The description of a source, such as the scale and the unit of a histogram.
    #[must_use]
    pub fn source(&self, source: Source) -> Option<Json<'a>> {
        self.sources().find(|(number, _)| *number == u64::from(source.number)).map(|(_, json)| json)
    }

    fn sources(&self) -> impl Iterator<Item = (u64, Json<'a>)> {
        let sources = self.0.get("sources").unwrap_or_else(|| Json::new("[]"));
        sources.items().filter_map(|json| Some((json.get("source")?.as_u64()?, json)))
    }

    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
    pub(crate) fn keep_strides(&self) {
        for (number, json) in self.sources() {
            let stride = json.get("stride").and_then(Json::as_u64).unwrap_or(0);
            if let Some(place) = STRIDES.get(number as usize) {
                place.store(stride as u32, Ordering::Relaxed);
            }
        }
    }
}

/// A buffer or a map of the package, or a source that a module declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Its number, an index into the sources of the description.
    pub number: u32,
}

impl Source {
    /// Finds a source by name.
    ///
    /// # Errors
    /// [`Error::NoSource`] if it does not exist.
    pub fn named(name: &'static str) -> Result<Source, Error> {
        Source::find(name).ok_or(Error::NoSource(name))
    }

    /// Finds a source by name; `None` if it does not exist.
    #[must_use]
    pub fn find(name: &str) -> Option<Source> {
        u32::try_from(border::source(name)).ok().map(|number| Source { number })
    }

    /// Finds a member of a kind of records, or of rows (kind 0). `e.pid` is a nested member.
    ///
    /// # Errors
    /// [`Error::NoMember`] if it does not exist.
    pub fn member(self, kind: u16, name: &'static str) -> Result<Member, Error> {
        self.find_member(kind, name).ok_or(Error::NoMember(name))
    }

    /// Finds a member; `None` if it does not exist.
    #[must_use]
    pub fn find_member(self, kind: u16, name: &str) -> Option<Member> {
        let mut place = [0; 24];
        let found = border::member(self.number, kind.into(), name, &mut place);
        (found >= 0).then(|| Member::new(&place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_read() {
        let about = About::new(
            r#"{"interface": 1, "package": "p", "cpus": 4, "sources": [{"source": 7, "name": "x",
            "stride": 112, "unit": "usecs"}, {"source": 8, "stride": 99999999999}]}"#,
        );
        about.keep_strides();
        assert_eq!((about.package(), about.cpus()), ("p", 4));
        assert_eq!((stride(7), stride(1), stride(1000)), (Some(112), None, None));
        let source = about.source(Source { number: 7 }).unwrap();
        assert_eq!(source.get("unit").and_then(Json::as_str), Some("usecs"));
    }
}
