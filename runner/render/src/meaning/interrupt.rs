// SPDX-License-Identifier: MIT
//! Names of interrupts, from /sys/kernel/irq, and of the kernel's softirqs.

use std::fs;
use std::path::Path;

use super::names::Cache;

/// By number: `enum` in include/linux/interrupt.h, and `softirq_to_name` in kernel/softirq.c.
const SOFTIRQS: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"];

/// Names of this machine's interrupts, by number.
#[derive(Debug, Default)]
pub(super) struct Interrupts(Cache);

impl Interrupts {
    /// The devices of an interrupt, separated by commas: `virtio1-req.0`.
    pub(super) fn name(&mut self, number: u64) -> Option<&str> {
        self.0.get(number, |number| actions(Path::new("/sys/kernel/irq"), number))
    }
}

fn actions(directory: &Path, number: u64) -> Option<String> {
    let actions = fs::read_to_string(directory.join(number.to_string()).join("actions")).ok()?;
    Some(actions.trim_end().to_owned()).filter(|actions| !actions.is_empty())
}

/// The name of a softirq.
pub(super) fn softirq(number: u64) -> Option<&'static str> {
    SOFTIRQS.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_have_the_names_of_their_devices() {
        let directory = tempfile::tempdir().unwrap();
        for (number, text) in [("24", "eth0-rx\n"), ("9", "acpi,usb1\n"), ("5", "\n")] {
            fs::create_dir(directory.path().join(number)).unwrap();
            fs::write(directory.path().join(number).join("actions"), text).unwrap();
        }
        let name = |number| actions(directory.path(), number);
        assert_eq!((name(24).as_deref(), name(9).as_deref()), (Some("eth0-rx"), Some("acpi,usb1")));
        assert_eq!((name(5), name(6)), (None, None));
        assert_eq!((softirq(3), softirq(9), softirq(10)), (Some("net_rx"), Some("rcu"), None));
        assert_eq!(Interrupts::default().name(u64::MAX), None);
    }
}
