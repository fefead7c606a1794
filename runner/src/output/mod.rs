// SPDX-License-Identifier: MIT
//! The outputs, each with a format and a sink. All of them show the same frames.

pub(crate) mod check;
mod guests;
mod once;
mod one;
mod sink;

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bpfpack_frame::{Frame, Next, Reading, Records, Time};
use bpfpack_render::{Format, Key, Settings};
use bpfpack_spec::Source;
use rustix::event::PollFd;

use crate::args::OutputPlan;
use crate::failure::Failure;
use crate::sys::Signals;
use crate::talk::Talk;
pub(crate) use guests::Client;
use guests::Guests;
use once::Once;
use one::Output;
pub(crate) use sink::{ReaderState, Sink, Written, print};

/// How long a reading is drawn before the buffers are polled again.
const SLICE: Duration = Duration::from_millis(2);

/// The outputs of a run.
#[derive(Debug)]
pub(crate) struct Outputs {
    outputs: Vec<Output>,
    /// The number of records that may still be shown.
    left: u64,
    /// The number of records from stages that were shown, each counted once.
    shown: u64,
    /// Set by `--once`.
    once: Option<Once>,
    /// The outputs of clients.
    guests: Guests,
}

impl Outputs {
    /// Opens the outputs, which show at most `most` records.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(crate) fn open(
        formats: Vec<(OutputPlan, Box<dyn Format>)>,
        most: Option<u64>,
    ) -> Result<Outputs, Failure> {
        let output = |(plan, format): (OutputPlan, Box<dyn Format>)| {
            let sink = Sink::open(plan.file.as_ref())?;
            Ok(Output::new(format, plan.format.is_structured, sink))
        };
        let outputs = formats.into_iter().map(output).collect::<Result<Vec<_>, Failure>>()?;
        check::files(&outputs)?;
        let left = most.unwrap_or(u64::MAX);
        Ok(Outputs { outputs, left, shown: 0, once: None, guests: Guests::default() })
    }

    /// Adds an output that has no bytes.
    ///
    /// # Errors
    /// Returns an error if it cannot be opened.
    pub(crate) fn add(&mut self, format: Box<dyn Format>) -> Result<(), Failure> {
        let nowhere = Sink::open(Some(&"/dev/null".into()))?;
        self.outputs.push(Output::new(format, true, nowhere));
        Ok(())
    }

    /// Adds an output that shows nothing: clients see the data, which otherwise nobody sees.
    ///
    /// # Errors
    /// Returns an error if it cannot be opened.
    pub(crate) fn add_none(&mut self) -> Result<(), Failure> {
        self.add(Box::new(guests::Nothing))
    }

    /// Adds the output of a client. It shows the readings that the request with this number asks for,
    /// and records until a time.
    pub(crate) fn add_guest(
        &mut self,
        format: Box<dyn Format>,
        is_structured: bool,
        socket: UnixStream,
        sources: &[Source],
        until: (u64, Instant),
    ) {
        self.guests.add(format, is_structured, Sink::of_socket(socket), sources, until);
    }

    /// Ends the outputs of clients whose time is over; requests up to `answered` are complete.
    pub(crate) fn close_guests(&mut self, now: Instant, answered: u64) {
        self.guests.close(now, answered);
    }

    /// When the output of the next client ends.
    pub(crate) fn next_guest(&self) -> Option<Instant> {
        self.guests.next()
    }

    /// Limits the run to the first record, or to the first reading with data of each of `views`
    /// views.
    pub(crate) fn show_once(&mut self, views: usize) {
        (self.left, self.once) = (1, Some(Once::new(views)));
    }

    /// Starts the run with all of its sources.
    pub(crate) fn start(&mut self, sources: &[Source]) {
        for Output { format, sink, .. } in &mut self.outputs {
            format.start(sources, &mut sink.bytes);
        }
    }

    /// Ends the run.
    pub(crate) fn end(&mut self) {
        for Output { format, sink, .. } in &mut self.outputs {
            format.end(&mut sink.bytes);
        }
        self.guests.end();
    }

    /// Shows records of a source up to the limit. Returns how many. Records that are too short
    /// to contain any member of their type are shown only by outputs that show bytes.
    pub(crate) fn records(&mut self, records: &Records<'_>) -> u64 {
        let records = records.first(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut is_shown = !records.are_malformed;
        let outputs = self.outputs.iter_mut().filter(|output| !output.is_gone);
        for output in outputs.chain(self.guests.outputs()) {
            if !(records.are_malformed && output.is_structured) {
                output.format.records(&records, &mut output.sink.bytes);
                is_shown = true;
            }
        }
        let shown = if is_shown { records.bytes.len() as u64 } else { 0 };
        self.left -= shown;
        shown
    }

    /// The number of records that may still be shown.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Whether everything requested was shown. Limits on readings are counted elsewhere.
    pub(crate) fn is_enough(&self) -> bool {
        match &self.once {
            Some(once) if once.has_begun() => once.is_over() && !self.is_drawing(),
            _ => self.left == 0,
        }
    }

    /// Notes that a reading of a view has passed the stages.
    pub(crate) fn note_read(&mut self, view: usize) {
        self.once.iter_mut().for_each(|once| once.note_read(view));
    }

    /// The number of records from stages that were shown.
    pub(crate) fn shown(&self) -> u64 {
        self.shown
    }

    /// Removes all limits, so that what follows is shown.
    pub(crate) fn lift_limit(&mut self) {
        (self.left, self.once) = (u64::MAX, None);
    }

    /// Draws the current reading for a short time. Returns whether it is complete.
    pub(crate) fn draw(&mut self) -> bool {
        let since = Instant::now();
        let mut outputs = self.outputs.iter_mut().chain(self.guests.outputs());
        let mut drawing = outputs.next();
        while let Some(output) = &mut drawing
            && since.elapsed() < SLICE
        {
            if !output.draw_part() {
                drawing = outputs.next();
            }
        }
        drop(outputs);
        !self.is_drawing()
    }

    /// Whether a reading is being drawn.
    pub(crate) fn is_drawing(&self) -> bool {
        self.outputs.iter().any(|output| output.drawing.is_some()) || self.guests.are_drawing()
    }

    /// Discards what is not drawn yet. Returns the name of the reading that was cut short.
    pub(crate) fn cut_short(&mut self) -> Option<String> {
        let cut = |output: &mut Output| output.drawing.take().map(|(r, _)| r.source.name.clone());
        self.outputs.iter_mut().filter_map(cut).last()
    }

    fn finish_drawing(&mut self) {
        let outputs = self.outputs.iter_mut().chain(self.guests.outputs());
        outputs.for_each(|output| while output.draw_part() {});
    }

    /// Handles a key.
    pub(crate) fn press(&mut self, key: Key) {
        for Output { format, sink, .. } in &mut self.outputs {
            format.press(key, &mut sink.bytes);
        }
    }

    /// Draws live screens again after the terminal was resized.
    pub(crate) fn redraw(&mut self) {
        for Output { format, sink, .. } in &mut self.outputs {
            format.redraw(&mut sink.bytes);
        }
    }

    /// Writes what can be written without blocking. Returns `Gone` if a reader has closed its
    /// output.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written; the other outputs are written.
    pub(crate) fn flush(&mut self) -> Result<ReaderState, Failure> {
        self.guests.flush();
        let (mut reader, mut failure) = (ReaderState::There, None);
        for output in self.outputs.iter_mut().filter(|output| !output.is_gone) {
            match output.sink.flush() {
                Ok(ReaderState::There) => {}
                Ok(ReaderState::Gone) => (output.is_gone, reader) = (true, ReaderState::Gone),
                Err(error) => {
                    output.is_gone = true;
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(reader), Err)
    }

    /// Writes until each output has at most `rest` bytes left. It waits for slow readers until a
    /// signal arrives or `until` is reached. Returns `Gone` if no reader is left.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written; the other outputs are written.
    pub(crate) fn write_all(
        &mut self,
        rest: usize,
        until: Option<Instant>,
        signals: &Signals,
        talk: &Talk,
    ) -> Result<Written, Failure> {
        // Fast outputs are written before waiting for a slow reader.
        let mut failure = self.flush().err();
        let mut written = Written::All;
        for output in self.outputs.iter_mut().filter(|output| !output.is_gone) {
            match output.sink.write_all(rest, until, signals, talk) {
                Ok(Written::All) => {}
                Ok(Written::Gone) => output.is_gone = true,
                Ok(Written::GivenUp) => written = Written::GivenUp,
                Err(error) => {
                    output.is_gone = true;
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None if self.all_gone() => Ok(Written::Gone),
            None => Ok(written),
        }
    }

    /// Whether no reader is left.
    pub(crate) fn all_gone(&self) -> bool {
        self.outputs.iter().all(|output| output.is_gone)
    }

    /// Notes which readers are gone, from the results of poll(2) for the sinks.
    pub(crate) fn note_gone(&mut self, is_gone: impl Iterator<Item = bool>) {
        let there = self.outputs.iter_mut().filter(|output| !output.is_gone);
        there.zip(is_gone).for_each(|(output, is_gone)| output.is_gone = is_gone);
    }

    /// What to poll for the sinks whose readers are there.
    pub(crate) fn polls(&self) -> impl Iterator<Item = PollFd<'_>> {
        let there = self.outputs.iter().filter(|output| !output.is_gone);
        there.map(|output| {
            let (fd, events) = output.sink.waits_for();
            PollFd::from_borrowed_fd(fd, events)
        })
    }

    /// Whether all sinks have room for more.
    pub(crate) fn has_room(&self) -> bool {
        self.outputs.iter().all(|output| output.is_gone || output.sink.has_room())
    }

    /// Whether a sink has enough bytes for a write to be worthwhile.
    pub(crate) fn is_worth(&self) -> bool {
        self.outputs.iter().any(|output| output.sink.is_worth())
    }

    /// Bytes that are not written yet.
    pub(crate) fn waiting(&self) -> usize {
        let there = self.outputs.iter().filter(|output| !output.is_gone);
        there.map(|output| output.sink.left()).sum()
    }

    /// Bytes that were rendered since the sinks were last empty.
    pub(crate) fn drawn(&self) -> usize {
        self.outputs.iter().map(|output| output.sink.bytes.len()).sum()
    }

    /// Counts a frame of a stage. Returns whether it may be shown.
    fn may_show(&mut self) -> bool {
        let may = self.left > 0;
        self.left -= u64::from(may);
        may
    }

    /// Whether a reading may be shown. After the first one, no more records are shown.
    fn may_show_reading(&mut self, reading: &Reading) -> bool {
        let Some(once) = &mut self.once else { return true };
        let may = (self.left > 0 || once.has_begun()) && once.shows(reading);
        if once.has_begun() {
            self.left = 0;
        }
        may
    }
}

/// Takes frames from the stages and shows them in order.
impl Next for Outputs {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        self.finish_drawing();
        match frame {
            Frame::Records(records) => self.shown += self.records(records),
            Frame::Reading(reading) if !self.may_show_reading(&reading) => {}
            Frame::Reading(reading) => {
                self.outputs.iter_mut().for_each(|output| output.begin(&reading));
                self.guests.begin(&reading);
            }
            Frame::Text(time, text) if self.may_show() => self.text(time, text, Format::text),
            Frame::Json(time, json) if self.may_show() => self.text(time, json, Format::json),
            Frame::Text(..) | Frame::Json(..) => {}
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        Outputs::waiting(self)
    }
}

impl Outputs {
    fn text(
        &mut self,
        time: Time,
        text: &[u8],
        show: fn(&mut (dyn Format + 'static), Time, &[u8], &mut Vec<u8>),
    ) {
        let outputs = self.outputs.iter_mut().filter(|output| !output.is_gone);
        for Output { format, sink, .. } in outputs.chain(self.guests.outputs()) {
            show(&mut **format, time, text, &mut sink.bytes);
        }
    }
}

/// Creates the format of each output.
pub(crate) fn with_formats(
    plans: &[OutputPlan],
    settings: impl Fn(&OutputPlan) -> Settings,
) -> Vec<(OutputPlan, Box<dyn Format>)> {
    plans.iter().map(|plan| (plan.clone(), plan.format.format(&settings(plan)))).collect()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use bpfpack_frame::Entry;
    use bpfpack_spec::fixtures::{counter_view, stream};

    use bpfpack_render::formats;

    use super::*;

    fn settings(_: &OutputPlan) -> Settings {
        Settings::bare(bpfpack_render::utc)
    }

    fn outputs(names: &[&str], directory: &std::path::Path, most: Option<u64>) -> Outputs {
        let plan = |name: &&str| OutputPlan {
            format: formats::named(name).unwrap(),
            file: Some(directory.join(name)),
        };
        let plans: Vec<OutputPlan> = names.iter().map(plan).collect();
        Outputs::open(with_formats(&plans, settings), most).unwrap()
    }

    fn reading(count: u8) -> Frame<'static> {
        let entry = |key| Entry::new(&[key], &5u64.to_le_bytes());
        let entries = (0..count).map(entry).collect();
        let (source, time) = (Arc::new(counter_view()), Time::default());
        Frame::Reading(Rc::new(Reading::new(source, time, entries)))
    }

    #[test]
    fn all_outputs_show_the_same_frames_and_a_record_counts_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut outputs = outputs(&["json", "csv", "raw"], directory.path(), Some(2));
        let source = stream();
        outputs.start(&[Source::Stream(Arc::new(stream()))]);
        let bytes: [&[u8]; 3] = [b"\x07\0\0\0a\0\0\0", b"\x07\0\0\0b\0\0\0", b"\x07\0\0\0c\0\0\0"];
        for part in [&bytes[..1], &bytes[1..]] {
            for records in Records::by_type(&source, Time::default(), None, part) {
                outputs.frame(Frame::Records(&records)).unwrap();
            }
        }
        outputs.frame(reading(2)).unwrap();
        assert!(outputs.is_drawing() && outputs.draw() && !outputs.is_drawing());
        outputs.end();
        assert_eq!(
            (outputs.flush().unwrap(), outputs.shown(), outputs.left()),
            (ReaderState::There, 2, 0)
        );
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(
            read("json"),
            "{\"pid\":7,\"comm\":\"a\"}\n{\"pid\":7,\"comm\":\"b\"}\n\
             {\"key\":0,\"value\":5}\n{\"key\":1,\"value\":5}\n"
        );
        assert_eq!(read("csv"), "pid,comm\n7,a\n7,b\nkey,value\n0,5\n1,5\n");
        assert!(read("raw").starts_with("\u{7}\0\0\0a\0\0\0\u{7}\0\0\0b\0\0\0\0\u{5}\0"));
    }

    #[test]
    fn a_file_has_one_output_and_a_slow_reader_keeps_no_file_waiting() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("csv"), "").unwrap();
        std::os::unix::fs::symlink("csv", directory.path().join("json")).unwrap();
        let plans = ["json", "csv"].map(|name| OutputPlan {
            format: formats::named(name).unwrap(),
            file: Some(directory.path().join(name)),
        });
        let failure = Outputs::open(with_formats(&plans, settings), None).unwrap_err();
        assert!(format!("{failure:?}").contains("are the same file"), "{failure:?}");
        std::fs::remove_file(directory.path().join("json")).unwrap();

        // A pipe that is open for reading, but not read.
        let pipe = directory.path().join("json");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let _reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let mut outputs = outputs(&["json", "csv"], directory.path(), None);
        let many = vec![b'x'; 4 << 20];
        outputs.frame(Frame::Text(Time::default(), &many)).unwrap();
        let (signal, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (signals, talk) = (Signals::of_descriptor(signal.into()), Talk::silent());
        let now = Some(Instant::now());
        assert_eq!(outputs.write_all(0, now, &signals, &talk).unwrap(), Written::GivenUp);
        assert!(outputs.waiting() > 0);
        let written = std::fs::metadata(directory.path().join("csv")).unwrap().len();
        assert!(written >= many.len() as u64, "{written}");
    }

    #[test]
    fn records_that_are_too_short_are_shown_as_bytes_alone() {
        let directory = tempfile::tempdir().unwrap();
        let source = stream();
        let bytes: [&[u8]; 2] = [b"", b""];
        let records = Records::by_type(&source, Time::default(), None, &bytes).next().unwrap();
        assert_eq!(outputs(&["json"], directory.path(), None).records(&records), 0);
        assert_eq!(outputs(&["json", "raw"], directory.path(), Some(1)).records(&records), 1);
        assert_eq!(outputs(&["json", "raw"], directory.path(), None).records(&records), 2);
    }

    #[test]
    fn what_a_stage_makes_stands_behind_the_reading_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut outputs = outputs(&["json"], directory.path(), Some(1));
        outputs.frame(reading(1)).unwrap();
        outputs.frame(Frame::Text(Time::default(), b"behind")).unwrap();
        outputs.frame(Frame::Json(Time::default(), b"{}")).unwrap();
        outputs.frame(reading(1)).unwrap();
        assert_eq!(outputs.cut_short().as_deref(), Some("counts"));
        outputs.lift_limit();
        outputs.frame(Frame::Json(Time::default(), b"[]")).unwrap();
        outputs.flush().unwrap();
        let text = std::fs::read_to_string(directory.path().join("json")).unwrap();
        assert_eq!(text, "{\"key\":0,\"value\":5}\n{\"text\":\"behind\"}\n[]\n");
    }
}
