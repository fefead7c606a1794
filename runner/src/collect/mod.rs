// SPDX-License-Identifier: MIT
//! One loop over everything that brings data: samplers, by the clock, and buffers, when the kernel
//! wakes us. Where there are no buffers, nothing but the sampling timer wakes us.

mod buffers;
pub mod maps;
mod sampler;

use std::time::{Duration, Instant};

use libbpf_rs::Object;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::args::Plan;
use crate::attach::Attached;
use crate::failure::{self, Failure, exit_code};
use crate::render::{Format, json::Json, text::Text};
use crate::sink::{Reader, Sink};
use crate::sys::Signals;
use crate::talk::Talk;
use crate::view::{View, Views};
use buffers::Buffers;
use sampler::Sampler;

/// A reading this close before the end is the last one itself.
const TOGETHER: Duration = Duration::from_millis(20);

/// A sampler and its times.
struct Scheduled {
    sampler: Sampler,
    next: Instant,
    readings: u64,
}

/// What data comes from, opened.
pub struct Sources {
    samples: Vec<View>,
    buffers: Buffers,
    /// Whether there are several, so that the output has to tell them apart.
    several: bool,
}

impl Sources {
    /// Opens what the views need.
    pub fn open(object: &Object, views: Views) -> Result<Sources, Failure> {
        let several = views.samples.len() + views.streams.len() > 1;
        let buffers = Buffers::open(object, views.streams)?;
        Ok(Sources { samples: views.samples, buffers, several })
    }
}

/// Shows everything until the end that the plan or a signal sets; then detaches, and shows what is
/// left.
pub fn run(
    plan: &Plan,
    mut attached: Attached<Sources>,
    signals: &Signals,
    talk: &Talk,
) -> Result<(), Failure> {
    let start = Instant::now();
    let several = attached.prepared.several;
    let format: Box<dyn Format> = match plan.json {
        true => Box::new(Json::new(several)),
        false => Box::new(Text::new(plan.timestamp, several)),
    };
    let mut output = Output { format, sink: Sink, bytes: Vec::new() };
    let mut samplers: Vec<Scheduled> = std::mem::take(&mut attached.prepared.samples)
        .into_iter()
        .map(|view| {
            let next = start + view.interval;
            Scheduled { sampler: Sampler::new(view), next, readings: 0 }
        })
        .collect();
    let deadline = plan.duration.map(|duration| start + duration);
    let has_samplers = !samplers.is_empty();
    if let Some(count) = plan.count.filter(|_| !has_samplers) {
        attached.prepared.buffers.limit(count);
    }

    loop {
        let next = samplers.iter().map(|scheduled| scheduled.next).chain(deadline).min();
        let buffers = &mut attached.prepared.buffers;
        let wake = wait(signals, buffers, next)?;
        if wake.buffers && buffers.drain(&mut output, false)? == Reader::Gone {
            return Ok(());
        }
        let now = Instant::now();
        if wake.signal || deadline.is_some_and(|deadline| now >= deadline) {
            break;
        }
        for scheduled in samplers.iter_mut().filter(|scheduled| scheduled.next <= now) {
            let interval = scheduled.sampler.view.interval;
            scheduled.next += interval;
            // After a pause of the whole machine, readings do not come in a row.
            if scheduled.next <= now {
                scheduled.next = now + interval;
            }
            // The reading at the end is made when the programs are detached.
            if deadline.is_some_and(|deadline| now + TOGETHER >= deadline) {
                continue;
            }
            output.read(&mut scheduled.sampler)?;
            scheduled.readings += 1;
        }
        if output.flush()? == Reader::Gone {
            return Ok(());
        }
        if let Some(count) = plan.count {
            let enough = match has_samplers {
                true => samplers.iter().all(|scheduled| scheduled.readings >= count),
                false => buffers.is_enough(),
            };
            if enough {
                return Ok(());
            }
        }
    }
    attached.detach();
    talk.detail("detached");
    if attached.prepared.buffers.drain(&mut output, true)? == Reader::Gone {
        return Ok(());
    }
    for scheduled in &mut samplers {
        output.read(&mut scheduled.sampler)?;
    }
    output.flush()?;
    Ok(())
}

/// Rendering and writing.
struct Output {
    format: Box<dyn Format>,
    sink: Sink,
    bytes: Vec<u8>,
}

impl Output {
    fn read(&mut self, sampler: &mut Sampler) -> Result<(), Failure> {
        let entries = sampler.read().map_err(|error| {
            let error = anyhow::Error::new(error);
            let error = error.context(format!("can not read the map `{}`", sampler.view.name));
            Failure::new(exit_code::OTHER, error)
        })?;
        self.format.reading(&sampler.view, &entries, &mut self.bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<Reader, Failure> {
        self.sink.write(&mut self.bytes)
    }
}

/// What ended a sleep.
struct Wake {
    signal: bool,
    buffers: bool,
}

/// Sleeps until a signal, a record, or `until`.
fn wait(signals: &Signals, buffers: &Buffers, until: Option<Instant>) -> Result<Wake, Failure> {
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    fds.extend(buffers.fds().into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let timeout = until.map(|until| {
        let left = until.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
    });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => {
            return Ok(Wake { signal: false, buffers: false });
        }
        Err(error) => return Err(failure::system("can not wait for data")(error)),
    }
    let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    Ok(Wake { signal: ready(&fds[0]), buffers: fds[1..].iter().any(ready) })
}
