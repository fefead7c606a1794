// SPDX-License-Identifier: MIT
//! Names of error numbers, signals and capabilities. The numbers are from uapi/asm-generic/errno.h,
//! linux/errno.h, uapi/asm-generic/signal.h and uapi/linux/capability.h; x86_64 and aarch64 use the
//! generic ones.

use super::number::decimal;

/// The largest error number that the kernel returns.
pub(super) const MAX_ERRNO: i64 = 4095;

/// By number, starting at 1; empty if there is no name.
#[rustfmt::skip]
const ERRNOS: [&str; 133] = [
    "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD",
    "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV",
    "ENOTDIR", "EISDIR", "EINVAL", "ENFILE", "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC",
    "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE", "EDEADLK", "ENAMETOOLONG", "ENOLCK",
    "ENOSYS", "ENOTEMPTY", "ELOOP", "", "ENOMSG", "EIDRM", "ECHRNG", "EL2NSYNC", "EL3HLT", "EL3RST",
    "ELNRNG", "EUNATCH", "ENOCSI", "EL2HLT", "EBADE", "EBADR", "EXFULL", "ENOANO", "EBADRQC",
    "EBADSLT", "", "EBFONT", "ENOSTR", "ENODATA", "ETIME", "ENOSR", "ENONET", "ENOPKG", "EREMOTE",
    "ENOLINK", "EADV", "ESRMNT", "ECOMM", "EPROTO", "EMULTIHOP", "EDOTDOT", "EBADMSG", "EOVERFLOW",
    "ENOTUNIQ", "EBADFD", "EREMCHG", "ELIBACC", "ELIBBAD", "ELIBSCN", "ELIBMAX", "ELIBEXEC",
    "EILSEQ", "ERESTART", "ESTRPIPE", "EUSERS", "ENOTSOCK", "EDESTADDRREQ", "EMSGSIZE",
    "EPROTOTYPE", "ENOPROTOOPT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP", "EPFNOSUPPORT",
    "EAFNOSUPPORT", "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN", "ENETUNREACH", "ENETRESET",
    "ECONNABORTED", "ECONNRESET", "ENOBUFS", "EISCONN", "ENOTCONN", "ESHUTDOWN", "ETOOMANYREFS",
    "ETIMEDOUT", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EALREADY", "EINPROGRESS", "ESTALE",
    "EUCLEAN", "ENOTNAM", "ENAVAIL", "EISNAM", "EREMOTEIO", "EDQUOT", "ENOMEDIUM", "EMEDIUMTYPE",
    "ECANCELED", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED", "EOWNERDEAD",
    "ENOTRECOVERABLE", "ERFKILL", "EHWPOISON",
];

/// Errors that do not leave the kernel, starting at 512. Probes see them.
#[rustfmt::skip]
const INNER_ERRNOS: [&str; 20] = [
    "ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", "ENOIOCTLCMD", "ERESTART_RESTARTBLOCK",
    "EPROBE_DEFER", "EOPENSTALE", "ENOPARAM", "", "EBADHANDLE", "ENOTSYNC", "EBADCOOKIE",
    "ENOTSUPP", "ETOOSMALL", "ESERVERFAULT", "EBADTYPE", "EJUKEBOX", "EIOCBQUEUED",
    "ERECALLCONFLICT", "ENOGRACE",
];

/// By number, starting at 1, without `SIG`.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The first real-time signal for programs: C libraries reserve 32 and 33.
const SIGRTMIN: u64 = 34;

/// The last real-time signal.
const SIGRTMAX: u64 = 64;

/// By number.
#[rustfmt::skip]
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
];

/// Appends the name of an error number with its sign. 0 has no name.
pub(super) fn errno(number: i64, out: &mut Vec<u8>) -> bool {
    let Some(name) = errno_name(number.unsigned_abs()) else { return false };
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(name.as_bytes());
    true
}

fn errno_name(number: u64) -> Option<&'static str> {
    let number = usize::try_from(number).ok()?;
    let name = match number {
        1..512 => ERRNOS.get(number - 1),
        512.. => INNER_ERRNOS.get(number - 512),
        0 => None,
    };
    name.copied().filter(|name| !name.is_empty())
}

/// Appends the name of a signal: `SIGKILL`, `SIGRTMIN+3`.
pub(super) fn signal(number: u64, out: &mut Vec<u8>) -> bool {
    match number {
        1..=31 => {
            out.extend_from_slice(b"SIG");
            out.extend_from_slice(SIGNALS[number as usize - 1].as_bytes());
        }
        SIGRTMIN => out.extend_from_slice(b"SIGRTMIN"),
        _ if (SIGRTMIN..=SIGRTMAX).contains(&number) => {
            out.extend_from_slice(b"SIGRTMIN+");
            decimal(number - SIGRTMIN, out);
        }
        _ => return false,
    }
    true
}

/// The name of a capability.
pub(super) fn capability(number: u64) -> Option<&'static str> {
    CAPABILITIES.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: i64, write: fn(i64, &mut Vec<u8>) -> bool) -> String {
        let mut out = Vec::new();
        assert_eq!(write(number, &mut out), !out.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn error_numbers() {
        let name = |number: i32| text(number.into(), errno);
        assert_eq!((&*name(2), &*name(-2), &*name(0)), ("ENOENT", "-ENOENT", ""));
        assert_eq!(name(libc::EDEADLK), "EDEADLK");
        assert_eq!(name(libc::ENOMSG), "ENOMSG");
        assert_eq!(name(libc::EBFONT), "EBFONT");
        assert_eq!(name(libc::EILSEQ), "EILSEQ");
        assert_eq!(name(libc::EINPROGRESS), "EINPROGRESS");
        assert_eq!(name(libc::EHWPOISON), "EHWPOISON");
        assert_eq!((&*name(41), &*name(58), &*name(134), &*name(511)), ("", "", "", ""));
        assert_eq!(
            (&*name(-512), &*name(524), &*name(531)),
            ("-ERESTARTSYS", "ENOTSUPP", "ENOGRACE")
        );
        assert_eq!((&*name(520), &*name(532), &*text(i64::MIN, errno)), ("", "", ""));
    }

    #[test]
    fn signals() {
        let name = |number: i32| text(number.into(), |number, out| signal(number as u64, out));
        assert_eq!((&*name(9), &*name(0), &*name(-1)), ("SIGKILL", "", ""));
        assert_eq!((&*name(libc::SIGSYS), &*name(libc::SIGCHLD)), ("SIGSYS", "SIGCHLD"));
        assert_eq!((&*name(32), &*name(33), &*name(34)), ("", "", "SIGRTMIN"));
        assert_eq!((&*name(37), &*name(64), &*name(65)), ("SIGRTMIN+3", "SIGRTMIN+30", ""));
    }

    #[test]
    fn capabilities() {
        assert_eq!((capability(0), capability(21)), (Some("CAP_CHOWN"), Some("CAP_SYS_ADMIN")));
        assert_eq!(
            (capability(39), capability(40)),
            (Some("CAP_BPF"), Some("CAP_CHECKPOINT_RESTORE"))
        );
        assert_eq!((capability(41), capability(u64::MAX)), (None, None));
    }
}
