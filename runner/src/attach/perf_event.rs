// SPDX-License-Identifier: MIT
//! Programs that sample: on each CPU, so many times a second, whatever runs there.

use std::os::fd::{AsRawFd as _, IntoRawFd as _};

use libbpf_rs::Link;

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;
use crate::sys::perf::{CpuClock, clock_event};

/// By the clock of each CPU.
pub(super) const METHOD: Method = Method { target: Target::Clock, attach };

/// Samples a second where nothing says another number: what existing loaders take.
const FREQUENCY: u64 = 1;

/// Attaches to the cycles of each CPU, or to a timer where the machine counts no cycles: virtual
/// machines often do not.
fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let annotated = || context.annotations().and_then(|meta| meta.frequency);
    let frequency = context.frequency.or_else(annotated).unwrap_or(FREQUENCY);
    let links = attach_to_clocks(context, frequency).map_err(AttachError::refused)?;
    Ok(links.into_iter().map(|link| Attachment::Link { _link: link }).collect())
}

fn attach_to_clocks(context: &Context<'_>, frequency: u64) -> libbpf_rs::Result<Vec<Link>> {
    let cpus = libbpf_rs::num_possible_cpus()?;
    let mut clock = CpuClock::Cycles;
    let mut links = Vec::new();
    let mut offline = None;
    for cpu in 0..cpus as i32 {
        let mut event = clock_event(clock, cpu, frequency);
        let has_no_cycles = |error: &std::io::Error| {
            matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL))
        };
        if links.is_empty() && event.as_ref().is_err_and(has_no_cycles) {
            clock = CpuClock::Timer;
            event = clock_event(clock, cpu, frequency);
        }
        match event {
            Ok(event) => {
                links.push(context.program.attach_perf_event(event.as_raw_fd())?);
                // The link closes the event when it goes.
                let _ = event.into_raw_fd();
            }
            // A CPU that could be there is not.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => offline = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match (links.is_empty(), offline) {
        (true, Some(error)) => Err(error.into()),
        _ => Ok(links),
    }
}
