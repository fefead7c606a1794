// SPDX-License-Identifier: MIT
//! Connects sources, stages and outputs of a run. One loop takes records when the kernel reports
//! them, and readings when the readings' thread has one. Nothing else wakes it.

mod last;
mod polls;
mod prepared;
mod requests;
mod stages;

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bpfpack_frame::{Chain, Frame, Reading, Time};
use bpfpack_render::Key;
use bpfpack_spec::Source;

use crate::args::Plan;
use crate::attach::Attached;
use crate::command::Command;
use crate::detached::Control;
use crate::ending::{End, Ending, Found};
use crate::failure::{self, Failure};
use crate::keyboard::Keyboard;
use crate::losses::Losses;
use crate::metrics::{Exits, Metrics};
use crate::output::{Outputs, ReaderState};
use crate::source::called::{CalledPrograms, Step};
use crate::source::readings::{Event, Limits, Pass, Readings};
use crate::source::{Buffer, Pace, Round, Verdict};
use crate::sys::Signals;
use crate::talk::Talk;
use polls::{Polls, Wake};
use prepared::MakeFormat;
pub(crate) use prepared::Prepared;
use prepared::{Names, SharedSymbolizer};
use stages::through_stages;

/// Bytes that are rendered for one buffer before the loop continues: short records may have long
/// output.
const MOST_BYTES: usize = 1 << 20;

/// The default interval for calling programs if something else is shown, too.
const CALLS: Duration = Duration::from_secs(1);

/// How data leaves a run, apart from its outputs.
pub(crate) struct Ways<'w> {
    /// Where metrics go.
    pub(crate) exits: Option<Exits>,
    /// Tells the one who started a run in the background that nothing can fail any more before data
    /// flows. Returns the clients of such a run.
    pub(crate) control: &'w dyn Fn() -> Result<Option<Control>, Failure>,
}

impl std::fmt::Debug for Ways<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ways").field("exits", &self.exits).finish_non_exhaustive()
    }
}

/// Shows data until the plan, a signal or a stage ends the run; then detaches, and shows the
/// remaining data. Returns the exit code.
pub(crate) fn run(
    plan: &Plan,
    attached: Attached<Prepared>,
    command: Option<Command>,
    ways: Ways<'_>,
    signals: &Signals,
    talk: &Talk,
) -> Result<u8, Failure> {
    let start = Instant::now();
    let (tracing, prepared, counters) = attached.split();
    let Prepared { spec, chain, buffers, readers, formats, is_live, symbolizer, hurry, .. } =
        prepared;
    let make_format = prepared.make_format;
    let mut metrics = prepared.metrics;
    for note in buffers.iter().filter_map(Buffer::note) {
        talk.note(&note);
    }
    let limits = Limits {
        keys: plan.max_keys,
        // The previous reading, if differences are shown, and the reading being drawn take as much
        // again.
        bytes: usize::try_from(plan.memory() / 4).unwrap_or(usize::MAX),
        count: plan.count,
        deadline: plan.duration.map(|duration| start + duration),
    };
    hurry.watch(
        signals.try_clone().map_err(failure::system("cannot watch signals"))?,
        limits.deadline,
    );
    let called = tracing.called().map_err(failure::system("cannot open more files"))?;
    let only_calls = buffers.is_empty() && readers.is_empty() && tracing.only_calls();
    // If nothing else is shown, programs are called once, unless an interval is given.
    let interval = plan.interval.or((!only_calls).then_some(CALLS));
    let called = CalledPrograms::new(called, interval, start);
    let counts_records = readers.is_empty() && !only_calls;
    let mut outputs = Outputs::open(formats, plan.count.filter(|_| counts_records))?;
    let Ways { exits, control } = ways;
    if let (Some(metrics), Some(exits), Some(of)) = (&mut metrics, exits, &plan.metrics) {
        let programs = tracing.programs().map_err(failure::system("cannot open more files"))?;
        let started = metrics.start(of, exits, programs, talk)?;
        started.outputs.into_iter().try_for_each(|format| outputs.add(format))?;
        started.notes.iter().for_each(|note| talk.note(note));
    }
    let control = control()?;
    if control.is_some() && plan.outputs.is_empty() {
        outputs.add_none()?;
    }
    if plan.once && !only_calls {
        outputs.show_once(readers.len());
    }
    outputs.start(&spec.sources);
    let sources = spec.sources;
    // Names are looked up only if stacks are shown.
    let sees_stacks = symbolizer.is_some();
    let readings = Readings::start(readers, sees_stacks, start, limits)?;
    let keyboard = is_live.then(|| {
        talk.hold();
        Keyboard::open()
    });
    let mut run = Run {
        keyboard: keyboard.flatten(),
        buffers,
        readings,
        most_calls: match plan.interval {
            _ if !only_calls => None,
            Some(_) => plan.count.or(plan.once.then_some(1)),
            None => Some(plan.count.unwrap_or(1).min(1)),
        },
        called,
        returned: HashSet::new(),
        has_enough: false,
        has_quit: false,
        has_reading: false,
        names: None,
        chain,
        outputs,
        symbolizer,
        command,
        is_signalled: false,
        signals,
        pace: Pace::new(start),
        losses: Losses::new(counters, plan.strict),
        metrics,
        reads_for_scrapes: plan.outputs.is_empty(),
        control,
        make_format,
        sources,
        asked: 0,
        answered: 0,
        scrapes: Vec::new(),
        ending: Ending::new(hurry),
        talk,
    };
    let end = run.begin().and_then(|()| run.until(limits.deadline));
    run.ending.begin();
    let _maps = tracing.detach();
    talk.detail("detached");
    let shown = end.and_then(|end| run.finish(end));
    if shown.is_err() {
        // Output from before the failure is written, and a live screen is restored.
        run.outputs.end();
        let _ = run.write_all(0);
    }
    talk.release();
    shown?;
    if !run.outputs.all_gone() {
        let of_stages = run.chain.sees_records().then_some(run.outputs.shown());
        run.losses.close(&run.buffers, of_stages, talk)?;
    }
    let ended = run.command.take().and_then(|command| command.end(run.is_signalled));
    Ok(run.chain.stopped().or(ended).unwrap_or(0))
}

