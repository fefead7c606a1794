// SPDX-License-Identifier: MIT
//! Checks for every run, whatever its input: it ends with a documented exit code, without a panic,
//! within its memory limit, and its output is printable.

use super::process::Ended;

/// Exit codes of `ecc` (packer/README.md).
pub const ECC: &[i32] = &[0, 1, 2, 3, 4, 5, 6, 7];
/// Exit codes of `ecli` (runner/README.md) for packages without modules.
pub const ECLI: &[i32] = &[0, 1, 2, 3, 4, 5, 6, 7, 8];
/// Exit codes with modules that choose none of their own.
pub const MODULES: &[i32] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// Success only.
pub const SUCCESS: &[i32] = &[0];

/// The result of a case: success, or what was wrong.
pub type Verdict = Result<(), String>;

/// Texts of Rust's runtime for failures that a program's author did not foresee.
const PANICS: [&str; 5] = [
    "panicked at",
    "RUST_BACKTRACE",
    "has overflowed its stack",
    "memory allocation of",
    "entered unreachable code",
];

/// Checks what holds for every run.
///
/// # Errors
/// Returns an error that says what does not hold.
pub fn ended(ended: &Ended, codes: &[i32], memory: Option<u64>) -> Verdict {
    if ended.was_late {
        return Err(format!("no end within {:.1} s", ended.took.as_secs_f64()));
    }
    let stderr = String::from_utf8_lossy(&ended.stderr);
    if let Some(text) = PANICS.iter().find(|text| stderr.contains(**text)) {
        return Err(format!("a panic: `{text}`"));
    }
    if let Some(signal) = ended.signal() {
        return Err(format!("ended by signal {signal}"));
    }
    let code = ended.code().unwrap_or(-1);
    if !codes.contains(&code) {
        return Err(format!("exit code {code}, where {codes:?} can be"));
    }
    if ended.left_processes {
        return Err("something that it had started lived on for a second".into());
    }
    if let Some(most) = memory.filter(|most| ended.peak > *most) {
        return Err(format!("{} KB resident, {} can be", ended.peak >> 10, most >> 10));
    }
    shown(&ended.stderr, Screen::File).map_err(|what| format!("standard error: {what}"))
}

/// Where text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// No colors; lines end with a line feed.
    File,
    /// Colors; lines end with a carriage return and a line feed, because the terminal adds the
    /// former.
    Terminal,
}

/// The colors and weights that both programs and clang use for their own words. Those in hostile
/// names have other numbers, so that they can be distinguished.
pub const OWN_COLOURS: [&str; 14] = [
    "0", "1", "4", "31", "32", "33", "34", "36", "0;1;30", "0;1;31", "0;1;32", "0;1;35", "0;1;36",
    "0;34",
];

/// Checks that each byte is printable: UTF-8 text in which nothing moves the cursor, is invisible,
/// or changes the order of its surroundings.
///
/// # Errors
/// Returns an error with the first such character and the text before it.
pub fn shown(bytes: &[u8], screen: Screen) -> Verdict {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        format!("byte {at} is no UTF-8: {}", around(bytes, at))
    })?;
    let is_terminal = screen == Screen::Terminal;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let is_ours = match c {
            '\n' | '\t' => true,
            '\r' => is_terminal && matches!(rest.peek(), Some((_, '\n' | '\r'))),
            '\x1b' if is_terminal => {
                let length = own_color(&text[at..]);
                for _ in 1..length {
                    rest.next();
                }
                length > 0
            }
            c => !is_hidden(c),
        };
        if !is_ours {
            let c = c.escape_unicode();
            return Err(format!("byte {at} is {c}: {}", around(bytes, at)));
        }
    }
    Ok(())
}

/// Checks the output of a format in a file: it is printable, and a spreadsheet treats no cell as a
/// formula.
///
/// # Errors
/// Returns an error with the first violation.
pub fn written(bytes: &[u8], format: &str) -> Verdict {
    if format == "raw" {
        return Ok(());
    }
    shown(bytes, Screen::File)?;
    let text = String::from_utf8_lossy(bytes);
    match format {
        "csv" => cells(&text, ','),
        "tsv" => cells(&text, '\t'),
        _ => Ok(()),
    }
}

