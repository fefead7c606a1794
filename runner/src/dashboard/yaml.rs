// SPDX-License-Identifier: MIT
//! Rules as YAML. Texts are ASCII and quoted, so no reader takes them for anything else.

use std::fmt::Write as _;

use bpfpack_schemas::printable::one_line;

use super::files::MARK;
use super::rules::{Group, Rule};

/// A file of rules.
pub(super) fn file(package: &str, groups: &[Group]) -> String {
    let mut out = format!("# {MARK} for the package {}.\ngroups:\n", one_line(package));
    for Group { name, rules } in groups {
        line(&mut out, "  - name", name);
        out.push_str("    rules:\n");
        for rule in rules {
            match rule {
                Rule::Record { name, expr } => {
                    line(&mut out, "      - record", name);
                    line(&mut out, "        expr", expr);
                }
                Rule::Alert(alert) => {
                    line(&mut out, "      - alert", alert.name);
                    line(&mut out, "        expr", &alert.expr);
                    line(&mut out, "        for", alert.time);
                    out.push_str("        labels:\n");
                    line(&mut out, "          severity", alert.severity);
                    out.push_str("        annotations:\n");
                    line(&mut out, "          summary", alert.summary);
                    line(&mut out, "          description", alert.description);
                }
            }
        }
    }
    out
}

fn line(out: &mut String, key: &str, text: &str) {
    out.push_str(key);
    out.push_str(": ");
    quote(text, out);
    out.push('\n');
}

/// Appends a text in single quotes, in which nothing has a meaning but the quote. Other characters
/// than those of ASCII need double quotes and escapes.
fn quote(text: &str, out: &mut String) {
    let is_plain = |c: char| matches!(c, ' '..='~');
    if text.chars().all(is_plain) {
        let _ = write!(out, "'{}'", text.replace('\'', "''"));
        return;
    }
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            c if is_plain(c) => write!(out, "{c}"),
            c => write!(out, "\\U{:08X}", u32::from(c)),
        };
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        let quoted = |text: &str| {
            let mut out = String::new();
            quote(text, &mut out);
            out
        };
        assert_eq!(quoted("a: 'b' \"c\" \\d"), r#"'a: ''b'' "c" \d'"#);
        assert_eq!(quoted("é\"\n"), r#""\U000000E9\"\U0000000A""#);
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn names_cannot_end_the_comment() {
        let text = file("a\ngroups: []\u{2028}x", &[]);
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
