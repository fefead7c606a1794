// SPDX-License-Identifier: MIT
//! XDP programs that others have attached to an interface without a link.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use crate::link::created;

/// A program that was detached from its interface.
#[derive(Debug)]
pub struct Replaced {
    interface: i32,
    program: OwnedFd,
    flags: u32,
}

impl Replaced {
    /// Detaches the program of an interface.
    ///
    /// # Errors
    /// Returns an error if there is no program, or if it is attached by a link, which only its
    /// owner can detach.
    pub fn take_off(interface: i32) -> io::Result<Replaced> {
        let mut found = libbpf_sys::bpf_xdp_query_opts {
            sz: size_of::<libbpf_sys::bpf_xdp_query_opts>() as _,
            ..Default::default()
        };
        // SAFETY: `found` is valid and has the given size.
        check(unsafe { libbpf_sys::bpf_xdp_query(interface, 0, &raw mut found) })?;
        let flags = match u32::from(found.attach_mode) {
            libbpf_sys::XDP_ATTACHED_SKB => libbpf_sys::XDP_FLAGS_SKB_MODE,
            libbpf_sys::XDP_ATTACHED_DRV => libbpf_sys::XDP_FLAGS_DRV_MODE,
            libbpf_sys::XDP_ATTACHED_HW => libbpf_sys::XDP_FLAGS_HW_MODE,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        // SAFETY: the call uses no memory.
        let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(found.prog_id) };
        let program = created(fd)?;
        let options = libbpf_sys::bpf_xdp_attach_opts {
            sz: size_of::<libbpf_sys::bpf_xdp_attach_opts>() as _,
            old_prog_fd: program.as_raw_fd(),
            ..Default::default()
        };
        // SAFETY: the options are valid and have the given size. The kernel detaches the program
        // only if it is still the one that was found.
        let result = unsafe { libbpf_sys::bpf_xdp_detach(interface, flags, &raw const options) };
        check(result)?;
        Ok(Replaced { interface, program, flags })
    }

    /// Attaches the program again, unless another one was attached meanwhile.
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub fn put_back(self) -> io::Result<()> {
        let flags = self.flags | libbpf_sys::XDP_FLAGS_UPDATE_IF_NOEXIST;
        let program = self.program.as_raw_fd();
        // SAFETY: the descriptor is open; the options may be null.
        check(unsafe {
            libbpf_sys::bpf_xdp_attach(self.interface, program, flags, std::ptr::null())
        })
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_a_program_has_none_to_be_taken_off() {
        // No interface has the largest index; or this user may not query it.
        assert!(Replaced::take_off(i32::MAX).is_err());
    }
}
