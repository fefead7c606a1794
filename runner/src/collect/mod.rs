// SPDX-License-Identifier: MIT
//! One loop over everything that brings data: buffers, when the kernel wakes us, and the readings
//! that a thread makes by the clock. Nothing else wakes us.

mod bounds;
mod buffers;
mod lines;
pub mod losses;
pub mod maps;
mod pace;
mod printk;
mod readings;
mod sampler;
mod shown;

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use libbpf_rs::Object;
use rustix::event::{PollFd, PollFlags, poll};

use crate::args::Plan;
use crate::attach::Attached;
use crate::failure::{self, Failure, exit_code};
use crate::memory;
use crate::os;
use crate::render::{Format, Settings};
use crate::sink::{Reader, Sink, Written};
use crate::symbols::Hurry;
use crate::sys::Signals;
use crate::talk::Talk;
use crate::view::{Sample, StreamKind, Views};
use crate::wasm::Chain;
use buffers::{Buffer, Mark, Round, Taken};
use losses::Losses;
use pace::Pace;
use readings::{Limits, Readings, Said};
use shown::Shown;

pub use lines::stream as lines;

/// What is left at the end has so much time at least, however many signals come: timeout(1) sends its
/// signal to the process and to its group.
const LEAST: Duration = Duration::from_millis(300);

/// How long the readings' thread may take to end once nothing is wanted of it.
const GIVEN_UP: Duration = Duration::from_millis(500);

/// A program that was running when it was detached has ended after this.
const LAST_RECORDS: Duration = Duration::from_millis(2);

/// What data comes from, opened, and the format that shows it.
#[derive(Debug)]
pub struct Sources {
    samples: Vec<Sample>,
    buffers: Vec<Buffer>,
    settings: Settings,
    format: Box<dyn Format>,
    chain: Option<Chain>,
}

impl Sources {
    /// Opens what the views need. Modules see it before it is shown.
    pub fn open(
        plan: &Plan,
        object: &Object,
        views: Views,
        chain: Option<Chain>,
    ) -> Result<Sources, Failure> {
        let settings = Settings::new(plan, &views, chain.as_ref().map_or(0, Chain::count_declared));
        let perf = views.streams.iter().filter_map(|stream| match stream.kind {
            StreamKind::Perf { pages } => Some((&*stream.name, pages)),
            _ => None,
        });
        memory::check_perf(perf, plan.max_memory)?;
        let buffers = buffers::open(object, views.streams)?;
        // Here, and not when the first record is there: the kernel's names may have to be read.
        let format = settings.format();
        Ok(Sources { samples: views.samples, buffers, settings, format, chain })
    }
}

/// Why the loop ended.
enum End {
    /// A signal, or the time: what is left is shown.
    Detach,
    /// As many readings or records as were asked for.
    Enough,
    /// Nobody reads the output any more.
    Gone,
}

/// Shows everything until the end that the plan, a signal or a module sets; then detaches, and shows
/// what is left. Returns the exit code.
pub fn run(
    plan: &Plan,
    attached: Attached<Sources>,
    signals: &Signals,
    talk: &Talk,
) -> Result<u8, Failure> {
    let start = Instant::now();
    let (tracing, sources, counters) = attached.split();
    let Sources { samples, buffers, settings, format, chain } = sources;
    let sink = Sink::open(plan.output.as_ref())?;
    for note in buffers.iter().filter_map(Buffer::note) {
        talk.note(&note);
    }
    let limits = Limits {
        keys: plan.max_keys,
        // As much again is kept of the reading before, where differences are shown, and drawn.
        bytes: usize::try_from(plan.memory() / 4).unwrap_or(usize::MAX),
        count: plan.count,
        deadline: plan.duration.map(|duration| start + duration),
    };
    let hurry = settings.hurry();
    hurry.watch(
        signals.try_clone().map_err(failure::system("cannot watch signals"))?,
        limits.deadline,
    );
    let most = plan.count.filter(|_| samples.is_empty());
    let mut run = Run {
        buffers,
        readings: Readings::start(
            samples,
            !chain.as_ref().is_some_and(Chain::takes_samples),
            start,
            limits,
            &settings,
        )?,
        format,
        chain,
        shown: 0,
        sink,
        signals,
        left: most.unwrap_or(u64::MAX),
        pace: Pace::new(start),
        losses: Losses::new(counters, plan.strict),
        ending: Ending::new(hurry),
        talk,
    };
    let end = run.until(limits.deadline);
    run.ending.begin();
    let _maps = tracing.detach();
    talk.detail("detached");
    let reader = end.and_then(|end| run.finish(&end)).inspect_err(|_| {
        // What was made before the failure is shown.
        let _ = run.flush_all(0);
    })?;
    if matches!(reader, Reader::There) {
        let of_modules = run.chain.is_some().then_some(run.shown);
        run.losses.close(&run.buffers, of_modules, talk)?;
    }
    Ok(run.chain.as_ref().and_then(Chain::stopped).unwrap_or(0))
}

