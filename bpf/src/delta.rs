// SPDX-License-Identifier: MIT
//! A text as its difference from another one. Headers of two kernels have most of their lines in
//! common, but in another order: structs are moved, and members are added to them.
//!
//! A delta is a zlib stream. It has a number of steps, the steps, and then the lines that only the
//! new text has. A step takes lines from there, then copies lines of the base. It consists of three
//! numbers: how many lines it takes, how many it copies, and where the copy begins, relative to the
//! end of the previous copy (the sign in the lowest bit). A number has seven bits in each byte,
//! lowest first, and the highest bit of a byte says that another one follows.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// The delta from which [`expand`] gets `text`, given `base`. The same texts give the same bytes.
///
/// # Errors
/// None that is known: it writes to memory.
pub fn create(base: &str, text: &str) -> io::Result<Vec<u8>> {
    let base = Base::new(base);
    let mut script = Script::default();
    for definition in definitions(text) {
        base.describe(&definition, &mut script);
    }
    let mut numbers = Vec::new();
    put(script.steps.len(), &mut numbers);
    let mut at = 0;
    for step in &script.steps {
        put(step.own, &mut numbers);
        put(step.copied, &mut numbers);
        let distance = step.from.abs_diff(at) << 1;
        put(distance | usize::from(step.from < at), &mut numbers);
        at = step.from + step.copied;
    }
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&numbers)?;
    zlib.write_all(script.text.as_bytes())?;
    zlib.finish()
}

/// The text that `delta` was created for.
///
/// # Errors
/// The delta is damaged, or belongs to another base.
pub fn expand(base: &str, delta: &[u8]) -> io::Result<String> {
    let mut data = Vec::new();
    ZlibDecoder::new(delta).read_to_end(&mut data)?;
    expanded(base, &data).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn expanded(base: &str, data: &[u8]) -> Option<String> {
    let base: Vec<&str> = base.split_inclusive('\n').collect();
    let mut rest = data;
    let count = take(&mut rest)?;
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push((take(&mut rest)?, take(&mut rest)?, take(&mut rest)?));
    }
    let mut own = std::str::from_utf8(rest).ok()?.split_inclusive('\n');
    let mut text = String::new();
    let mut at = 0_usize;
    for (lines, copied, distance) in steps {
        for _ in 0..lines {
            text.push_str(own.next()?);
        }
        let from = match distance & 1 {
            0 => at.checked_add(distance >> 1)?,
            _ => at.checked_sub(distance >> 1)?,
        };
        at = from.checked_add(copied)?;
        base.get(from..at)?.iter().for_each(|line| text.push_str(line));
    }
    own.next().is_none().then_some(text)
}

fn put(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(data: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, rest) = data.split_first()?;
        *data = rest;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Lines of the new text, then lines of the base.
#[derive(Debug, Default)]
struct Step {
    own: usize,
    from: usize,
    copied: usize,
}

/// The steps, and the lines of the new text that they take.
#[derive(Debug, Default)]
struct Script {
    steps: Vec<Step>,
    text: String,
}

impl Script {
    fn take(&mut self, line: &str) {
        match self.steps.last_mut() {
            Some(last) if last.copied == 0 => last.own += 1,
            _ => self.steps.push(Step { own: 1, ..Step::default() }),
        }
        self.text.push_str(line);
    }

    fn copy(&mut self, from: usize, count: usize) {
        match self.steps.last_mut() {
            Some(last) if last.copied == 0 => (last.from, last.copied) = (from, count),
            Some(last) if last.from + last.copied == from => last.copied += count,
            _ => self.steps.push(Step { own: 0, from, copied: count }),
        }
    }
}

/// The definitions of a text, as lines. Each ends with an empty line.
fn definitions(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let mut lines = text.split_inclusive('\n').peekable();
    std::iter::from_fn(move || {
        lines.peek()?;
        let mut definition = Vec::new();
        for line in lines.by_ref() {
            definition.push(line);
            if line == "\n" {
                break;
            }
        }
        Some(definition)
    })
}

/// The definitions of the base, and the number of the first line of each.
struct Base<'a> {
    whole: HashMap<Vec<&'a str>, usize>,
    /// By the first line, which names what is defined.
    named: HashMap<&'a str, (usize, Vec<&'a str>)>,
}

