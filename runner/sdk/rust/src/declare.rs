// SPDX-License-Identifier: MIT
//! Sources that a module declares. One definition gives the struct and its description for ecli.

use core::fmt::{self, Write};
use core::marker::PhantomData;

use crate::text::Room;
use crate::{border, Error, Source};

/// A type of a member of a declared source.
pub trait Field {
    /// Its size in bytes.
    const SIZE: usize;
    /// Its alignment in bytes.
    const ALIGN: usize;
    /// Writes the name of the type.
    ///
    /// # Errors
    /// The error of the writer.
    fn name(to: &mut dyn Write) -> fmt::Result;
    /// Writes the bytes of the value, little-endian. `to` has `SIZE` bytes.
    fn put(&self, to: &mut [u8]);
}

macro_rules! fields {
    ($($ty:ident $name:literal),*) => {$(
        impl Field for $ty {
            const SIZE: usize = core::mem::size_of::<$ty>();
            const ALIGN: usize = core::mem::size_of::<$ty>();
            fn name(to: &mut dyn Write) -> fmt::Result {
                to.write_str($name)
            }
            fn put(&self, to: &mut [u8]) {
                to.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
fields!(u8 "u8", u16 "u16", u32 "u32", u64 "u64", i8 "s8", i16 "s16", i32 "s32", i64 "s64",
    f32 "f32", f64 "f64");

impl Field for bool {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;
    fn name(to: &mut dyn Write) -> fmt::Result {
        to.write_str("bool")
    }
    fn put(&self, to: &mut [u8]) {
        to.copy_from_slice(&[*self as u8]);
    }
}

impl<T: Field, const N: usize> Field for [T; N] {
    const SIZE: usize = T::SIZE * N;
    const ALIGN: usize = T::ALIGN;
    fn name(to: &mut dyn Write) -> fmt::Result {
        T::name(to)?;
        write!(to, "[{N}]")
    }
    fn put(&self, to: &mut [u8]) {
        for (item, place) in self.iter().zip(to.chunks_exact_mut(T::SIZE)) {
            item.put(place);
        }
    }
}

/// Text of at most N bytes, `char[N]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// Text, truncated to N bytes.
    #[must_use]
    pub fn new(text: &[u8]) -> Text<N> {
        let mut bytes = [0; N];
        let len = text.len().min(N);
        bytes[..len].copy_from_slice(&text[..len]);
        Text(bytes)
    }
}

impl<const N: usize> From<&str> for Text<N> {
    fn from(text: &str) -> Text<N> {
        Text::new(text.as_bytes())
    }
}

impl<const N: usize> Field for Text<N> {
    const SIZE: usize = N;
    const ALIGN: usize = 1;
    fn name(to: &mut dyn Write) -> fmt::Result {
        write!(to, "char[{N}]")
    }
    fn put(&self, to: &mut [u8]) {
        to.copy_from_slice(&self.0);
    }
}

/// Implemented by [`record!`](crate::record!) and [`table!`](crate::table!).
pub trait Declared {
    /// Writes the JSON for `declare`.
    ///
    /// # Errors
    /// The error of the writer.
    fn describe(to: &mut dyn Write) -> fmt::Result;
    /// Calls a function with the bytes of the record or row.
    fn with_bytes(&self, call: &mut dyn FnMut(&[u8]));
}

/// A type whose values are shown as records.
pub trait IsRecord: Declared {}
/// A type whose values are shown as rows of a table.
pub trait IsRow: Declared {}

/// A declared source, which shows values of one type.
#[derive(Debug)]
pub struct Output<T> {
    source: Source,
    what: PhantomData<fn(T)>,
}

/// Declares a source. Only [`crate::Module::start`] may call it.
///
/// # Errors
/// [`Error::NotDeclared`] without ecli, in tests. ecli itself ends the run if it refuses a
/// declaration.
pub fn declare<T: Declared>() -> Result<Output<T>, Error> {
    let mut room = Room::new();
    T::describe(&mut room).map_err(|_| Error::NotDeclared)?;
    declare_json(room.as_str()).map(|source| Output { source, what: PhantomData })
}

/// Declares a source by JSON: for histograms, which [`record!`](crate::record!) and
/// [`table!`](crate::table!) cannot express. [`Source::show_rows`] shows them. In a row, the value
/// starts at the first multiple of 8 after the key, and the row ends at a multiple of 8:
///
/// ```
/// # fn start() -> Result<(), bpfpack::Error> {
/// let latency = bpfpack::declare::declare_json(
///     r#"{"name": "latency", "key": {"disk": "u32"}, "value": {"slots": "u32[27]"},
///         "histogram": "log2", "unit": "usecs"}"#,
/// )?;
/// let (disk, slots) = (8u32, [1u32; 27]);
/// let mut row = [0; 8 + 27 * 4 + 4];
/// row[..4].copy_from_slice(&disk.to_le_bytes());
/// for (place, count) in row[8..].chunks_exact_mut(4).zip(slots) {
///     place.copy_from_slice(&count.to_le_bytes());
/// }
/// latency.show_rows(&row);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`declare`].
pub fn declare_json(text: &str) -> Result<Source, Error> {
    let number = u32::try_from(border::declare(text)).map_err(|_| Error::NotDeclared)?;
    Ok(Source { number })
}

impl<T: IsRecord> Output<T> {
    /// Shows a record.
    pub fn emit(&self, record: &T) {
        record.with_bytes(&mut |bytes| border::emit(self.source.number, 0, bytes));
    }
}

#[cfg(feature = "alloc")]
impl<T: IsRow> Output<T> {
    /// Shows rows as one table.
    pub fn show(&self, rows: impl IntoIterator<Item = T>) {
        let mut all = alloc::vec::Vec::new();
        for row in rows {
            row.with_bytes(&mut |bytes| all.extend_from_slice(bytes));
        }
        self.source.show_rows(&all);
    }
}

impl Source {
    /// Shows rows, given as the bytes of a whole reading.
    pub fn show_rows(self, rows: &[u8]) {
        border::rows(self.number, rows);
    }

    /// Shows a record, given as its bytes.
    pub fn emit_bytes(self, kind: u16, record: &[u8]) {
        border::emit(self.number, kind.into(), record);
    }
}

#[doc(hidden)]
#[must_use]
pub const fn round_up(at: usize, align: usize) -> usize {
    (at + align - 1) / align * align
}

/// Defines a struct, and a source of records of it:
///
/// ```
/// bpfpack::record! {
///     struct Process = "process" { pid: u32, comm: bpfpack::declare::Text<16>, ran: u64 as "duration_ns" }
/// }
/// ```
///
/// `as` gives a meaning, as in `@meanings`.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $struct:ident = $title:literal {
        $($name:ident: $ty:ty $(as $meaning:literal)?),+ $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $struct { $($vis $name: $ty),+ }

        impl $crate::declare::IsRecord for $struct {}
        impl $crate::declare::Declared for $struct {
            fn describe(to: &mut dyn ::core::fmt::Write) -> ::core::fmt::Result {
                to.write_str(::core::concat!("{\"name\":\"", $title, "\","))?;
                $crate::members_of!(to, "members", $($name: $ty $(as $meaning)?),+);
                to.write_str("}")
            }
            fn with_bytes(&self, call: &mut dyn FnMut(&[u8])) {
                const LEN: usize = $crate::declare::round_up(
                    $crate::len_of!(0, $($ty),+),
                    $crate::align_of!($($ty),+),
                );
                let mut bytes = [0u8; LEN];
                $crate::put_all!(self, bytes, 0, $($name: $ty),+);
                call(&bytes);
            }
        }
    };
}

/// Defines a struct, and a source that is a table of it:
///
/// ```
/// bpfpack::table! {
///     struct Opens = "opens" {
///         key { pid: u32, comm: bpfpack::declare::Text<16> }
///         value { opens: u64, failed: u64 }
///         sort opens
///     }
/// }
/// ```
#[macro_export]
macro_rules! table {
    ($(#[$meta:meta])* $vis:vis struct $struct:ident = $title:literal {
        key { $($key:ident: $key_ty:ty $(as $key_meaning:literal)?),+ $(,)? }
        value { $($value:ident: $value_ty:ty $(as $value_meaning:literal)?),+ $(,)? }
        $(sort $sort:ident)?
    }) => {
        $(#[$meta])*
        $vis struct $struct { $($vis $key: $key_ty,)+ $($vis $value: $value_ty),+ }

        impl $crate::declare::IsRow for $struct {}
        impl $crate::declare::Declared for $struct {
            fn describe(to: &mut dyn ::core::fmt::Write) -> ::core::fmt::Result {
                to.write_str(::core::concat!("{\"name\":\"", $title, "\","))?;
                $crate::members_of!(to, "key", $($key: $key_ty $(as $key_meaning)?),+);
                to.write_str(",")?;
                $crate::members_of!(to, "value", $($value: $value_ty $(as $value_meaning)?),+);
                $(to.write_str(::core::concat!(",\"sort\":\"", ::core::stringify!($sort), "\""))?;)?
                to.write_str("}")
            }
            fn with_bytes(&self, call: &mut dyn FnMut(&[u8])) {
                const KEY: usize = $crate::declare::round_up($crate::len_of!(0, $($key_ty),+), 8);
                const LEN: usize =
                    $crate::declare::round_up($crate::len_of!(KEY, $($value_ty),+), 8);
                let mut bytes = [0u8; LEN];
                $crate::put_all!(self, bytes, 0, $($key: $key_ty),+);
                $crate::put_all!(self, bytes, KEY, $($value: $value_ty),+);
                call(&bytes);
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! members_of {
    ($to:ident, $title:literal, $($name:ident: $ty:ty $(as $meaning:literal)?),+) => {
        $to.write_str(::core::concat!("\"", $title, "\":"))?;
        let mut before = "{";
        $(
            ::core::write!($to, "{before}\"{}\":\"", ::core::stringify!($name))?;
            <$ty as $crate::declare::Field>::name($to)?;
            $($to.write_str(::core::concat!(" ", $meaning))?;)?
            $to.write_str("\"")?;
            #[allow(unused_assignments)]
            {
                before = ",";
            }
        )+
        $to.write_str("}")?;
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! len_of {
    ($begin:expr, $($ty:ty),+) => {{
        let mut at: usize = $begin;
        $(
            at = $crate::declare::round_up(at, <$ty as $crate::declare::Field>::ALIGN);
            at += <$ty as $crate::declare::Field>::SIZE;
        )+
        at
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! align_of {
    ($($ty:ty),+) => {{
        let mut most: usize = 1;
        $(
            if <$ty as $crate::declare::Field>::ALIGN > most {
                most = <$ty as $crate::declare::Field>::ALIGN;
            }
        )+
        most
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! put_all {
    ($self:ident, $bytes:ident, $begin:expr, $($name:ident: $ty:ty),+) => {
        let mut at: usize = $begin;
        $(
            at = $crate::declare::round_up(at, <$ty as $crate::declare::Field>::ALIGN);
            let end = at + <$ty as $crate::declare::Field>::SIZE;
            $crate::declare::Field::put(&$self.$name, &mut $bytes[at..end]);
            at = end;
        )+
        let _ = at;
    };
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    crate::record! {
        #[derive(Debug)]
        struct Process = "process" {
            pid: u32,
            comm: Text<5>,
            ran: u64 as "duration_ns",
            last: bool,
        }
    }

    crate::table! {
        struct Files = "files" {
            key { pid: u16, dir: Text<3> }
            value { opens: u64, parts: [u16; 2] }
            sort opens
        }
    }

    fn described<T: Declared>() -> String {
        let mut text = String::new();
        T::describe(&mut text).unwrap();
        text
    }

    fn bytes(of: &impl Declared) -> Vec<u8> {
        let mut all = Vec::new();
        of.with_bytes(&mut |bytes| all.extend_from_slice(bytes));
        all
    }

    #[test]
    fn records_are_laid_out_as_c_does() {
        assert_eq!(
            described::<Process>(),
            r#"{"name":"process","members":{"pid":"u32","comm":"char[5]","ran":"u64 duration_ns","last":"bool"}}"#
        );
        let process = Process { pid: 1, comm: "abcdefg".into(), ran: 2, last: true };
        let mut expected = [0; 32];
        expected[0] = 1;
        expected[4..9].copy_from_slice(b"abcde");
        expected[16] = 2;
        expected[24] = 1;
        assert_eq!(bytes(&process), expected);
    }

    #[test]
    fn rows_have_keys_and_values_at_multiples_of_8() {
        assert_eq!(
            described::<Files>(),
            r#"{"name":"files","key":{"pid":"u16","dir":"char[3]"},"value":{"opens":"u64","parts":"u16[2]"},"sort":"opens"}"#
        );
        let row = Files { pid: 1, dir: "/x".into(), opens: 3, parts: [4, 5] };
        let expected =
            [1, 0, b'/', b'x', 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 5, 0, 0, 0, 0, 0];
        assert_eq!(bytes(&row), expected);
    }
}