/// The number of bytes of one of our colors at the beginning of a text; 0 if there is none.
fn own_color(text: &str) -> usize {
    let Some((number, _)) = text.strip_prefix("\x1b[").and_then(|rest| rest.split_once('m')) else {
        return 0;
    };
    let rest = &text[number.len() + 3..];
    let is_ours = OWN_COLOURS.contains(&number) || number == "7" && is_escaped_by_clang(rest);
    if is_ours { number.len() + 3 } else { 0 }
}

/// Whether clang shows this text in reverse video: a character or a byte that it does not print.
fn is_escaped_by_clang(text: &str) -> bool {
    let inside = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(it, _)| it);
    inside.is_some_and(|it| {
        let digits = it.strip_prefix("U+").unwrap_or(it);
        digits.len() >= 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Control characters and invisible characters.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{115f}' | '\u{1160}' | '\u{3164}'
            | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}'
            // Zero width, direction marks; separators, direction embeddings and overrides.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            // Invisible operators, direction isolates, shapes.
            | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            // Tags and variants.
            | '\u{e0000}'..='\u{e0fff}')
}

/// A part of a text, escaped.
fn around(bytes: &[u8], at: usize) -> String {
    let piece = &bytes[at.saturating_sub(40)..(at + 12).min(bytes.len())];
    format!("`{}`", piece.escape_ascii())
}

/// Checks the cells of CSV or TSV: a spreadsheet must treat none as a formula.
///
/// # Errors
/// Returns an error with the first formula.
pub fn cells(text: &str, separator: char) -> Verdict {
    for row in rows(text, separator) {
        for cell in row {
            let is_formula = cell.starts_with(['=', '+', '-', '@']);
            if is_formula && !is_number(&cell) {
                return Err(format!("the cell `{}` is a formula", cell.escape_debug()));
            }
        }
    }
    Ok(())
}

fn is_number(cell: &str) -> bool {
    cell.parse::<i128>().is_ok() || cell.parse::<f64>().is_ok()
}

/// The cells of a text (RFC 4180). In TSV, quotes have no meaning.
fn rows(text: &str, separator: char) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut is_quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let Some(row) = rows.last_mut() else { break };
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                rest.next();
                row.last_mut().into_iter().for_each(|cell| cell.push('"'));
            }
            '"' if separator == ',' => is_quoted = !is_quoted,
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => rows.push(vec![String::new()]),
            c if c == separator && !is_quoted => row.push(String::new()),
            c => row.last_mut().into_iter().for_each(|cell| cell.push(c)),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_found() {
        assert_eq!(shown("é a\tb\n§ \u{10ffff}".as_bytes(), Screen::File), Ok(()));
        for text in ["\x1b[1m", "a\rb", "\x07", "\u{9b}", "\u{202e}", "\u{200b}", "\u{2028}"] {
            assert!(shown(text.as_bytes(), Screen::File).is_err(), "{text:?}");
        }
        assert!(shown(b"\xff", Screen::File).is_err());
        let terminal = |text: &str| shown(text.as_bytes(), Screen::Terminal).is_ok();
        assert!(terminal("\x1b[1m\x1b[31merror:\x1b[0m a\r\nb\r\r\n"));
        assert!(terminal("\x1b[7m<U+001B>\x1b[0m \x1b[7m<FF>\x1b[0m"));
        for text in
            ["\x1b[7mx", "\x1b[7m</a>", "\x1b[35m", "\x1b]0;x\x07", "\x1b[2J", "\x1b", "a\rb"]
        {
            assert!(!terminal(text), "{text:?}");
        }
    }

    #[test]
    fn formulas_are_found() {
        assert_eq!(cells("a,b\n-1,+2.5\n'=1,\"'-x\"\n-inf,a=b\n", ','), Ok(()));
        for text in ["=1", "a,@x", "\"=1+\"\"2\"\"\"", "-x", "a\n+b"] {
            assert!(cells(text, ',').is_err(), "{text}");
        }
        assert!(cells("a\t=1", '\t').is_err() && cells("a\t\"=1", '\t').is_ok());
    }
}
