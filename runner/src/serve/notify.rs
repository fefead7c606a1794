// SPDX-License-Identifier: MIT
//! Messages for systemd (sd_notify(3)): that the service is ready, reads its files, or ends, and that
//! it is alive.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::os;

/// A connection to systemd; without one, messages go nowhere.
#[derive(Debug, Default)]
pub(super) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often systemd wants to hear that the service is alive.
    watchdog: Option<Duration>,
}

impl Notify {
    /// The connection that the environment names.
    pub(super) fn of_environment() -> Notify {
        let variable = |name: &str| std::env::var_os(name);
        let own = std::process::id().to_string();
        // The watchdog is for the process that systemd has started.
        let is_own = variable("WATCHDOG_PID").is_none_or(|pid| pid == *own);
        let limit = variable("WATCHDOG_USEC").filter(|_| is_own);
        Notify::new(variable("NOTIFY_SOCKET").as_deref(), limit.as_deref())
    }

    fn new(socket: Option<&OsStr>, limit: Option<&OsStr>) -> Notify {
        let to = socket.and_then(|socket| {
            let address = match socket.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                _ => SocketAddr::from_pathname(socket),
            };
            Some((UnixDatagram::unbound().ok()?, address.ok()?))
        });
        let limit = limit.and_then(OsStr::to_str).and_then(|text| text.parse::<u64>().ok());
        // Twice within the limit, as sd_watchdog_enabled(3) recommends.
        let watchdog =
            limit.filter(|limit| *limit > 0).map(|limit| Duration::from_micros(limit / 2));
        Notify { to, watchdog }
    }

    /// How often [`Notify::alive`] should be called.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.to.is_some())
    }

    /// The service is ready. `status` is a line for people.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The state of the service changed.
    pub(super) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// The service reads its files again.
    pub(super) fn reloading(&self) {
        let now = os::nanoseconds(clock_gettime(ClockId::Monotonic)) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// The service ends.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The service is alive.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Sends a message. If systemd does not take it, there is nothing that could be done.
    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            let sent: io::Result<usize> = socket.send_to_addr(text.as_bytes(), address);
            drop(sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_receives_messages() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(Some(path.as_os_str()), Some(OsStr::new("3000000")));
        assert_eq!(notify.watchdog(), Some(Duration::from_millis(1500)));
        let received = || {
            let mut bytes = [0; 200];
            let count = systemd.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..count].to_vec()).unwrap()
        };
        notify.ready("2 tracers");
        assert_eq!(received(), "READY=1\nSTATUS=2 tracers");
        notify.reloading();
        assert!(received().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notify.alive();
        assert_eq!(received(), "WATCHDOG=1");
        drop(systemd);
        notify.stopping();
        let nobody = Notify::new(None, Some(OsStr::new("1000")));
        assert_eq!(nobody.watchdog(), None);
        nobody.alive();
    }
}
