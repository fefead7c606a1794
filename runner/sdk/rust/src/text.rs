// SPDX-License-Identifier: MIT
//! Output of a module: lines of text, JSON, messages.

use core::fmt::{self, Write};
use core::ops::Deref;

use crate::border;

/// Shows a line of text: `text!("{pid} {comm}")`.
#[macro_export]
macro_rules! text {
    ($($format:tt)+) => { $crate::text(::core::format_args!($($format)+)) };
}

/// Prints a note on standard error, unless `--quiet` is given.
#[macro_export]
macro_rules! note {
    ($($format:tt)+) => { $crate::note(::core::format_args!($($format)+)) };
}

/// Prints a warning on standard error, unless `--quiet` is given.
#[macro_export]
macro_rules! warn {
    ($($format:tt)+) => { $crate::warn(::core::format_args!($($format)+)) };
}

/// Ends the run with exit code 10 and this message. Does not return.
#[macro_export]
macro_rules! fail {
    ($($format:tt)+) => { $crate::fail(::core::format_args!($($format)+)) };
}

/// Shows a JSON object: `json!{"pid": pid, "comm": comm}`. Values implement [`ToJson`].
#[macro_export]
macro_rules! json {
    ($($name:literal: $value:expr),+ $(,)?) => {
        $crate::show_json(&[$(($name, &$value as &dyn $crate::ToJson)),+])
    };
}

/// Bytes that are text. Invalid UTF-8 is printed as `�`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chars<'a>(pub &'a [u8]);

impl Deref for Chars<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl PartialEq<str> for Chars<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Chars<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Chars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        loop {
            match core::str::from_utf8(rest) {
                // Width and alignment apply only to text that is valid as a whole.
                Ok(text) if rest.len() == self.0.len() => return f.pad(text),
                Ok(text) => return f.write_str(text),
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    f.write_str(core::str::from_utf8(good).unwrap_or(""))?;
                    f.write_char('\u{fffd}')?;
                    rest = &bad[error.error_len().unwrap_or(bad.len())..];
                }
            }
        }
    }
}

/// Prints a value as a JSON string, with quotes and escapes.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<T>(pub T);

struct Escaping<'f, 'g>(&'f mut fmt::Formatter<'g>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(self.0, "\\{c}")?,
                c if c < ' ' => write!(self.0, "\\u{:04x}", c as u32)?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Escaping(f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// A value in [`json!`].
pub trait ToJson {
    /// Writes the value as JSON.
    ///
    /// # Errors
    /// The error of the writer.
    fn write(&self, to: &mut dyn Write) -> fmt::Result;
}

macro_rules! to_json {
    ($($ty:ty),*) => {$(
        impl ToJson for $ty {
            fn write(&self, to: &mut dyn Write) -> fmt::Result {
                write!(to, "{self}")
            }
        }
    )*};
}
to_json!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, bool);

impl ToJson for f64 {
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        match self.is_finite() {
            true => write!(to, "{self}"),
            false => to.write_str("null"),
        }
    }
}

impl ToJson for &str {
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        write!(to, "{}", Quoted(self))
    }
}

impl ToJson for Chars<'_> {
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        write!(to, "{}", Quoted(self))
    }
}

#[cfg(feature = "alloc")]
impl ToJson for alloc::string::String {
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        write!(to, "{}", Quoted(self))
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        match self {
            Some(value) => value.write(to),
            None => to.write_str("null"),
        }
    }
}

impl ToJson for [(&str, &dyn ToJson)] {
    fn write(&self, to: &mut dyn Write) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            write!(to, "{}{}:", if at == 0 { '{' } else { ',' }, Quoted(name))?;
            value.write(to)?;
        }
        to.write_str(if self.is_empty() { "{}" } else { "}" })
    }
}

/// Text of at most 4096 bytes; longer text is truncated.
#[derive(Debug, Clone)]
pub struct Line {
    bytes: [u8; 4096],
    len: usize,
}

impl Line {
    /// An empty text.
    #[must_use]
    pub const fn new() -> Line {
        Line { bytes: [0; 4096], len: 0 }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl Default for Line {
    fn default() -> Line {
        Line::new()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut take = text.len().min(self.bytes.len() - self.len);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
        Ok(())
    }
}

#[cfg(feature = "alloc")]
pub(crate) type Room = alloc::string::String;
#[cfg(not(feature = "alloc"))]
pub(crate) type Room = Line;

fn put<R>(text: fmt::Arguments<'_>, to: impl FnOnce(&str) -> R) -> R {
    match text.as_str() {
        Some(text) => to(text),
        None => {
            let mut room = Room::new();
            // Writing to a `Room` never fails.
            let _ = room.write_fmt(text);
            to(room.as_str())
        }
    }
}

/// The function behind [`text!`].
pub fn text(text: fmt::Arguments<'_>) {
    put(text, border::text);
}

/// The function behind [`note!`].
pub fn note(text: fmt::Arguments<'_>) {
    put(text, |text| border::log(0, text));
}

/// The function behind [`warn!`].
pub fn warn(text: fmt::Arguments<'_>) {
    put(text, |text| border::log(1, text));
}

/// The function behind [`fail!`].
pub fn fail(text: fmt::Arguments<'_>) -> ! {
    put(text, |text| border::fail(text))
}

/// Shows a JSON object; [`json!`] is shorter.
pub fn show_json(members: &[(&str, &dyn ToJson)]) {
    let mut room = Room::new();
    let _ = members.write(&mut room);
    border::json(room.as_str());
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::*;

    #[test]
    fn texts_that_are_none() {
        assert_eq!(format!("{}", Chars(b"a\xffb\xc3")), "a\u{fffd}b\u{fffd}");
        assert_eq!(format!("[{:4}|{:>4}]", Chars(b"ab"), Chars(b"cd")), "[ab  |  cd]");
        assert!(Chars(b"ab") == "ab");
    }

    #[test]
    fn json_is_escaped() {
        let mut text = String::new();
        let members: &[(&str, &dyn ToJson)] = &[
            ("a\"", &1u32),
            ("b", &Chars(b"x\n\\\"\xff")),
            ("c", &None::<bool>),
            ("d", &f64::NAN),
            ("e", &-0.5),
        ];
        members.write(&mut text).unwrap();
        let expected = r#"{"a\"":1,"b":"x\u000a\\\"�","c":null,"d":null,"e":-0.5}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut line = Line::new();
        for _ in 0..2000 {
            line.write_str("€").unwrap();
        }
        assert_eq!(line.as_str().len(), 4095);
        line.write_str("ab").unwrap();
        assert!(line.as_str().ends_with('a'));
    }
}
