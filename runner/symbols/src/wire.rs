// SPDX-License-Identifier: MIT
//! The messages between [`super::remote`] and [`super::worker`]: each is preceded by its length,
//! with numbers in native byte order. Neither side trusts the other, because the worker reads what
//! other processes wrote.

use std::collections::HashMap;
use std::rc::Rc;

use super::engine::Found;
use super::frame::{CodeAddress, StackFrame, StackFrames};

/// The maximum size of a message in bytes, without its length.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;

/// The maximum number of addresses in a request; a stack has 127.
pub(crate) const MAX_PLACES: usize = 4096;

/// The maximum length of a name in bytes.
const MAX_TEXT: usize = 4 << 10;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Returned with the response.
    pub id: u32,
    pub pid: u32,
    /// The addresses; if there are none, the process is only inspected.
    pub places: Vec<CodeAddress>,
}

/// A response.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub id: u32,
    /// Changes when the data about the process does.
    pub generation: u64,
    /// The frames of each address.
    pub found: Vec<Found>,
    /// Messages about what was given up since the last response.
    pub given_up: Vec<String>,
}

/// A message that is not valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Request {
    /// Encodes it with its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend(self.id.to_ne_bytes());
        out.extend(self.pid.to_ne_bytes());
        for place in &self.places {
            out.push(u8::from(matches!(place, CodeAddress::Return(_))));
            out.extend(place.address().to_ne_bytes());
        }
        with_length(out)
    }

    /// Decodes a message without its length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        let mut input = Input(bytes);
        let (id, pid) = (input.u32()?, input.u32()?);
        let mut places = Vec::new();
        while !input.0.is_empty() {
            if places.len() == MAX_PLACES {
                return Err(Malformed);
            }
            let make = if input.u8()? == 0 { CodeAddress::Exact } else { CodeAddress::Return };
            places.push(make(input.u64()?));
        }
        Ok(Request { id, pid, places })
    }
}

impl Reply {
    /// Encodes it with its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend(self.id.to_ne_bytes());
        out.extend(self.generation.to_ne_bytes());
        put_count(self.given_up.len(), &mut out);
        for text in &self.given_up {
            put_text(text, &mut out);
        }
        put_count(self.found.len(), &mut out);
        for found in &self.found {
            out.push(u8::from(found.is_settled));
            put_count(found.frames.len(), &mut out);
            for frame in found.frames.iter() {
                put_frame(frame, &mut out);
            }
        }
        with_length(out)
    }

    /// Decodes a message without its length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Reply, Malformed> {
        let mut input = Input(bytes);
        // A stack has the same module many times, so share its name.
        let mut texts = HashMap::new();
        let mut reply = Reply { id: input.u32()?, generation: input.u64()?, ..Reply::default() };
        for _ in 0..input.count()? {
            reply.given_up.push(input.text()?.to_owned());
        }
        for _ in 0..input.count()? {
            let is_settled = input.u8()? != 0;
            let count = input.count()?;
            let frames: Result<StackFrames, Malformed> =
                (0..count).map(|_| input.frame(&mut texts)).collect();
            let frames = frames?;
            if frames.is_empty() {
                return Err(Malformed);
            }
            reply.found.push(Found { frames, is_settled });
        }
        if input.0.is_empty() { Ok(reply) } else { Err(Malformed) }
    }
}

/// The length of the next message.
pub(crate) fn length(bytes: [u8; 4]) -> Result<usize, Malformed> {
    let length = u32::from_ne_bytes(bytes) as usize;
    if length <= MAX_MESSAGE { Ok(length) } else { Err(Malformed) }
}

fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() - 4) as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend((count as u32).to_ne_bytes());
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    put_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Bits of a frame's first byte: the parts that it has.
mod has {
    pub(super) const NAME: u8 = 1;
    pub(super) const MODULE: u8 = 2;
    pub(super) const SOURCE: u8 = 4;
    pub(super) const INLINED: u8 = 8;
}

