// SPDX-License-Identifier: MIT
//! A server to which nobody talks does nothing. It is the only test of its process, whose threads
//! are counted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bpfpack_listen::{Activation, Config, Listener, Response, Server};

/// How often the threads of the server, of all in a directory of /proc, went to sleep.
fn sleeps(tasks: fs::ReadDir) -> u64 {
    let of_thread = |task: std::io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let value = |name| status.lines().find_map(|line| line.strip_prefix(name));
        let count = value("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()?;
        value("Name:")?.trim().starts_with("http-").then_some(count)
    };
    tasks.filter_map(of_thread).sum()
}

#[test]
fn an_idle_server_does_nothing() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &Activation::none()).unwrap();
    let server = Server::start(listener, Config::default(), |_| Response::text(200, "x")).unwrap();
    let mut idle = TcpStream::connect(server.addresses()[0].to_string()).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    while idle.read(&mut [0; 1]).unwrap() == 1 {
        idle.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        if idle.peek(&mut [0; 1]).is_err() {
            break;
        }
    }
    let sleeps = || sleeps(fs::read_dir("/proc/self/task").unwrap());
    let before = sleeps();
    assert!(before > 0);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sleeps(), before);
    server.stop();
    assert_eq!(sleeps(), 0, "its threads have ended");
}