struct Run<'r> {
    /// The keys of a live screen.
    keyboard: Option<Keyboard>,
    buffers: Vec<Buffer>,
    readings: Option<Readings>,
    /// Programs that ecli calls at each interval.
    called: CalledPrograms,
    /// Return values that were reported.
    returned: HashSet<(String, u32)>,
    /// The maximum number of calls, if nothing else is shown.
    most_calls: Option<u64>,
    /// Each view was read as often as requested.
    has_enough: bool,
    /// A key has ended the run.
    has_quit: bool,
    /// A reading was taken and is being drawn.
    has_reading: bool,
    /// The stacks whose names are being looked up before a reading is shown.
    names: Option<Names>,
    chain: Chain,
    outputs: Outputs,
    /// Names the addresses of stacks, if stacks are shown.
    symbolizer: Option<SharedSymbolizer>,
    /// The command that runs and is traced.
    command: Option<Command>,
    /// A signal has ended the run.
    is_signalled: bool,
    signals: &'r Signals,
    pace: Pace,
    losses: Losses,
    /// The metrics, if any are served.
    metrics: Option<Metrics>,
    /// Whether a scrape reads maps. If other outputs show the readings, too, a scrape has those of
    /// the last interval.
    reads_for_scrapes: bool,
    /// The clients of a run in the background.
    control: Option<Control>,
    make_format: MakeFormat,
    sources: Vec<Source>,
    /// The number of the last request for readings.
    asked: u64,
    /// Requests up to this number are complete.
    answered: u64,
    /// Scrapes that wait for the readings of a request: the numbers of the request and the scrape.
    scrapes: Vec<(u64, u64)>,
    ending: Ending,
    talk: &'r Talk,
}

