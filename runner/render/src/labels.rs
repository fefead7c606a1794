// SPDX-License-Identifier: MIT
//! Values of members as labels of metrics: their meanings as text, without decoration.

use std::io::Write as _;

use bpfpack_decode::field::text;
use bpfpack_decode::{Layout, Member};
use bpfpack_schemas::printable;

use crate::clock::LocalTime;
use crate::meaning::Names;
use crate::symbolize::{SharedSymbolizer, kernel_names};
use crate::value::{json, text as words};

/// Writes labels. It looks up the names of users, interfaces, cgroups and others on this machine.
#[derive(Debug)]
pub struct Labels {
    names: Option<Names>,
}

impl Labels {
    /// Labels with names. Kernel addresses have names if there is a symbolizer.
    #[must_use]
    pub fn new(local_time: LocalTime, symbolizer: Option<&SharedSymbolizer>) -> Labels {
        let mut names = Names::new(local_time);
        names.exact = true;
        names.kernel = symbolizer.map(kernel_names);
        Labels { names: Some(names) }
    }

    /// Appends the value of a member; nothing if the record ends before it.
    pub fn write(&mut self, member: &Member, record: &[u8], out: &mut Vec<u8>) {
        if member.is_missing(record) {
            return;
        }
        let mut number = [0; 16];
        match &member.layout {
            Layout::Enum { size, names, .. } if member.meaning.is_none() => {
                match json::enumerator(names, member.bytes(record, &mut number), *size) {
                    (_, Some(name)) => out.extend_from_slice(name.as_bytes()),
                    (value, None) => drop(write!(out, "{value}")),
                }
            }
            Layout::Text { size } if member.meaning.is_none() && member.length.is_none() => {
                let text = text(member.bytes(record, &mut number), *size);
                out.extend_from_slice(printable::clean(&String::from_utf8_lossy(text)).as_bytes());
            }
            _ => words::write_member(member, record, &mut self.names, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_decode::meaning::{Meaning, Unit};

    use super::*;

    fn label(member: &Member, record: &[u8]) -> String {
        let mut out = Vec::new();
        Labels::new(crate::utc, None).write(member, record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn labels_are_bare_text() {
        let text = Member::new("comm", 0, Layout::Text { size: 4 });
        assert_eq!(label(&text, b"a b\0"), "a b");
        assert_eq!(label(&text, b"a\"\\b"), "a\"\\b");
        assert_eq!(label(&text, b"a\n\0\0"), "a\\x0a");
        assert_eq!(label(&text, b""), "");
        let names = vec![(2, "TWO".to_owned())];
        let number = Member::new("kind", 0, Layout::Enum { size: 4, signed: false, names });
        assert_eq!(label(&number, &2u32.to_le_bytes()), "TWO");
        assert_eq!(label(&number, &3u32.to_le_bytes()), "3");
        let mut port = Member::new("port", 0, Layout::Int { size: 2, signed: false });
        assert_eq!(label(&port, &[1, 187]), "47873");
        port.meaning = Some(Meaning::Port);
        assert_eq!(label(&port, &[1, 187]), "443");
        let mut time = Member::new("ns", 0, Layout::Int { size: 8, signed: false });
        time.meaning = Some(Meaning::Duration(Unit::Nanoseconds));
        assert_eq!(label(&time, &1500u64.to_le_bytes()), "1500", "it can be compared");
    }
}
