// SPDX-License-Identifier: MIT
//! States of TCP connections on the loopback interface, over IPv4 and IPv6: addresses and enums.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bpfpack_tests::stream::{Watchers, assert_same, beside, pick, records};
use bpfpack_tests::{alone, can, pack, scratch};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
use serde_json::{Value, json};

use crate::{events, has, number};

/// Members that both have for each change. The process and its name are excluded, because the tool
/// has those of whatever runs when a state changes, and ecli's example has those of the socket. The
/// time in a state is excluded, too, because each of the two reads the clock itself.
const NAMES: [&str; 8] =
    ["skaddr", "family", "saddr", "sport", "daddr", "dport", "oldstate", "newstate"];

/// Changes by a system call of the process, for which both have its name.
const OWN_DOING: [&str; 4] = ["SYN_SENT(2)", "LISTEN(10)", "FIN_WAIT1(4)", "LAST_ACK(9)"];

/// The minimum time for which a connection is kept.
const KEPT: Duration = Duration::from_millis(20);

/// States as ecli shows them, by the tool's name.
fn state(name: &str) -> Option<String> {
    let names = [
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
    ];
    let at = names.iter().position(|known| *known == name)?;
    Some(format!("{name}({})", at + 1))
}

/// Parses a line of `tcpstates -w`, with the time in microseconds.
fn of_tool(line: &str) -> Option<Value> {
    // The name may have spaces, but its column has a fixed width.
    let (skaddr, rest) = line.split_once(' ')?;
    let (pid, rest) = rest.split_at_checked(8)?;
    let (comm, rest) = rest.split_at_checked(16)?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [ip, saddr, sport, daddr, dport, old, "->", new, ms] = words[..] else { return None };
    let family = if ip == "4" { "AF_INET" } else { "AF_INET6" };
    let us: i64 = ms.replace('.', "").parse().ok()?;
    Some(json!({"skaddr": format!("0x{skaddr}"), "family": family, "saddr": saddr,
        "sport": number(sport)?, "daddr": daddr, "dport": number(dport)?, "oldstate": state(old)?,
        "newstate": state(new)?, "pid": number(pid.trim())?, "comm": comm.trim_end(),
        "delta_us": us}))
}

/// A record of `ecli run -j` as with `--decode`: its addresses as text.
fn as_text(record: &Value) -> Value {
    let mut text = pick(record, &NAMES);
    let is_v4 = record["family"] == libc::AF_INET;
    let address = |name: &str| -> String {
        let bytes: Vec<u8> = serde_json::from_value(record[name].clone()).unwrap();
        let bytes: [u8; 16] = bytes.try_into().unwrap();
        match is_v4 {
            true => {
                assert!(bytes[4..].iter().all(|byte| *byte == 0), "{record}");
                Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).to_string()
            }
            false => Ipv6Addr::from(bytes).to_string(),
        }
    };
    text["saddr"] = json!(address("saddr"));
    text["daddr"] = json!(address("daddr"));
    text["family"] = json!(if is_v4 { "AF_INET" } else { "AF_INET6" });
    text["skaddr"] = json!(format!("{:#x}", record["skaddr"].as_u64().unwrap()));
    text
}

/// A port of this address to which nobody listens, reserved by its socket.
fn closed_port(address: IpAddr) -> (rustix::fd::OwnedFd, SocketAddr) {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(address, 0)).unwrap();
    let bound = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    (socket, bound)
}

/// Which side closes a connection first.
#[derive(Clone, Copy)]
enum First {
    Client,
    Server,
    /// The client, with a reset.
    Reset,
}

/// Makes a connection to a listener, and ends it once both sides know of it. Returns the client's
/// port.
fn connection(listener: &TcpListener, first: First) -> u16 {
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let port = client.local_addr().unwrap().port();
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    std::thread::sleep(KEPT);
    if let First::Reset = first {
        sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    }
    let mut other = match first {
        First::Server => {
            drop(server);
            client
        }
        First::Client | First::Reset => {
            drop(client);
            server
        }
    };
    let end = other.read(&mut [0]);
    assert_eq!(end.ok(), if let First::Reset = first { None } else { Some(0) });
    port
}

