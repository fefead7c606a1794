// SPDX-License-Identifier: MIT
//! Pieces of protobuf messages that are encoded before the message around them is known. Numbers of
//! fields are below 16 here, so that a key takes a byte.

use prost::{Message, encode_length_delimiter, length_delimiter_len};

/// The wire type of messages and texts.
const DELIMITED: u8 = 2;

/// The size of a field whose message or text has a size.
pub(crate) fn field_size(size: usize) -> usize {
    1 + length_delimiter_len(size) + size
}

/// Appends a message.
pub(crate) fn append(message: &impl Message, out: &mut Vec<u8>) {
    message.encode(out).expect("a vector has room");
}

/// Appends the length of what follows.
pub(crate) fn length(size: usize, out: &mut Vec<u8>) {
    encode_length_delimiter(size, out).expect("a vector has room");
}

/// Appends the start of a field whose message or text follows.
pub(crate) fn begin(number: u8, size: usize, out: &mut Vec<u8>) {
    out.push(number << 3 | DELIMITED);
    length(size, out);
}

/// Appends a message as a field.
pub(crate) fn field(number: u8, message: &impl Message, out: &mut Vec<u8>) {
    begin(number, message.encoded_len(), out);
    append(message, out);
}