fn put_frame(frame: &StackFrame, out: &mut Vec<u8>) {
    let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    out.push(
        bit(frame.name.is_some(), has::NAME)
            | bit(frame.module.is_some(), has::MODULE)
            | bit(frame.source.is_some(), has::SOURCE)
            | bit(frame.inlined, has::INLINED),
    );
    out.extend(frame.offset.to_ne_bytes());
    out.extend(frame.address.to_ne_bytes());
    let file = frame.source.as_ref().map(|(file, _)| file);
    for text in [frame.name.as_ref(), frame.module.as_ref(), file].into_iter().flatten() {
        put_text(text, out);
    }
    if let Some((_, line)) = &frame.source {
        out.extend(line.to_ne_bytes());
    }
}

/// The remaining bytes.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_ne_bytes)
    }

    /// A number of elements, each of which has at least one byte.
    fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count <= self.0.len() { Ok(count) } else { Err(Malformed) }
    }

    fn text(&mut self) -> Result<&'b str, Malformed> {
        let length = self.count()?;
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(bytes).map_err(|_| Malformed)
    }

    fn frame(&mut self, texts: &mut HashMap<&'b str, Rc<str>>) -> Result<StackFrame, Malformed> {
        let bits = self.u8()?;
        let (offset, address) = (self.u64()?, self.u64()?);
        let mut text = |input: &mut Input<'b>, bit: u8| -> Result<Option<Rc<str>>, Malformed> {
            if bits & bit == 0 {
                return Ok(None);
            }
            let text = input.text()?;
            Ok(Some(Rc::clone(texts.entry(text).or_insert_with(|| text.into()))))
        };
        let name = text(self, has::NAME)?;
        let module = text(self, has::MODULE)?;
        let file = text(self, has::SOURCE)?;
        let source = file.map(|file| Ok((file, self.u32()?))).transpose()?;
        Ok(StackFrame { name, offset, module, address, source, inlined: bits & has::INLINED != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let places = vec![CodeAddress::Exact(1), CodeAddress::Return(u64::MAX)];
        let request = Request { id: 7, pid: 42, places };
        let bytes = request.encode();
        assert_eq!(length(*bytes.first_chunk().unwrap()), Ok(bytes.len() - 4));
        assert_eq!(Request::decode(&bytes[4..]), Ok(request));

        let inner = StackFrame {
            name: Some("f".into()),
            source: Some(("a.c".into(), 3)),
            inlined: true,
            ..StackFrame::unknown(5)
        };
        let outer = StackFrame { module: Some("m".into()), offset: 9, ..StackFrame::unknown(5) };
        let frames: StackFrames = Rc::new([inner, outer]);
        let found = vec![Found { frames: Rc::clone(&frames), is_settled: true }];
        let reply = Reply { id: 7, generation: 1, found, given_up: vec!["why".into()] };
        let bytes = reply.encode();
        let back = Reply::decode(&bytes[4..]).unwrap();
        assert_eq!((back.id, back.generation, &*back.given_up[0]), (7, 1, "why"));
        assert_eq!((&back.found[0].frames, back.found[0].is_settled), (&frames, true));
        // A truncated or extended message is not valid.
        for end in 0..bytes.len() - 4 {
            assert!(Reply::decode(&bytes[4..4 + end]).is_err(), "{end}");
        }
        assert!(Reply::decode(&[&bytes[4..], &[0]].concat()).is_err());
    }

    #[test]
    fn counts_and_lengths_that_lie_reserve_nothing() {
        assert_eq!(length([0xff; 4]), Err(Malformed));
        let mut reply = Reply::default().encode();
        for at in 4..reply.len() {
            reply[at] = 0xff;
            let _ = Reply::decode(&reply[4..]);
        }
        let long = StackFrame { name: Some("x".repeat(100_000).into()), ..StackFrame::unknown(1) };
        let found = vec![Found { frames: Rc::new([long]), is_settled: false }];
        let bytes = Reply { found, ..Reply::default() }.encode();
        assert!(bytes.len() < MAX_TEXT + 100);
    }
}
