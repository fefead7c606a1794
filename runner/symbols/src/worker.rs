// SPDX-License-Identifier: MIT
//! The process that reads other processes' files for ecli: ecli under another name. These files can
//! be made to exhaust memory or time, or may vanish while they are mapped. Then this process ends,
//! and ecli continues without the names.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Resource, Rlimit, Signal};

use super::engine::Engine;
use super::setup::Setup;
use super::wire::{self, Reply, Request};
use bpfpack_sys::Signals;

/// The first word of its command line, which tells ecli to be the worker.
const NAME: &str = "ecli-symbols";

/// The command that starts the worker, with the other end of `stream` as its standard input.
pub fn command(setup: &Setup, stream: UnixStream) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(&setup.program);
    command
        .arg0(NAME)
        .arg(if setup.lines { "lines" } else { "names" })
        .arg(setup.memory.to_string())
        .env_clear()
        .current_dir("/")
        // Ctrl-C reaches all processes of a group, but this one ends when ecli does.
        .process_group(0)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(stream)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Runs the worker if the command line asks for it; otherwise returns `None` at once.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    if words.next()? != NAME {
        return None;
    }
    let lines = words.next()? == "lines";
    let memory = words.next()?.to_str()?.parse().ok()?;
    Some(match run(lines, memory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn run(lines: bool, memory: u64) -> io::Result<()> {
    // The end of ecli closes the stream, which ends this process. It would not notice that while a
    // file blocks it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let _signals = Signals::catch()?;
    // The program's path is in /proc, which is meaningless in process lists.
    rustix::thread::set_name(c"ecli-symbols")?;
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    rustix::process::setrlimit(Resource::Data, limit(memory))?;
    rustix::process::setrlimit(Resource::Core, limit(0))?;
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    serve(stream, &mut Engine::new(lines))
}

/// Handles requests until the other end closes the stream.
///
/// # Errors
/// Returns an error if the stream fails, or if a request is malformed.
pub fn serve(mut stream: UnixStream, engine: &mut Engine) -> io::Result<()> {
    let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
    loop {
        let mut length = [0; 4];
        match stream.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            result => result?,
        }
        let mut message = vec![0; wire::length(length).map_err(malformed)?];
        stream.read_exact(&mut message)?;
        let request = Request::decode(&message).map_err(malformed)?;
        let (generation, found) = match request.places.is_empty() {
            true => (engine.note(request.pid), Vec::new()),
            false => engine.user(request.pid, &request.places),
        };
        let given_up = engine.given_up();
        let reply = Reply { id: request.id, generation, found, given_up };
        stream.write_all(&reply.encode())?;
    }
}