struct Run<'r> {
    buffers: Vec<Buffer>,
    readings: Option<Readings>,
    format: Box<dyn Format>,
    /// The modules that see what is found before it is shown.
    chain: Option<Chain>,
    /// What they have had shown.
    shown: u64,
    sink: Sink,
    signals: &'r Signals,
    /// Records that may still be shown.
    left: u64,
    pace: Pace,
    losses: Losses,
    ending: Ending,
    talk: &'r Talk,
}

/// The end of a run, which signals can shorten.
#[derive(Debug)]
struct Ending {
    hurry: Hurry,
    /// A signal came while what is left was read, or written.
    is_signalled: bool,
}

impl Ending {
    fn new(hurry: Hurry) -> Ending {
        Ending { hurry, is_signalled: false }
    }

    /// The run ends now.
    fn begin(&self) {
        self.hurry.begin();
    }

    /// When nothing is waited for any more, because a signal came.
    fn deadline(&self) -> Option<Instant> {
        self.hurry.since().filter(|_| self.is_signalled).map(|since| since + LEAST)
    }

    /// Whether nothing is waited for any more.
    fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// What ended a sleep.
#[derive(Debug, Default)]
struct Wake {
    signal: bool,
    /// The reader of the output has gone.
    gone: bool,
    readings: bool,
    buffers: bool,
}

impl Run<'_> {
    /// Runs until a deadline, a signal, or the end of the reader.
    fn until(&mut self, deadline: Option<Instant>) -> Result<End, Failure> {
        if let Some(end) = self.begin()? {
            return Ok(end);
        }
        loop {
            let wake = self.wait(deadline)?;
            if wake.gone {
                return Ok(End::Gone);
            }
            if wake.buffers {
                let round = self.drain()?;
                self.pace.after(round, Instant::now());
                self.losses.look(&self.buffers, self.talk);
            }
            if wake.readings && self.take_readings()? {
                return Ok(End::Enough);
            }
            self.tick()?;
            // Under load several rounds are written at once.
            if (self.sink.is_worth() || self.pace.nap() != Some(Duration::ZERO))
                && self.sink.flush()? == Reader::Gone
            {
                return Ok(End::Gone);
            }
            if self.left == 0 {
                return Ok(End::Enough);
            }
            if wake.signal {
                self.signals.take();
            }
            let has_stopped = self.chain.as_ref().is_some_and(|chain| chain.stopped().is_some());
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if wake.signal || has_stopped || is_over {
                return Ok(End::Detach);
            }
        }
    }

    /// Shows what modules have said at their start, which may have been the end, too.
    fn begin(&mut self) -> Result<Option<End>, Failure> {
        let Some((chain, mut shown)) = self.modules() else { return Ok(None) };
        shown.format.now();
        chain.begin(&mut shown)?;
        let has_stopped = chain.stopped().is_some();
        Ok(match self.sink.flush()? {
            Reader::Gone => Some(End::Gone),
            Reader::There if self.left == 0 => Some(End::Enough),
            Reader::There => has_stopped.then_some(End::Detach),
        })
    }

