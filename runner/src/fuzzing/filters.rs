// SPDX-License-Identifier: MIT
//! Any text as an expression, with members and data from any bytes.

use bpfpack_decode::meaning::{Meaning, NAMED};
use bpfpack_decode::{Field, Layout, Member, Struct};
use bpfpack_filter::{Derived, Expr, Filter, FilterError, Names, Part, Scope, Value};

/// A few names for each meaning.
struct AnyNames;

impl Names for AnyNames {
    fn all(&self, meaning: Meaning) -> Vec<(i128, String)> {
        let name = meaning.name().unwrap_or("none").to_ascii_uppercase();
        vec![(1, "ENOENT".into()), (2, "SIGKILL".into()), (3, name)]
    }
}

/// Compiles and evaluates an expression.
///
/// # Panics
/// Panics if an expression and its negation are both true, or if one that cannot match does.
pub fn run_filter(input: &[u8]) {
    let Some((first, rest)) = input.split_first_chunk::<2>() else { return };
    let (count, len) = (usize::from(first[0] % 8) * 4, usize::from(first[1]));
    let Some((members, rest)) = rest.split_at_checked(count) else { return };
    let Some((text, bytes)) = rest.split_at_checked(len.min(rest.len())) else { return };
    let layout = layout(members);
    let part = |qualifier| Part { qualifier, layout: &layout };
    let meaning = Some(NAMED[usize::from(first[0]) % NAMED.len()].1);
    let scopes = [
        Scope::record(&layout),
        Scope {
            parts: vec![part(Some("key")), part(Some("value"))],
            derived: vec![Derived { name: "p99", meaning }],
        },
    ];
    let text = String::from_utf8_lossy(text);
    let Some([one, other]) = compile(&text, &scopes) else { return };
    let opposite = compile(&format!("!({text})"), &scopes);
    let value = Value::Int(i128::from(first[1]) << (first[0] % 64));
    for bytes in [bytes, &bytes[..bytes.len() / 2], &[]] {
        let matches = |filters: &[Filter; 2]| {
            let parts: [&[u8]; 2] = [bytes, &bytes[bytes.len() / 3..]];
            [filters[0].matches_record(bytes), filters[1].matches(&parts, &|_| Some(value))]
        };
        let are = matches(&[one.clone(), other.clone()]);
        assert!((!are[0] || one.can_match()) && (!are[1] || other.can_match()), "{text}");
        if let Some(opposite) = &opposite {
            let opposite = matches(opposite);
            assert!(!(are[0] && opposite[0]) && !(are[1] && opposite[1]), "{text}");
        }
    }
}

fn compile(text: &str, scopes: &[Scope<'_>; 2]) -> Option<[Filter; 2]> {
    let check = |error: FilterError| {
        assert!(text.get(error.span.clone()).is_some() || text.len() > 1 << 14, "{error:?}");
        assert_eq!(error.marked().lines().count(), 2, "{error:?}");
    };
    let expr = Expr::parse(text).map_err(check).ok()?;
    Filter::compile_all(&expr, scopes, &AnyNames).map_err(check).ok()?.try_into().ok()
}

/// A struct with members `a`, `b` …, each from four bytes: its type, size, meaning and offset.
fn layout(bytes: &[u8]) -> Layout {
    let members = bytes.chunks_exact(4).zip('a'..).map(|(bytes, name)| {
        let [kind, size, meaning, offset] = [0, 1, 2, 3].map(|at| usize::from(bytes[at]));
        let int = Layout::Int { size: size % 17, signed: kind % 2 == 1 };
        let layout = match kind / 2 % 10 {
            0 | 1 => int.clone(),
            2 => Layout::Text { size: size % 40 },
            3 => Layout::Rest { element: Layout::Text { size: 1 }.into(), stride: 1 },
            4 => Layout::Array { element: int.clone().into(), stride: size % 17, len: size },
            5 => Layout::Bool,
            6 => Layout::Float { size: 4 + 4 * (size % 2) },
            7 => Layout::Enum {
                size: 1 + size % 8,
                signed: false,
                names: vec![(0, "X".into()), (-1, "Y".into())],
            },
            8 => Layout::Label { size: size % 17, names: vec!["X".into(), "Y".into()] },
            _ => Layout::Struct(Struct {
                size: 8,
                members: vec![Member::new("a", size % 3, int.clone())],
            }),
        };
        let family = (kind > 127).then_some(Field { offset: size, size: 1 + size % 4 });
        let meaning = match NAMED.get(meaning % (NAMED.len() + 9)).map(|(_, meaning)| *meaning) {
            Some(Meaning::Ipv4(_)) => Some(Meaning::Ipv4(family)),
            Some(Meaning::Ipv6(_)) => Some(Meaning::Ipv6(family)),
            Some(Meaning::Ip(_)) => Some(Meaning::Ip(family)),
            other => other,
        };
        let is_number = matches!(layout, Layout::Int { .. } | Layout::Enum { .. });
        let bits = (is_number && offset > 200).then_some((size as u32 % 8, 1 + kind as u32 % 120));
        let length = family.filter(|_| offset % 2 == 1);
        Member { bits, meaning, length, ..Member::new(name, offset % 64, layout) }
    });
    Layout::Struct(Struct { size: 64, members: members.collect() })
}
