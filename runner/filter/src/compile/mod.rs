// SPDX-License-Identifier: MIT
//! Compiles names and constants to tests, by the types of members.

mod number;
mod value;

use std::ops::Range;

use bpfpack_decode::Layout;
use bpfpack_decode::meaning::Meaning;

use crate::error::FilterError;
use crate::expr::Node;
use crate::names::Names;
use crate::pattern::Pattern;
use crate::scope::{Derived, Found, Place, Scope};
use crate::token::{Op, Word};
use crate::tree::{Address, Number, Test, Text, Version};

/// Compiles an expression for one scope.
pub(crate) struct Compiler<'c> {
    text: &'c str,
    scope: &'c Scope<'c>,
    names: &'c dyn Names,
    /// Names that the scope does not have, or only for members that cannot be compared.
    pub(crate) missing: Vec<Missing>,
}

/// A name that cannot be compared.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) span: Range<usize>,
    /// Why the member cannot be compared; `None` if there is no such member.
    pub(crate) error: Option<FilterError>,
}

/// How a member is compared.
enum Operand<'l> {
    Number(Number, Place<'l>),
    Float(Number, Place<'l>),
    Text(Text),
    /// As an address, or as the number in its bytes, if they are one.
    Address(Address, Option<Number>),
    Mac(Place<'l>),
    Derived(usize, &'l Derived<'l>),
    /// It cannot be compared; the text says what it is.
    None(&'static str),
}

/// A question about a member.
#[derive(Clone, Copy)]
enum Asked<'n> {
    /// Whether it is true.
    Is,
    Compare(Op, &'n Word),
    In(&'n [Word]),
    Match(&'n Word),
}

impl<'n> Asked<'n> {
    /// The tests of a comparison, or of membership in a list; `None` for other questions.
    fn compared(self, compare: impl Fn(Op, &'n Word) -> Result<Test>) -> Option<Result<Test>> {
        match self {
            Asked::Compare(op, word) => Some(compare(op, word)),
            Asked::In(words) => {
                let tests = words.iter().map(|word| compare(Op::Eq, word));
                Some(tests.collect::<Result<_>>().map(Test::Any))
            }
            Asked::Is | Asked::Match(_) => None,
        }
    }
}

type Result<T> = std::result::Result<T, FilterError>;

impl<'c> Compiler<'c> {
    pub(crate) fn new(text: &'c str, scope: &'c Scope<'c>, names: &'c dyn Names) -> Self {
        Compiler { text, scope, names, missing: Vec::new() }
    }

    pub(crate) fn test(&mut self, node: &Node) -> Result<Test> {
        let (member, asked) = match node {
            Node::All(nodes) if nodes.len() == 1 => return self.test(&nodes[0]),
            Node::All(nodes) => return Ok(Test::All(self.tests(nodes)?)),
            Node::Any(nodes) => return Ok(Test::Any(self.tests(nodes)?)),
            Node::Not(node) => return Ok(Test::Not(self.test(node)?.into())),
            Node::Is(member) => (member, Asked::Is),
            Node::Compare { member, op, with } => (member, Asked::Compare(*op, with)),
            Node::Match { member, pattern } => (member, Asked::Match(pattern)),
            Node::In { member, list } => (member, Asked::In(list)),
        };
        let Some(found) = self.scope.find(&member.raw) else {
            self.missing.push(Missing { span: member.span.clone(), error: None });
            return Ok(Test::Unknown);
        };
        match (operand(found), asked) {
            (Operand::None(what), _) => {
                let error = self.error(&member.span, format!("`{}` is {what}", member.raw));
                let error = Some(error.hint("a filter compares numbers, text and addresses"));
                self.missing.push(Missing { span: member.span.clone(), error });
                Ok(Test::Unknown)
            }
            // `!=` is the negation of `==`.
            (operand, Asked::Compare(Op::Ne, with)) => {
                let test = self.ask(member, operand, Asked::Compare(Op::Eq, with))?;
                Ok(Test::Not(test.into()))
            }
            (operand, asked) => self.ask(member, operand, asked),
        }
    }

    fn tests(&mut self, nodes: &[Node]) -> Result<Vec<Test>> {
        nodes.iter().map(|node| self.test(node)).collect()
    }

    fn ask(&self, member: &Word, operand: Operand<'_>, asked: Asked<'_>) -> Result<Test> {
        match operand {
            Operand::Number(number, place) => self.number(member, number, &place, asked),
            Operand::Float(number, place) => self.float(member, number, &place, asked),
            Operand::Text(text) => self.of_text(member, &text, asked),
            Operand::Address(address, number) => self.address(member, address, number, asked),
            Operand::Mac(place) => self.mac(member, &place, asked),
            Operand::Derived(index, derived) => self.derived(member, index, derived, asked),
            Operand::None(_) => Ok(Test::Unknown),
        }
    }

    fn error(&self, span: &Range<usize>, message: String) -> FilterError {
        FilterError::new(self.text, span.clone(), message)
    }

    /// The error for a question that does not suit the member.
    fn mismatch(&self, member: &Word, is: &str, asked: Asked<'_>) -> FilterError {
        let how = match asked {
            Asked::Is => "it is not true or false by itself",
            Asked::Compare(..) => "its values have no order",
            Asked::In(_) => "it cannot be compared with this",
            Asked::Match(_) => "a regular expression needs text",
        };
        self.error(&member.span, format!("`{}` is {is}: {how}", member.raw))
    }

    fn pattern(&self, word: &Word) -> Result<Pattern> {
        Pattern::new(&word.raw).map_err(|reason| {
            self.error(&word.span, format!("this is not a regular expression: {reason}"))
        })
    }
}

/// How a member is compared. Its meaning takes precedence over its type.
fn operand(found: Found<'_>) -> Operand<'_> {
    let place = match found {
        Found::Place(place) => place,
        Found::Derived(index, derived) => return Operand::Derived(index, derived),
    };
    let size = place.layout.size();
    let is_bitfield = place.member.is_some_and(|member| member.bits.is_some());
    let text = |size| {
        let joined = place.member.filter(|member| member.length.is_some());
        let joined = joined.map(|member| Box::new((member.clone(), place.base)));
        Operand::Text(Text { part: place.part, offset: place.offset, size, joined })
    };
    let (version, family) = match place.meaning.filter(|_| !is_bitfield) {
        Some(Meaning::Ipv4(family)) if size >= 4 => (Version::Four, family),
        Some(Meaning::Ip(family)) if (4..16).contains(&size) => (Version::Four, family),
        Some(Meaning::Ip(family)) if size >= 16 => (Version::Both, family),
        Some(Meaning::Ipv6(family)) if size >= 16 => (Version::Six, family),
        Some(Meaning::Mac) if size >= 6 => return Operand::Mac(place),
        Some(Meaning::Text) => return text(Some(size)),
        _ => return by_layout(place.clone(), text),
    };
    let is_number = matches!(place.layout, Layout::Int { .. });
    let number = is_number.then(|| number(&place));
    let Place { part, offset, .. } = place;
    Operand::Address(Address { part, offset, version, family }, number)
}

fn by_layout<'l>(place: Place<'l>, text: impl Fn(Option<usize>) -> Operand<'l>) -> Operand<'l> {
    match place.layout {
        Layout::Text { size } => text(Some(*size)),
        Layout::Rest { element, .. } if matches!(**element, Layout::Text { .. }) => text(None),
        Layout::Int { .. }
        | Layout::Enum { .. }
        | Layout::Label { .. }
        | Layout::Bool
        | Layout::Pointer => Operand::Number(number(&place), place),
        Layout::Float { .. } => Operand::Float(number(&place), place),
        Layout::Struct(_) => Operand::None("a struct: name one of its members"),
        Layout::Array { .. } => {
            Operand::None("an array: name one of its elements, for example `[0]`")
        }
        Layout::Rest { .. } => Operand::None("an array without a length"),
        Layout::Bytes { .. } => Operand::None("bytes without a type"),
    }
}

fn number(place: &Place<'_>) -> Number {
    let (mut size, mut signed) = place.layout.number();
    if let Layout::Enum { names, .. } = place.layout {
        // clang 14 does not mark an enum as signed, but its values show it.
        signed |= names.iter().any(|(value, _)| *value < 0);
    }
    let bits = place.member.and_then(|member| member.bits);
    if let Some((first, len)) = bits {
        size = ((first + len) as usize).div_ceil(8);
    }
    let is_short = bits.is_none() && (1..=8).contains(&size);
    // Programs store results in unsigned members, too.
    signed |= is_short && matches!(place.meaning, Some(Meaning::Errno | Meaning::Result));
    let swapped = is_short && matches!(place.meaning, Some(Meaning::Port | Meaning::NetworkOrder));
    Number {
        part: place.part,
        offset: place.offset,
        size: size.min(16),
        signed: signed && !swapped,
        swapped,
        bits,
    }
}
