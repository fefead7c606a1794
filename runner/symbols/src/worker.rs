// SPDX-License-Identifier: MIT
//! The process that reads other processes' files for ecli: ecli itself, under another name. What
//! it reads can be made to take all memory or all time, or vanish while it is mapped; then this
//! process ends, and ecli goes on without the names.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Resource, Rlimit, Signal};

use super::engine::Engine;
use super::setup::Setup;
use super::wire::{self, Reply, Request};
use bpfpack_sys::Signals;

/// The first word of the command line, by which ecli knows that it is to be the worker.
const NAME: &str = "ecli-symbols";

/// Starts the worker, with the other end of `stream` as its standard input.
pub fn command(setup: &Setup, stream: UnixStream) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(&setup.program);
    command
        .arg0(NAME)
        .arg(if setup.lines { "lines" } else { "names" })
        .arg(setup.memory.to_string())
        .env_clear()
        .current_dir("/")
        // Ctrl-C goes to all processes of a group: this one ends when ecli does.
        .process_group(0)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(stream)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Runs the worker where the command line asks for it; else returns none, and does nothing.
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
    // The end of ecli closes the stream, and that ends this process. While it is held up by a file,
    // it would not see it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let _signals = Signals::catch()?;
    // The program's path is one of /proc, which says nothing to who lists processes.
    rustix::thread::set_name(c"ecli-symbols")?;
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    rustix::process::setrlimit(Resource::Data, limit(memory))?;
    rustix::process::setrlimit(Resource::Core, limit(0))?;
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    serve(stream, &mut Engine::new(lines))
}

/// Answers questions until the other side closes the stream.
///
/// # Errors
/// When the stream fails, or a question is none.
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