    /// Sleeps until a signal, a record, a reading, a reader that goes on, or `until`.
    fn wait(&self, until: Option<Instant>) -> Result<Wake, Failure> {
        let has_room = self.sink.has_room();
        let nap = self.pace.nap().filter(|_| has_room);
        let tick = self.chain.as_ref().and_then(Chain::next_tick).filter(|_| has_room);
        let times = until.into_iter().chain(tick);
        let left = times.map(|until| until.saturating_duration_since(Instant::now())).min();
        let timeout = nap.into_iter().chain(left).min();
        // That nobody reads the output any more is told without being asked for.
        let (sink, for_sink) = self.sink.waits_for();
        let mut fds = vec![
            PollFd::new(self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(sink, for_sink),
        ];
        let mut at_readings = None;
        if let Some(readings) = self.readings.as_ref().filter(|_| has_room) {
            at_readings = Some(fds.len());
            fds.push(PollFd::new(readings, PollFlags::IN));
        }
        let at_buffers = fds.len();
        if has_room && nap.is_none() {
            let fds_of = self.buffers.iter().map(Buffer::fd);
            fds.extend(fds_of.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        }
        let timeout = timeout.map(os::timespec);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Wake::default()),
            Err(error) => return Err(failure::system("can not wait for data")(error)),
        }
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok(Wake {
            signal: ready(&fds[0]),
            gone: fds[1].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            readings: at_readings.is_some_and(|at| ready(&fds[at])),
            buffers: nap.is_some() || fds[at_buffers..].iter().any(ready),
        })
    }

    /// Takes a round of each buffer, and renders it.
    fn drain(&mut self) -> Result<Round, Failure> {
        let Run { buffers, format, chain, sink, left, shown, .. } = self;
        let mut round = Round::default();
        format.now();
        if let Some(chain) = chain {
            chain.now();
            let mut shown = Shown { format: &mut **format, out: &mut sink.bytes, left, shown };
            for buffer in buffers {
                shown.through(chain, buffer, &mut round)?;
                buffer.tell_malformed(self.talk);
            }
            return Ok(round);
        }
        for buffer in buffers {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            if most == 0 {
                break;
            }
            let shown = buffer.shown;
            let out = &mut sink.bytes;
            let begin = out.len();
            buffer.drain(most, &mut round, |stream, _cpu, record| Taken {
                is_shown: format.record(stream, record, out),
                goes_on: out.len() - begin < MOST_BYTES,
            })?;
            *left = left.saturating_sub(buffer.shown - shown);
            buffer.tell_malformed(self.talk);
        }
        Ok(round)
    }

    /// What modules are called with, and where what they let through goes.
    fn modules(&mut self) -> Option<(&mut Chain, Shown<'_>)> {
        let Run { chain, format, sink, left, shown, .. } = self;
        let shown = Shown { format: &mut **format, out: &mut sink.bytes, left, shown };
        Some((chain.as_mut()?, shown))
    }

    /// Calls modules whose time has come.
    fn tick(&mut self) -> Result<(), Failure> {
        // Where the reader of the output is slow, ticks wait, as all else does.
        if !self.sink.has_room() {
            return Ok(());
        }
        match self.modules() {
            Some((chain, mut shown))
                if chain.next_tick().is_some_and(|at| at <= Instant::now()) =>
            {
                shown.format.now();
                chain.tick(&mut shown)
            }
            _ => Ok(()),
        }
    }

