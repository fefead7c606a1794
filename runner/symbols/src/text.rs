// SPDX-License-Identifier: MIT
//! A frame as text for people.

use std::io::Write as _;

use super::frame::StackFrame;
use bpfpack_schemas::printable;

/// Appends a frame: `name+0x1a [module]`, or `0x7f12345678 [module+0x5678]` without a name; if the
/// line is known, followed by ` file:line`.
///
/// `address` is the one in the stack. The frame itself may be shared by processes that map the file
/// at different addresses.
pub fn write_frame(address: u64, frame: &StackFrame, out: &mut Vec<u8>) {
    match &frame.name {
        Some(name) => {
            printable::append(name.as_bytes(), out);
            let _ = match frame.inlined {
                true => write!(out, " (inlined)"),
                false => write!(out, "+{:#x}", frame.offset),
            };
        }
        None => drop(write!(out, "{address:#x}")),
    }
    if let Some(module) = &frame.module {
        // A module that is not a file has brackets already, and offsets in it are meaningless.
        let is_file = !module.starts_with('[');
        out.extend_from_slice(if is_file { b" [" } else { b" " });
        printable::append(module.as_bytes(), out);
        if is_file {
            if frame.name.is_none() {
                let _ = write!(out, "+{:#x}", frame.address);
            }
            out.push(b']');
        }
    }
    if let Some((file, line)) = &frame.source {
        out.push(b' ');
        printable::append(file.as_bytes(), out);
        let _ = write!(out, ":{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(frame: &StackFrame) -> String {
        let mut out = Vec::new();
        write_frame(0x7f00_1234, frame, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn frames_as_text() {
        let mut frame = StackFrame::unknown(0x234);
        assert_eq!(shown(&frame), "0x7f001234");
        frame.module = Some("libc.so.6".into());
        assert_eq!(shown(&frame), "0x7f001234 [libc.so.6+0x234]");
        frame.module = Some("[anon]".into());
        assert_eq!(shown(&frame), "0x7f001234 [anon]");
        frame.name = Some("evil\x1b[2J".into());
        frame.offset = 0x1a;
        assert_eq!(shown(&frame), "evil\\x1b[2J+0x1a [anon]");
        frame.module = Some("a\nb".into());
        frame.source = Some(("src/main.c".into(), 12));
        assert_eq!(shown(&frame), "evil\\x1b[2J+0x1a [a\\x0ab] src/main.c:12");
        frame.inlined = true;
        frame.module = None;
        assert_eq!(shown(&frame), "evil\\x1b[2J (inlined) src/main.c:12");
    }
}
