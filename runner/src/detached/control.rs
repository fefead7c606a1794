// SPDX-License-Identifier: MIT
//! How other commands ask a run in the background for data. A client sends one line, a [`Request`] in
//! JSON; the run answers with one line, an [`Answer`], and then sends data in the format that was asked
//! for, until the time is over.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bpfpack_render::{FormatKind, formats};
use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};

use crate::failure::{self, Failure};
use crate::output::Client;

/// The version of requests and answers.
pub(super) const VERSION: u32 = 1;

/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest request, in bytes.
const MOST: u64 = 4096;

/// Clients that wait for the loop of the run.
const WAITING: usize = 16;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) version: u32,
    /// The name of the format.
    pub(super) format: String,
    /// How long records are sent, in milliseconds. Maps are read once in any case.
    pub(super) milliseconds: u64,
    /// Whether meanings are shown; `None` leaves it to the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) meanings: Option<bool>,
}

/// The first line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Why nothing follows; `None` if data follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// The clients of a run.
#[derive(Debug)]
pub(crate) struct Control {
    clients: Receiver<Client>,
    /// Readable when a client waits.
    wake: Arc<OwnedFd>,
}

impl Control {
    /// Listens at a path, in a directory that belongs to this user alone.
    ///
    /// # Errors
    /// Returns an error if the socket cannot be made or no thread can be started.
    pub(super) fn listen(path: &Path) -> Result<Control, Failure> {
        let failed = "cannot make the socket of the run";
        let listener = UnixListener::bind(path).map_err(failure::system(failed))?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let wake = wake.map(Arc::new).map_err(failure::system(failed))?;
        let (send, clients) = sync_channel(WAITING);
        let woken = Arc::clone(&wake);
        let accept = move || {
            for stream in listener.incoming() {
                // The process has no descriptors left; some may be free later.
                let Ok(stream) = stream else {
                    std::thread::sleep(PATIENCE);
                    continue;
                };
                // A client that goes away gets no answer.
                if !matches!(admit(stream, &send, &woken), Ok(true) | Err(_)) {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("control".into())
            .spawn(accept)
            .map_err(failure::system("cannot start a thread"))?;
        Ok(Control { clients, wake })
    }

    /// The next client that waits. Call it until there is none.
    pub(crate) fn take(&self) -> Option<Client> {
        // In this order: a client that comes after the last one was taken wakes again.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        self.clients.try_recv().ok()
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Reads a request, and gives the client to the run. Returns false if the run has ended.
fn admit(stream: UnixStream, to: &SyncSender<Client>, wake: &OwnedFd) -> io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(MOST)).read_line(&mut line)?;
    let answer = |error: Option<String>| -> io::Result<()> {
        let mut text = serde_json::to_string(&Answer { error })?;
        text.push('\n');
        (&stream).write_all(text.as_bytes())
    };
    match parse(&line) {
        Ok((format, meanings, lasts)) => {
            answer(None)?;
            let is_alive = to.send(Client { stream, format, meanings, lasts }).is_ok();
            rustix::io::write(wake, &1u64.to_ne_bytes())?;
            Ok(is_alive)
        }
        Err(error) => answer(Some(error)).map(|()| true),
    }
}

/// The format, whether meanings are shown, and how long records are sent.
fn parse(line: &str) -> Result<(&'static FormatKind, bool, Duration), String> {
    let request: Request =
        serde_json::from_str(line).map_err(|error| format!("not a request: {error}"))?;
    if request.version != VERSION {
        return Err(format!(
            "the run has version {VERSION} of this protocol, not {}: use the ecli that started it",
            request.version
        ));
    }
    let format = formats::named(&request.format);
    let format = format.ok_or_else(|| format!("unknown format `{}`", request.format))?;
    let meanings = request.meanings.unwrap_or(format.has_meanings);
    Ok((format, meanings, Duration::from_millis(request.milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_say_what_they_want() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let control = Control::listen(&path).unwrap();
        let ask = |line: &str| {
            let mut stream = UnixStream::connect(&path).unwrap();
            writeln!(stream, "{line}").unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            answer
        };
        assert_eq!(ask(r#"{"version":1,"format":"json","milliseconds":5}"#), "{}\n");
        let client = loop {
            if let Some(client) = control.take() {
                break client;
            }
        };
        assert_eq!((client.format.name, client.meanings), ("json", false));
        assert_eq!(client.lasts, Duration::from_millis(5));
        assert!(control.take().is_none());
        assert!(ask("{}").contains("not a request"));
        assert!(ask(r#"{"version":2,"format":"json","milliseconds":5}"#).contains("version 1"));
        assert!(ask(r#"{"version":1,"format":"xml","milliseconds":5}"#).contains("`xml`"));
    }
}