    /// Takes a reading that the thread has drawn, or that modules are to see.
    fn show_reading(&mut self, said: Said) -> Result<(), Failure> {
        match said {
            Said::Chunk(chunk) => self.format.chunk(chunk, &mut self.sink.bytes),
            Said::Reading(view, entries) => {
                if let Some((chain, mut shown)) = self.modules() {
                    shown.format.now();
                    chain.sample(view, &entries, &mut shown)?;
                }
            }
            Said::LeftOut(text) => self.talk.warning(&text),
            Said::Enough => {}
            Said::Failed(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Takes what the readings' thread has said; true when it has read often enough.
    fn take_readings(&mut self) -> Result<bool, Failure> {
        let mut is_enough = false;
        let said: Vec<Said> = self.readings.iter().flat_map(Readings::said).collect();
        for said in said {
            is_enough |= matches!(said, Said::Enough);
            self.show_reading(said)?;
        }
        Ok(is_enough)
    }

    /// Shows what is left in the buffers, and, unless there was enough, a last reading.
    fn finish(&mut self, end: &End) -> Result<Reader, Failure> {
        if matches!(end, End::Gone) {
            return Ok(Reader::Gone);
        }
        if !self.buffers.is_empty() && self.left > 0 {
            std::thread::sleep(LAST_RECORDS);
            // Programs of others may write on: what was there when ours ended is read.
            let mut marks: Vec<Mark> = self.buffers.iter().map(Buffer::mark).collect();
            loop {
                let round = self.drain()?;
                if self.flush_all(ROOM_AT_END)? == Reader::Gone {
                    return Ok(Reader::Gone);
                }
                let ends = self.buffers.iter().zip(&mut marks);
                let is_all = ends.fold(true, |all, (buffer, mark)| buffer.has_reached(mark) && all);
                if is_all || round.taken == 0 && !round.more || self.left == 0 {
                    break;
                }
                if self.is_impatient() {
                    self.talk
                        .warning("a signal came while the last records were read: some are left");
                    break;
                }
            }
        }
        if matches!(end, End::Detach) && self.last_readings()? == Reader::Gone {
            return Ok(Reader::Gone);
        }
        // A summary is shown, however many records were asked for.
        self.left = u64::MAX;
        if let Some((chain, mut shown)) = self.modules() {
            shown.format.now();
            chain.end(&mut shown)?;
        }
        self.flush_all(0)
    }

    /// Shows a last reading of each view, or what was read of it when a signal came.
    fn last_readings(&mut self) -> Result<Reader, Failure> {
        if let Some(readings) = &self.readings {
            readings.finish();
        }
        let mut given_up = None;
        while let Some(readings) = &self.readings {
            match readings.next(Duration::from_millis(20)) {
                Ok(said) => self.show_reading(said)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.flush_all(ROOM_AT_END)? == Reader::Gone {
                return Ok(Reader::Gone);
            }
            if self.is_impatient() {
                let since = *given_up.get_or_insert_with(Instant::now);
                self.readings.iter().for_each(Readings::give_up);
                if since.elapsed() > GIVEN_UP {
                    self.talk.warning("a signal came while the maps were read: not all is shown");
                    break;
                }
            }
        }
        Ok(Reader::There)
    }

    /// Whether somebody has sent another signal since the end began.
    fn is_impatient(&mut self) -> bool {
        if self.signals.have_come() {
            self.signals.take();
            self.ending.is_signalled = true;
        }
        self.ending.is_over()
    }

    /// Writes until at most `rest` bytes are left, waiting for a slow reader; another signal ends
    /// that. What does not block, as a file, is written in any case.
    fn flush_all(&mut self, rest: usize) -> Result<Reader, Failure> {
        loop {
            let until = self.ending.deadline();
            match self.sink.write_all(rest, until, self.signals, self.talk)? {
                Written::All => return Ok(Reader::There),
                Written::Gone => return Ok(Reader::Gone),
                Written::GivenUp if self.ending.is_over() => {
                    return Err(given_up(self.sink.left()));
                }
                Written::GivenUp => {
                    self.signals.take();
                    self.ending.is_signalled = true;
                }
            }
        }
    }
}

/// Nobody reads the output, and a signal says not to wait.
fn given_up(left: usize) -> Failure {
    let error = anyhow::anyhow!(
        "{left} bytes of output were not written, and records may be left: a signal came while \
         the reader of the output took nothing"
    );
    Failure::new(exit_code::OUTPUT, error)
}

/// Bytes that are rendered of a buffer before the loop goes on: records may be short, and what is
/// made of them long.
const MOST_BYTES: usize = 1 << 20;

/// Bytes that may wait while the last records are read.
const ROOM_AT_END: usize = 1 << 20;
