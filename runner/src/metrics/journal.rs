// SPDX-License-Identifier: MIT
//! Records for the journal of systemd, by its native protocol: a datagram for each entry, with a line
//! for each field. The message is the record as text; each member is a field, too.

use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::rc::Rc;

use bpfpack_frame::{Reading, Records, Time};
use bpfpack_render::Format;

use super::texts::{Shown, Texts};
use crate::failure::{Failure, exit_code};
use crate::talk::Talk;

/// The priority of all entries: information, as in syslog(3).
const PRIORITY: &str = "6";

/// An output that writes entries.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    texts: Texts,
    talk: Talk,
    entry: Vec<u8>,
    written: u64,
    /// Entries that the journal did not take.
    lost: u64,
}

impl Journal {
    /// Connects to the journal.
    ///
    /// # Errors
    /// Returns an error if there is none.
    pub(super) fn open(path: &Path, texts: Texts, talk: Talk) -> Result<Journal, Failure> {
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = connect().map_err(|error: std::io::Error| {
            let text = format!("cannot connect to the journal at `{}`", path.display());
            Failure::new(exit_code::OUTPUT, anyhow::Error::new(error).context(text))
                .hint("--journal needs systemd; -o json:FILE writes a file")
        })?;
        Ok(Journal { socket, texts, talk, entry: Vec::new(), written: 0, lost: 0 })
    }

    /// Sends the entry.
    fn send(&mut self) {
        let sent = loop {
            match self.socket.send(&self.entry) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                sent => break sent,
            }
        };
        match sent {
            Ok(_) => self.written += 1,
            // The journal is slow, away, or does not take an entry of this size.
            Err(_) => self.lost += 1,
        }
    }

    fn text_entry(&mut self, text: &[u8]) {
        self.entry.clear();
        field("MESSAGE", text.trim_ascii_end(), &mut self.entry);
        field("PRIORITY", PRIORITY.as_bytes(), &mut self.entry);
        field("SYSLOG_IDENTIFIER", self.texts.package().as_bytes(), &mut self.entry);
        self.send();
    }
}

impl Format for Journal {
    fn records(&mut self, records: &Records<'_>, _: &mut Vec<u8>) {
        let event = self.texts.event(records).to_owned();
        let package = self.texts.package().to_owned();
        for record in records.bytes {
            self.entry.clear();
            let Shown { members, body } = self.texts.record(records, record);
            field("MESSAGE", body.as_bytes(), &mut self.entry);
            field("PRIORITY", PRIORITY.as_bytes(), &mut self.entry);
            field("SYSLOG_IDENTIFIER", package.as_bytes(), &mut self.entry);
            field("BPFPACK_EVENT", event.as_bytes(), &mut self.entry);
            for (member, text) in members {
                field(&name(&member.name), text.as_bytes(), &mut self.entry);
            }
            self.send();
        }
    }

    fn entries(&mut self, _: &Rc<Reading>, _: Range<usize>, _: &mut Vec<u8>) {}

    fn text(&mut self, _: Time, text: &[u8], _: &mut Vec<u8>) {
        self.text_entry(text);
    }

    fn json(&mut self, _: Time, json: &[u8], _: &mut Vec<u8>) {
        self.text_entry(json);
    }

    fn end(&mut self, _: &mut Vec<u8>) {
        let Journal { written, lost, .. } = *self;
        match lost {
            0 => self.talk.detail(&format!("{written} records were written to the journal")),
            _ => self
                .talk
                .warning(&format!("the journal did not take {lost} of {} records", written + lost)),
        }
    }
}

/// The name of a field for a member. Fields of the journal have capital letters, digits and `_`, and
/// do not begin with `_`.
fn name(member: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("BPF_{}", member.chars().map(upper).collect::<String>())
}

/// Appends a field. A value with a line feed has its length in front, eight bytes, little-endian.
fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use bpfpack_render::Labels;
    use bpfpack_spec::fixtures::stream;

    use super::*;

    #[test]
    fn entries_have_fields() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let texts = || Texts::new(Labels::new(bpfpack_render::utc, None), "tool");
        let mut output = Journal::open(&path, texts(), Talk::silent()).unwrap();
        let source = stream();
        let bytes: [&[u8]; 1] = [b"\x07\0\0\0a b\0"];
        let time = Time::default();
        for records in Records::by_type(&source, time, None, &bytes) {
            output.records(&records, &mut Vec::new());
        }
        output.text(time, b"one\ntwo\n", &mut Vec::new());
        let received = || {
            let mut bytes = [0; 500];
            let count = journal.recv(&mut bytes).unwrap();
            bytes[..count].to_vec()
        };
        assert_eq!(
            String::from_utf8(received()).unwrap(),
            "MESSAGE=pid=7 comm=\"a b\"\nPRIORITY=6\nSYSLOG_IDENTIFIER=tool\n\
             BPFPACK_EVENT=tool.rb\nBPF_PID=7\nBPF_COMM=a b\n"
        );
        let text = received();
        assert!(text.starts_with(b"MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\nPRIORITY=6\n"), "{text:?}");
        drop(journal);
        output.text(time, b"x", &mut Vec::new());
        assert_eq!((output.written, output.lost), (2, 1));
        assert!(Journal::open(&path, texts(), Talk::silent()).is_err());
        assert_eq!(name("args_size.x"), "BPF_ARGS_SIZE_X");
    }
}
