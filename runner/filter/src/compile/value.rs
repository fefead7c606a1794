// SPDX-License-Identifier: MIT
//! Comparisons of text and addresses.

use super::{Asked, Compiler, Result};
use crate::scope::Place;
use crate::token::{Op, Word};
use crate::tree::{Address, Network, Number, Test, Text};

impl Compiler<'_> {
    pub(super) fn of_text(&self, member: &Word, text: &Text, asked: Asked<'_>) -> Result<Test> {
        let compare = |op, word: &Word| {
            if word.value.contains(&0) {
                return Err(self.error(&word.span, "text ends at a zero".to_owned()));
            }
            Ok(Test::Text { text: text.clone(), op, constant: word.value.clone().into() })
        };
        if let Asked::Match(word) = asked {
            return Ok(Test::Match { text: text.clone(), pattern: self.pattern(word)? });
        }
        asked.compared(compare).unwrap_or_else(|| Err(self.mismatch(member, "text", asked)))
    }

    pub(super) fn address(
        &self,
        member: &Word,
        address: Address,
        number: Option<Number>,
        asked: Asked<'_>,
    ) -> Result<Test> {
        let no_address = |word: &Word| {
            let shown = String::from_utf8_lossy(&word.value).into_owned();
            let error = self.error(&word.span, format!("`{shown}` is not an address"));
            error.hint(
                "write an address as 10.0.0.1 or fe80::1, a network as 10.0.0.0/8 or fe80::/10",
            )
        };
        let network = |word: &Word| {
            let text = std::str::from_utf8(&word.value).ok();
            text.and_then(Network::parse).ok_or_else(|| no_address(word))
        };
        let networks = match asked {
            Asked::Compare(Op::Eq, word) => {
                // A plain number, as 0 for no address.
                if let (Some(number), Ok(value)) = (number, word.raw.parse::<u32>()) {
                    return Ok(Test::Range { number, low: value.into(), high: value.into() });
                }
                let network = network(word)?;
                if !network.is_host() {
                    let error = self.error(&word.span, format!("`{}` is a network", word.raw));
                    return Err(error.hint(format!("write `{} in {}`", member.raw, word.raw)));
                }
                vec![network]
            }
            Asked::In(words) => words.iter().map(network).collect::<Result<_>>()?,
            _ => {
                let error = self.mismatch(member, "an address", asked);
                return Err(error.hint(format!("write `{} in 10.0.0.0/8`", member.raw)));
            }
        };
        Ok(Test::Address { address, networks })
    }

    pub(super) fn mac(&self, member: &Word, place: &Place<'_>, asked: Asked<'_>) -> Result<Test> {
        let mismatch = || self.mismatch(member, "a hardware address", asked);
        let compare = |op: Op, word: &Word| {
            if op.is_order() {
                return Err(mismatch());
            }
            let text = std::str::from_utf8(&word.value).ok();
            let constant = text.and_then(hardware_address).ok_or_else(|| {
                let shown = String::from_utf8_lossy(&word.value).into_owned();
                let error = self.error(&word.span, format!("`{shown}` is not a hardware address"));
                error.hint("write a hardware address as 00:1b:02:ff:04:05")
            })?;
            let Place { part, offset, .. } = *place;
            Ok(Test::Bytes { part, offset, constant: constant.into() })
        };
        asked.compared(compare).unwrap_or_else(|| Err(mismatch()))
    }
}

fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let byte = |digits: &str| match digits.len() {
        1 | 2 if !digits.starts_with('+') => u8::from_str_radix(digits, 16).ok(),
        _ => None,
    };
    text.split([':', '-']).map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
}
