// SPDX-License-Identifier: MIT
//! Counts the files that each process opens, by directory: a table every few seconds, and
//! at the end.
//!
//! Parameters: every=5s is the interval; top=20 is the number of rows.

use std::collections::BTreeMap;

use bpfpack::declare::Text;
use bpfpack::{About, Batch, Error, Flow, Member, Module, Output, Source};

bpfpack::table! {
    struct Row = "directories" {
        key { pid: u32, comm: Text<16>, directory: Text<128> }
        value { opens: u64, failed: u64 }
        sort opens
    }
}

type Process = (u32, Text<16>);

struct Directories {
    pid: Member,
    ret: Member,
    comm: Member,
    fname: Member,
    top: usize,
    table: Output<Row>,
    /// Opens, and failed opens.
    counts: BTreeMap<Process, BTreeMap<Vec<u8>, (u64, u64)>>,
}

impl Module for Directories {
    fn start(_: &About<'_>) -> Result<Directories, Error> {
        let events = Source::named("events")?;
        let every = bpfpack::parameter_time("every", 5_000_000_000)? / 1_000_000;
        bpfpack::every(every as u32);
        Ok(Directories {
            pid: events.member(0, "pid")?,
            ret: events.member(0, "ret")?,
            comm: events.member(0, "comm")?,
            fname: events.member(0, "fname")?,
            top: bpfpack::parameter_u64("top", 20)? as usize,
            table: bpfpack::declare()?,
            counts: BTreeMap::new(),
        })
    }

    fn records(&mut self, batch: &Batch<'_>) -> Flow {
        for record in batch.records() {
            let process = (record.u32(self.pid), Text::new(&record.text(self.comm)));
            let name = record.text(self.fname);
            let directories = self.counts.entry(process).or_default();
            let directory = directory(&name);
            // Finds a known directory without copying its name.
            if !directories.contains_key(directory) {
                directories.insert(directory.to_vec(), (0, 0));
            }
            if let Some((opens, failed)) = directories.get_mut(directory) {
                *opens += 1;
                *failed += u64::from(record.i64(self.ret) < 0);
            }
        }
        Flow::Continue
    }

    fn tick(&mut self, _time: u64) -> Flow {
        self.show();
        Flow::Continue
    }

    fn end(&mut self) -> Flow {
        self.show();
        Flow::Continue
    }
}

impl Directories {
    fn show(&self) {
        let mut rows: Vec<Row> = Vec::new();
        for ((pid, comm), directories) in &self.counts {
            for (path, (opens, failed)) in directories {
                let (directory, opens, failed) = (Text::new(path), *opens, *failed);
                rows.push(Row { pid: *pid, comm: *comm, directory, opens, failed });
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.opens));
        rows.truncate(self.top);
        self.table.show(rows);
    }
}

/// The directory of a path: `.` if the path has no slash.
fn directory(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(end) => &path[..end],
        None => b".",
    }
}

bpfpack::export!(Directories: records, tick, end);
