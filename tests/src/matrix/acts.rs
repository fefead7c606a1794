// SPDX-License-Identifier: MIT
//! What triggers programs: each activity does something a known number of times.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tempfile::TempDir;

use crate::sys::{self, network, probed};

/// How long a packet may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of the interface for programs of the kind `netkit`.
pub(super) const NETKIT: &str = "netkit0";

/// An activity. It gets the number of times.
pub(super) type Act = fn(u64) -> io::Result<()>;

/// Nothing.
pub(super) fn nothing(_: u64) -> io::Result<()> {
    Ok(())
}

/// Time in which others do something.
pub(super) fn time(_: u64) -> io::Result<()> {
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// Work for the CPU.
pub(super) fn spin(_: u64) -> io::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        std::hint::spin_loop();
    }
    Ok(())
}

/// A system call.
pub(super) fn getpgid(count: u64) -> io::Result<()> {
    (0..count).for_each(|number| sys::carry(number as i32));
    Ok(())
}

/// Files that are removed.
pub(super) fn unlinks(count: u64) -> io::Result<()> {
    let dir = TempDir::new()?;
    let path = |number| dir.path().join(format!("{number}"));
    (0..count).try_for_each(|number| File::create(path(number)).map(drop))?;
    (0..count).try_for_each(|number| fs::remove_file(path(number)))
}

/// Files that are opened.
pub(super) fn opens(count: u64) -> io::Result<()> {
    (0..count).try_for_each(|_| File::open("/proc/version").map(drop))
}

/// Reads and writes of a byte, each this many times.
pub(super) fn reads_and_writes(count: u64) -> io::Result<()> {
    let (mut zero, mut null) =
        (File::open("/dev/zero")?, File::options().write(true).open("/dev/null")?);
    for _ in 0..count {
        zero.read_exact(&mut [0])?;
        null.write_all(&[0])?;
    }
    Ok(())
}

/// Calls of a function of this program.
pub(super) fn calls(count: u64) -> io::Result<()> {
    (0..count).for_each(|_| probed::bpfpack_probed());
    Ok(())
}

/// Programs that the kernel runs for a test.
pub(super) fn test_runs(count: u64) -> io::Result<()> {
    sys::run_programs(count)
}

/// Packets to this machine that arrive, between sockets without connections.
pub(super) fn packets(count: u64) -> io::Result<()> {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    to.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..count {
        from.send_to(b"packet", to.local_addr()?)?;
        to.recv_from(&mut [0; 16])?;
    }
    Ok(())
}

/// Packets that may get lost on the way.
pub(super) fn lost_packets(count: u64) -> io::Result<()> {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    (0..count).try_for_each(|_| from.send_to(b"packet", to.local_addr()?).map(drop))?;
    std::thread::sleep(Duration::from_millis(100));
    Ok(())
}

/// Packets through the loopback interface that have the header of no protocol.
pub(super) fn raw_packets(count: u64) -> io::Result<()> {
    network::send_raw("lo", &[0x45; 64], count)
}

/// Packets through the interface [`NETKIT`].
pub(super) fn netkit_packets(count: u64) -> io::Result<()> {
    network::send_raw(NETKIT, &[0x45; 64], count)
}

/// Sockets that are bound and closed.
pub(super) fn binds(count: u64) -> io::Result<()> {
    (0..count).try_for_each(|_| UdpSocket::bind("127.0.0.1:0").map(drop))
}

/// Connections.
pub(super) fn connects(count: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..count {
        let _stream = TcpStream::connect(listener.local_addr()?)?;
        listener.accept()?;
    }
    Ok(())
}

/// Connections by sockets of the file system.
pub(super) fn unix_connects(count: u64) -> io::Result<()> {
    let dir = TempDir::new()?;
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    for _ in 0..count {
        let _stream = UnixStream::connect(&path)?;
        listener.accept()?;
    }
    Ok(())
}

/// Connections with the congestion control in examples/reno.
pub(super) fn connects_by_example(count: u64) -> io::Result<()> {
    connects_by("counted_reno", count)
}

/// Connections with the congestion control in a fixture.
pub(super) fn connects_by_fixture(count: u64) -> io::Result<()> {
    connects_by("bpfpack_counted", count)
}

fn connects_by(control: &str, count: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..count {
        let (family, kind) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM);
        let socket = rustix::net::socket(family, kind, None)?;
        sockopt::set_tcp_congestion(&socket, control)?;
        rustix::net::connect(&socket, &listener.local_addr()?)?;
        listener.accept()?;
    }
    Ok(())
}

/// Data in a connection.
pub(super) fn data(count: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut from = TcpStream::connect(listener.local_addr()?)?;
    let (mut to, _) = listener.accept()?;
    to.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..count {
        from.write_all(b"data")?;
        to.read_exact(&mut [0; 4])?;
    }
    Ok(())
}

/// Questions for the other end of a connection.
pub(super) fn peer_names(count: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    (0..count).try_for_each(|_| stream.peer_addr().map(drop))
}

/// Questions for the address of a socket.
pub(super) fn names(count: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    (0..count).try_for_each(|_| socket.local_addr().map(drop))
}

/// Questions for an option of a socket.
pub(super) fn questions(count: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    (0..count).try_for_each(|_| socket.ttl().map(drop))
}

/// Settings of an option of a socket.
pub(super) fn settings(count: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    (0..count).try_for_each(|_| socket.set_ttl(64))
}

/// Sysctls that are read.
pub(super) fn sysctls(count: u64) -> io::Result<()> {
    let mut file = File::open("/proc/sys/kernel/ostype")?;
    (0..count).try_for_each(|_| {
        io::Seek::rewind(&mut file)?;
        file.read(&mut [0; 16]).map(drop)
    })
}

/// Devices that are opened.
pub(super) fn devices(count: u64) -> io::Result<()> {
    (0..count).try_for_each(|_| File::open("/dev/null").map(drop))
}