#[test]
fn tcpstates_tells_of_each_change() {
    if !has("tcpstates") {
        return;
    }
    let _alone = alone();
    let dir = scratch();
    let package = pack("examples/tcpstates/tcpstates.bpf.c", &dir);
    let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
    if can("needs IPv6", TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()) {
        addresses.push(Ipv6Addr::LOCALHOST.into());
    }
    let mut probe = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        format!(" {:<5} 0.0.0.0 ", listener.local_addr().unwrap().port())
    };
    let load = |watchers: &Watchers<'_>| {
        let begin = Instant::now();
        let (mut ports, mut changes) = (Vec::new(), 0);
        for address in &addresses {
            let listener = TcpListener::bind((*address, 0)).unwrap();
            ports.push(listener.local_addr().unwrap().port());
            for first in [First::Client, First::Server, First::Reset, First::Client] {
                let _ = connection(&listener, first);
                // Each side: two changes to establish it, and one or three to close it.
                changes += if let First::Reset = first { 6 } else { 10 };
            }
            let (held, closed) = closed_port(*address);
            assert!(TcpStream::connect(closed).is_err());
            drop(held);
            ports.push(closed.port());
            // Two of the listener, and those of the refused connection.
            changes += 4;
        }
        // The last acknowledgment may still be in transit.
        let is_of_load = |line: &&str| ports.iter().any(|port| line.contains(&port.to_string()));
        watchers.wait("the changes are seen", |text| {
            text.lines().filter(is_of_load).count() >= changes
        });
        (ports, changes, begin.elapsed())
    };
    let ran = beside(
        &["tcpstates", "-w"],
        &[&["-j", "--decode", &package], &["-j", &package]],
        &mut probe,
        load,
    );

    let (ports, changes, elapsed) = ran.load;
    let is_of_load =
        |event: &Value| ports.iter().any(|port| event["sport"] == *port || event["dport"] == *port);
    let part = |events: &[Value]| -> Vec<Value> {
        events.iter().map(|event| pick(event, &NAMES)).collect()
    };
    let decoded: Vec<Value> = records(&ran.ecli[0]).into_iter().filter(is_of_load).collect();
    let plain: Vec<Value> = records(&ran.ecli[1]).into_iter().filter(is_of_load).collect();
    let tool = events(&ran.tool, of_tool);
    let tool: Vec<Value> = tool.into_iter().filter(is_of_load).collect();
    assert_same(("ecli", &part(&decoded)), ("tcpstates", &part(&tool)));
    let plain_as_text: Vec<Value> = plain.iter().map(as_text).collect();
    assert_same(("ecli --decode", &part(&decoded)), ("ecli", &plain_as_text));
    assert_eq!(decoded.len(), changes, "{decoded:#?}");

    let own = |events: &[Value]| -> Vec<Value> {
        let own = events.iter().filter(|event| OWN_DOING.iter().any(|s| event["newstate"] == *s));
        own.map(|event| pick(event, &["skaddr", "newstate", "pid", "comm"])).collect()
    };
    assert_same(("ecli", &own(&decoded)), ("tcpstates", &own(&tool)));
    for event in own(&decoded) {
        let who = (&event["pid"], &event["comm"]);
        assert_eq!(who, (&json!(std::process::id()), &json!("load")), "{event}");
    }

    // Times: zero for the first state, all within the load, and at least the minimum time for an
    // established connection.
    for event in plain.iter().chain(&tool) {
        let lasted = Duration::from_micros(event["delta_us"].as_u64().unwrap());
        let is_first = ["LISTEN(10)", "SYN_SENT(2)", "SYN_RECV(3)"]
            .iter()
            .any(|state| event["newstate"] == *state);
        let is_kept = event["oldstate"] == "ESTABLISHED(1)";
        assert!(if is_first { lasted.is_zero() } else { lasted < elapsed }, "{event}");
        assert!(!is_kept || lasted >= KEPT, "{event}");
    }
}
