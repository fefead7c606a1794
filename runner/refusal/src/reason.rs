// SPDX-License-Identifier: MIT
//! A reason of the verifier in words, and what it is found by.

use crate::log::{Instruction, register};

/// What a message is judged by.
pub(crate) struct Facts<'f, 'l> {
    /// The message.
    pub(crate) message: &'l str,
    /// The instruction before it.
    pub(crate) refused: Option<Instruction<'l>>,
    /// Whether it has come more than once on the path.
    pub(crate) is_repeated: bool,
    /// The function whose result a register has.
    pub(crate) origin: &'f dyn Fn(u8) -> Option<&'l str>,
    /// The function that the instruction with this number calls.
    pub(crate) made: &'f dyn Fn(u32) -> Option<&'l str>,
    /// The section of the program.
    pub(crate) section: &'f str,
    /// The license of the object.
    pub(crate) license: Option<&'f str>,
}

impl<'l> Facts<'_, 'l> {
    /// The kind of the program, from its section.
    pub(crate) fn kind(&self) -> &str {
        self.section.trim_start_matches('?').split('/').next().unwrap_or_default()
    }

    /// The function that the refused instruction calls.
    pub(crate) fn called(&self) -> Option<&'l str> {
        self.refused?.called()
    }

    /// The function that the refused instruction calls, quoted; `a function` if that is not known.
    pub(crate) fn function(&self) -> String {
        self.called().map_or("a function".to_owned(), |name| format!("`{name}`"))
    }

    /// The register that the message begins with.
    pub(crate) fn register(&self) -> Option<u8> {
        register(self.message.split(' ').next()?)
    }

    /// Whether the message contains a text.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.message.contains(text)
    }

    /// The text of the message between two others.
    pub(crate) fn between(&self, before: &str, after: &str) -> Option<&'l str> {
        let (_, rest) = self.message.split_once(before)?;
        rest.split_once(after).map(|(text, _)| text)
    }

    /// The number in the message after a text.
    pub(crate) fn number(&self, before: &str) -> Option<i64> {
        let (_, rest) = self.message.split_once(before)?;
        let end =
            rest.char_indices().find(|(at, c)| !(c.is_ascii_digit() || *at == 0 && *c == '-'));
        rest[..end.map_or(rest.len(), |(at, _)| at)].parse().ok()
    }

    /// The result of a function, or another pointer, that the register of the message has.
    pub(crate) fn pointer(&self) -> String {
        match self.register().and_then(self.origin) {
            Some(function) => format!("the result of `{function}`"),
            None => "a pointer".to_owned(),
        }
    }

    /// An argument of the function that is called.
    pub(crate) fn argument_or_any(&self) -> String {
        self.argument().unwrap_or_else(|| "an argument".to_owned())
    }

    /// The same, if the message is about one.
    pub(crate) fn argument(&self) -> Option<String> {
        let (register, function) = (self.register()?, self.called()?);
        (1..=5).contains(&register).then(|| format!("argument {register} of `{function}`"))
    }
}

/// Where the value that matters is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is in this register.
    Register(u8),
    /// The instruction with this number made it.
    Instruction(u32),
}

/// Why a program is refused.
#[derive(Debug, Default)]
pub(crate) struct Reason {
    /// The cause; `None` if it is not known.
    pub(crate) cause: Option<String>,
    /// Where the value that matters is from.
    pub(crate) origin: Option<Origin>,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Reason {
    pub(crate) fn new(cause: impl Into<String>) -> Reason {
        Reason { cause: Some(cause.into()), ..Reason::default() }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Reason {
        Reason { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn of_register(self, register: Option<u8>) -> Reason {
        Reason { origin: register.map(Origin::Register), ..self }
    }

    pub(crate) fn of_instruction(self, index: Option<i64>) -> Reason {
        let index = index.and_then(|index| u32::try_from(index).ok());
        Reason { origin: index.map(Origin::Instruction), ..self }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A message alone.
    pub(crate) fn facts(message: &str) -> Facts<'_, '_> {
        Facts {
            message,
            refused: None,
            is_repeated: false,
            origin: &|_| None,
            made: &|_| None,
            section: "",
            license: None,
        }
    }

    #[test]
    fn numbers_in_messages() {
        assert_eq!(facts("off=-520 size=8").number("off="), Some(-520));
        assert_eq!(facts("is 832. Too large").number("is "), Some(832));
        assert_eq!(facts("size=").number("size="), None);
        assert_eq!(facts("a").number("b"), None);
    }
}