impl<'a> Base<'a> {
    fn new(text: &'a str) -> Base<'a> {
        let mut base = Base { whole: HashMap::new(), named: HashMap::new() };
        let mut at = 0;
        for definition in definitions(text) {
            let count = definition.len();
            base.named.entry(definition[0]).or_insert_with(|| (at, definition.clone()));
            base.whole.entry(definition).or_insert(at);
            at += count;
        }
        base
    }

    /// Describes a definition of the new text: it is copied, or compared with that of the same
    /// name.
    fn describe(&self, definition: &[&'a str], script: &mut Script) {
        if let Some(at) = self.whole.get(definition) {
            return script.copy(*at, definition.len());
        }
        let Some((at, other)) = self.named.get(definition[0]) else {
            return definition.iter().for_each(|line| script.take(line));
        };
        for (line, found) in definition.iter().zip(common_lines(other, definition)) {
            match found {
                Some(number) => script.copy(at + number, 1),
                None => script.take(line),
            }
        }
    }
}

/// For each line of `new`, the number of the same line in `old`. The numbers increase, and as many
/// lines as possible have one.
fn common_lines(old: &[&str], new: &[&str]) -> Vec<Option<usize>> {
    let width = new.len() + 1;
    // The number of common lines from a line of each text to their ends.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = match old[i] == new[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let mut found = vec![None; new.len()];
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            found[j] = Some(i);
            (i, j) = (i + 1, j + 1);
        } else if common[(i + 1) * width + j] >= common[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "/* 2 */\n\nstruct a {\n\tint x;\n\tint y;\n};\n\ntypedef int t;\n\nenum e {\n\tE = 0,\n};\n";

    #[test]
    fn a_text_comes_back() {
        for text in [
            BASE,
            "",
            "no end of line",
            "/* 1 */\n\ntypedef int t;\n\nstruct a {\n\tint x;\n\tint w;\n\tint y;\n};\n",
            "enum e {\n\tE = 0,\n};\n\nstruct a {\n\tint y;\n};\n\n\n\ntypedef int t;\n\nstruct b;",
        ] {
            let delta = create(BASE, text).unwrap();
            assert_eq!(expand(BASE, &delta).unwrap(), text);
            assert_eq!(create(BASE, text).unwrap(), delta);
        }
        assert_eq!(expand("", &create("", BASE).unwrap()).unwrap(), BASE);
    }

    #[test]
    fn what_the_base_has_is_copied() {
        let mut script = Script::default();
        let base = Base::new(BASE);
        for definition in definitions("struct a {\n\tint y;\n\tint z;\n};\n\ntypedef int t;\n\n") {
            base.describe(&definition, &mut script);
        }
        assert_eq!(script.text, "\tint z;\n");
        let steps: Vec<_> = script.steps.iter().map(|s| (s.own, s.from, s.copied)).collect();
        assert_eq!(steps, [(0, 2, 1), (0, 4, 1), (1, 5, 4)]);
    }

    #[test]
    fn numbers_of_any_size() {
        for number in [0, 1, 127, 128, 300, 1 << 40, usize::MAX] {
            let mut data = Vec::new();
            put(number, &mut data);
            let mut rest = &data[..];
            assert_eq!((take(&mut rest), rest.len()), (Some(number), 0));
            assert_eq!(take(&mut &data[..data.len() - 1]), None);
        }
        assert_eq!(take(&mut &[0xff; 20][..]), None);
    }

    #[test]
    fn damaged_deltas_are_errors() {
        let delta = create(BASE, "enum e {\n\tE = 0,\n};\nint i;\n").unwrap();
        assert!(expand("", &delta).is_err(), "another base");
        assert!(expand(BASE, &delta[..delta.len() / 2]).is_err(), "cut");
        let bad: [&[u8]; 6] = [
            &[],
            &[1, 0, 1],
            &[1, 0, 1, 3],
            &[1, 2, 0, 0, b'a', b'\n'],
            &[0, b'a'],
            &[1, 1, 0, 0, 0xff],
        ];
        for data in bad {
            assert_eq!(expanded(BASE, data), None, "{data:?}");
        }
    }
}
