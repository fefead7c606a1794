// SPDX-License-Identifier: MIT
//! The description of the package, and its sources.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::{border, Error, Json, Member};

/// The description that a module gets at its start.
#[derive(Debug, Clone, Copy)]
pub struct About<'a>(Json<'a>);

/// The sizes of rows: readings come without them. Of sources beyond these, a reading is one row.
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
    /// What a description says.
    #[must_use]
    pub fn new(text: &'a str) -> About<'a> {
        About(Json::new(text))
    }

    /// All of it.
    #[must_use]
    pub fn json(&self) -> Json<'a> {
        self.0
    }

    /// The package's name.
    #[must_use]
    pub fn package(&self) -> &'a str {
        self.0.get("package").and_then(Json::as_str).unwrap_or("")
    }

    /// How many CPUs a value of a per-CPU map has parts for.
    #[must_use]
    pub fn cpus(&self) -> u64 {
        self.0.get("cpus").and_then(Json::as_u64).unwrap_or(1)
    }

    /// What it says of a source: scale and unit of a histogram, for instance.
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

/// A buffer or a map of the package, or what a module before this one has declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Its number.
    pub number: u32,
}

impl Source {
    /// Looks for a source.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn named(name: &'static str) -> Result<Source, Error> {
        Source::find(name).ok_or(Error::NoSource(name))
    }

    /// Looks for a source that need not be there.
    #[must_use]
    pub fn find(name: &str) -> Option<Source> {
        u32::try_from(border::source(name)).ok().map(|number| Source { number })
    }

    /// Looks for a member of one of its kinds of records, or of its rows (kind 0); `e.pid` is one
    /// inside of another.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn member(self, kind: u16, name: &'static str) -> Result<Member, Error> {
        self.find_member(kind, name).ok_or(Error::NoMember(name))
    }

    /// Looks for a member that need not be there.
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
