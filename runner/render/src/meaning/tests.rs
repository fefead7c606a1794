// SPDX-License-Identifier: MIT
//! Tests of values with each meaning.

use bpfpack_decode::meaning::{NAMED, Unit};

use super::*;

fn written(meaning: Meaning, bytes: &[u8], signed: bool, record: &[u8]) -> Option<String> {
    let mut out = b"x".to_vec();
    let mut names = Names::default();
    let value = Value { bytes, size: bytes.len(), signed, record };
    let is = write(&meaning, value, &mut names, &mut out);
    assert!(is || out == b"x", "{meaning:?} left something");
    is.then(|| String::from_utf8(out.split_off(1)).unwrap())
}

#[test]
fn values() {
    let int =
        |meaning, value: i32| written(meaning, &value.to_le_bytes(), true, &[]).unwrap_or_default();
    assert_eq!((&*int(Meaning::Result, -2), &*int(Meaning::Result, 3)), ("-ENOENT", "3"));
    assert_eq!((&*int(Meaning::Result, -9999), &*int(Meaning::Result, 0)), ("", "0"));
    assert_eq!(
        (&*int(Meaning::Errno, 2), &*int(Meaning::Errno, -2), &*int(Meaning::Errno, 0)),
        ("ENOENT", "-ENOENT", "")
    );
    assert_eq!(
        (&*int(Meaning::Signal, 9), &*int(Meaning::Capability, 21)),
        ("SIGKILL", "CAP_SYS_ADMIN")
    );
    assert_eq!((&*int(Meaning::Size, 4096), &*int(Meaning::Size, -14)), ("4.0K", ""));
    assert_eq!((&*int(Meaning::User, 0), &*int(Meaning::User, -1)), ("root", ""));
    assert_eq!((&*int(Meaning::Hex, 255), &*int(Meaning::KernelAddress, 255)), ("0xff", "0xff"));
    assert_eq!((&*int(Meaning::Interface, 1), &*int(Meaning::Plain, 1)), ("lo", ""));
    assert_eq!(int(Meaning::Duration(Unit::Microseconds), -1234), "-1.23ms");
    assert_eq!(int(Meaning::Device, 8 << 20 | 4321), "8:4321");
    assert_eq!(written(Meaning::Result, &(-2i32).to_le_bytes(), false, &[]).unwrap(), "-ENOENT");
    assert_eq!(written(Meaning::Result, &u64::MAX.to_le_bytes(), false, &[]).unwrap(), "-EPERM");
    assert_eq!(written(Meaning::Result, &[0, 0, 0, 128], false, &[]).unwrap(), "2147483648");
    assert_eq!(written(Meaning::Text, b"a\x1bb\0c", false, &[]).unwrap(), "a\\x1bb");
    assert_eq!(written(Meaning::Text, b"", false, &[]).unwrap(), "");
    let family = Some(Field { offset: 2, size: 2 });
    let six = [0, 0, 10, 0];
    assert_eq!(written(Meaning::Ipv4(family), &[1, 2, 3, 4], false, &six).unwrap(), "-");
    assert_eq!(written(Meaning::Ipv4(family), &[1, 2, 3, 4], false, &six[..2]).unwrap(), "1.2.3.4");
}

#[test]
fn nothing_fails_whatever_the_bytes_are() {
    let mut names = Names::default();
    let place = Some(Field { offset: usize::MAX, size: usize::MAX });
    let meanings = NAMED.iter().map(|(_, meaning)| *meaning);
    let with_family = [Meaning::Ipv4(place), Meaning::Ipv6(place), Meaning::Ip(place)];
    let mut state = 1u64;
    for meaning in meanings.chain(with_family) {
        assert!((6..=30).contains(&width(&meaning)));
        for round in 0..40u8 {
            // A linear congruential generator is random enough for bytes.
            let mut bytes: Vec<u8> = (0..round % 19)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 56) as u8
                })
                .collect();
            match round {
                36..38 => bytes.fill(0),
                38.. => bytes.fill(0xff),
                _ => {}
            }
            for size in [0, 1, 2, 3, 4, 6, 7, 8, 9, 16, 17, 4096, usize::MAX] {
                for signed in [false, true] {
                    let mut out = vec![7];
                    let value = Value { bytes: &bytes, size, signed, record: &bytes };
                    let is = write(&meaning, value, &mut names, &mut out);
                    assert!(out[0] == 7 && (is || out.len() == 1), "{meaning:?} {bytes:?} {size}");
                }
            }
        }
    }
}