impl Run<'_> {
    /// Starts the stages, and then the command.
    fn begin(&mut self) -> Result<(), Failure> {
        // A stage may emit frames or stop the run when it starts.
        self.chain.begin(&mut self.outputs)?;
        self.command.iter_mut().try_for_each(Command::run)
    }

    /// Runs until a deadline, a signal, or the end of the command or of a reader.
    fn until(&mut self, deadline: Option<Instant>) -> Result<End, Failure> {
        let mut wake = Wake::default();
        loop {
            let is_gone = wake.gone || self.flush()? == ReaderState::Gone;
            let found = Found {
                is_gone,
                is_enough: (self.has_enough || self.chain.is_enough())
                    && !self.outputs.is_drawing(),
                none_left: self.outputs.is_enough(),
                is_signalled: wake.signal || self.has_quit,
                has_run: wake.command,
                is_stopped: self.chain.stopped().is_some(),
                is_over: deadline.is_some_and(|deadline| Instant::now() >= deadline),
            };
            if wake.signal {
                self.signals.take();
                self.is_signalled = true;
            }
            if let Some(end) = found.end() {
                return Ok(end);
            }
            // Frames after a reading may have drawn the rest of it.
            self.note_drawn();
            if self.control.is_some() {
                self.outputs.close_guests(Instant::now(), self.answered);
            }
            wake = self.wait(deadline)?;
            if wake.gone {
                continue;
            }
            if wake.size {
                self.signals.take_size();
                self.outputs.redraw();
            }
            if wake.keys {
                self.take_keys();
            }
            if wake.asks {
                self.signals.take_reading();
                self.ask();
                self.called.begin();
            }
            if wake.scrape {
                self.begin_scrape()?;
            }
            if wake.client {
                self.admit_clients();
            }
            if wake.buffers {
                let round = self.drain()?;
                self.pace.after(round, Instant::now());
                self.losses.look(&self.buffers, self.talk);
            }
            if self.outputs.has_room() {
                self.show_readings(wake.readings)?;
                self.call(Instant::now())?;
                // If the reader of an output is slow, ticks wait like everything else.
                if self.chain.next_tick().is_some_and(|at| at <= Instant::now()) {
                    self.chain.tick(&mut self.outputs)?;
                }
            }
        }
    }

    /// Handles the keys that were pressed.
    fn take_keys(&mut self) {
        match self.keyboard.as_ref().and_then(Keyboard::take) {
            Some(keys) => {
                self.has_quit |= keys.contains(&Key::Quit);
                keys.into_iter().for_each(|key| self.outputs.press(key));
            }
            // The terminal is gone.
            None => self.keyboard = None,
        }
    }

    /// Writes rendered output, unless more data follows at once: under load, several rounds are
    /// written together.
    fn flush(&mut self) -> Result<ReaderState, Failure> {
        match self.outputs.is_worth() || self.pace.nap() != Some(Duration::ZERO) {
            true => self.outputs.flush(),
            false => Ok(ReaderState::There),
        }
    }

    /// Sleeps until there is a signal, a record, a reading, or room in an output, or until `until`.
    fn wait(&mut self, until: Option<Instant>) -> Result<Wake, Failure> {
        let has_room = self.outputs.has_room();
        let nap = self.pace.nap().filter(|_| has_room);
        let tick = self.chain.next_tick().filter(|_| has_room);
        let call = self.called.next().filter(|_| has_room);
        let draws = self.outputs.is_drawing() || self.names.is_some();
        let is_busy = has_room && (draws || self.called.is_busy());
        // The time of a client may be over before its readings are complete.
        let guest = self.outputs.next_guest().filter(|until| *until > Instant::now());
        let times = until.into_iter().chain(tick).chain(call).chain(guest);
        let left = times.map(|until| until.saturating_duration_since(Instant::now())).min();
        let at_once = is_busy.then_some(Duration::ZERO);
        let timeout = nap.into_iter().chain(left).chain(at_once).min();
        let mut polls = Polls::default();
        let signal = polls.add_reads([self.signals.as_fd()]);
        let asks = polls.add_reads(self.signals.reading());
        let command = polls.add_reads(self.command.iter().map(Command::as_fd));
        // poll(2) always reports that a reader has gone.
        let outputs = polls.add(self.outputs.polls());
        // Only one reading is shown at a time.
        let takes_readings = has_room && !draws;
        let readings = self.readings.iter().filter(|_| takes_readings);
        let readings = polls.add_reads(readings.map(Readings::as_fd));
        let keys = polls.add_reads(self.keyboard.iter().map(Keyboard::as_fd));
        let size = polls.add_reads(self.signals.size());
        let scrape = polls.add_reads(self.metrics.iter().map(AsFd::as_fd));
        let client = polls.add_reads(self.control.iter().map(AsFd::as_fd));
        let takes_records = has_room && nap.is_none() && self.outputs.left() > 0;
        let buffers = self.buffers.iter().filter(|_| takes_records);
        let buffers = polls.add_reads(buffers.map(Buffer::fd));
        if !polls.wait(timeout)? {
            return Ok(Wake::default());
        }
        let are_gone = polls.are_gone(outputs);
        let wake = Wake {
            signal: polls.is_ready(signal),
            asks: polls.is_ready(asks),
            command: polls.is_ready(command),
            gone: are_gone.contains(&true),
            readings: polls.is_ready(readings),
            keys: polls.is_ready(keys),
            size: polls.is_ready(size),
            scrape: polls.is_ready(scrape),
            client: polls.is_ready(client),
            buffers: nap.is_some() || polls.is_ready(buffers),
        };
        if wake.gone {
            self.outputs.note_gone(are_gone.into_iter());
        }
        Ok(wake)
    }

    /// Takes a round of each buffer through the stages to the outputs.
    fn drain(&mut self) -> Result<Round, Failure> {
        let Run { buffers, chain, outputs, .. } = self;
        let mut round = Round::default();
        for buffer in buffers {
            if chain.is_enough() {
                break;
            }
            if !chain.sees_records() {
                let most = usize::try_from(outputs.left()).unwrap_or(usize::MAX);
                if most == 0 {
                    break;
                }
                let most_drawn = outputs.drawn() + MOST_BYTES;
                buffer.drain(most, &mut round, |records| Verdict {
                    taken: outputs.records(records),
                    goes_on: outputs.drawn() < most_drawn,
                })?;
            } else {
                through_stages(buffer, chain, outputs, &mut round)?;
            }
            buffer.report_malformed(self.talk);
        }
        Ok(round)
    }

    /// Continues with readings; `is_ready` says that the readings' thread has sent something.
    fn show_readings(&mut self, is_ready: bool) -> Result<(), Failure> {
        if let (Some(names), Some(symbolizer)) = (&mut self.names, &self.symbolizer) {
            if !names.look_for(&mut symbolizer.borrow_mut()) {
                return Ok(());
            }
            self.names = None;
            self.readings.iter().for_each(Readings::done);
        }
        if self.outputs.is_drawing() && !self.outputs.draw() {
            return Ok(());
        }
        self.note_drawn();
        if is_ready
            && !self.chain.is_enough()
            && let Some(event) = self.readings.as_ref().and_then(Readings::take)
        {
            self.take_event(event)?;
            self.outputs.draw();
            self.note_drawn();
        }
        Ok(())
    }

    /// Calls programs that are due, for a short time.
    fn call(&mut self, now: Instant) -> Result<(), Failure> {
        match self.called.step(now)? {
            Step::None => {}
            Step::Text(text) if text.is_empty() => {}
            Step::Text(text) => {
                self.chain.frame(Frame::Text(Time::now(), &text), &mut self.outputs)?;
                self.chain.flush(&mut self.outputs)?;
            }
            Step::Returned(_, 0) => {}
            Step::Returned(name, code) => {
                if self.returned.insert((name.clone(), code)) {
                    self.talk.warning(&format!("`{name}` returned {}", code.cast_signed()));
                }
            }
        }
        self.has_enough |= self.most_calls.is_some_and(|most| self.called.rounds() >= most);
        Ok(())
    }

    /// Lets the readings' thread continue after its reading was drawn.
    fn note_drawn(&mut self) {
        if self.has_reading && !self.outputs.is_drawing() {
            self.has_reading = false;
            self.readings.iter().for_each(Readings::done);
        }
    }

    /// Handles an event of the readings' thread.
    fn take_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Reading(pass) => {
                let Pass { view, time, entries, hidden, is_partial, elements, left_out } = pass;
                let index = view.index;
                if let Some(metrics) = &mut self.metrics {
                    metrics.note_elements(&view.name, elements);
                }
                let reading = Reading { hidden, is_partial, ..Reading::new(view, time, entries) };
                let reading = Frame::Reading(reading.into());
                self.has_reading = true;
                self.chain.frame(reading, &mut self.outputs)?;
                self.chain.flush(&mut self.outputs)?;
                self.outputs.note_read(index);
                left_out.iter().for_each(|text| self.talk.warning(text));
            }
            Event::Seen(view, entries) => self.names = Some(Names::new(view, entries)),
            Event::Enough => self.has_enough = true,
            Event::Answered(number) => {
                self.note_answered(number)?;
                self.readings.iter().for_each(Readings::done);
            }
            Event::Failed(failure) => return Err(failure),
        }
        Ok(())
    }
}
