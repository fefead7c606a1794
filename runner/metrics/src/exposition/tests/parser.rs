// SPDX-License-Identifier: MIT
//! A strict parser of the text formats, for what we write: it takes no freedom that a format gives,
//! as white space or lines in another order.

use std::collections::{BTreeMap, HashSet};

/// A family as it was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Without the suffix that the text format's types have.
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
    is_info: bool,
}

impl Read {
    /// The suffix of samples with a single number.
    pub(super) fn suffix(&self) -> &'static str {
        match self.kind.as_str() {
            "counter" => "_total",
            _ if self.is_info => "_info",
            _ => "",
        }
    }
}

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) suffix: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: String,
}

/// A number in a form that the formats allow.
pub(super) fn float(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => Ok(f64::NAN),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte)) => {
            text.parse().map_err(|_| format!("no number: {text}"))
        }
        _ => Err(format!("no number: {text}")),
    }
}

/// Whether a text is the canonical form of a bound: no other one with fewer digits reads back.
pub(super) fn is_canonical(text: &str, value: f64, is_openmetrics: bool) -> bool {
    let magnitude = value.abs();
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let has_form = if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let (mantissa, exponent) = text.split_once('e').unwrap_or_default();
        digits(mantissa) == digits(format!("{value:e}").split('e').next().unwrap())
            && !mantissa.ends_with(".0")
            && exponent.starts_with(['+', '-'])
            && digits(exponent) == exponent.len() - 1
            && digits(exponent) >= 2
    } else {
        let short = value.to_string();
        let is_whole = is_openmetrics && !short.contains('.');
        text == format!("{short}{}", if is_whole { ".0" } else { "" })
    };
    has_form && float(text) == Ok(value)
}

pub(super) fn parse(text: &str, is_openmetrics: bool) -> Result<Vec<Read>, String> {
    let mut families: Vec<Read> = Vec::new();
    let mut names = HashSet::new();
    let mut help = None;
    let mut lines = text.split_terminator('\n');
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    while let Some(line) = lines.next() {
        let Some(comment) = line.strip_prefix("# ") else {
            let family = families.last_mut().ok_or("a sample before any type")?;
            let sample = sample(line, &family.name).map_err(|e| format!("{e}: {line}"))?;
            family.samples.push(sample);
            continue;
        };
        if comment == "EOF" && is_openmetrics {
            check(&families, true)?;
            return lines.next().map_or(Ok(families), |line| Err(format!("after EOF: {line}")));
        }
        let mut words = comment.splitn(3, ' ');
        let (word, name, value) = (words.next(), words.next(), words.next());
        let (Some(name), Some(value)) = (name, value) else { return Err(format!("half: {line}")) };
        match word {
            // It precedes the type in one format and follows it in the other one.
            Some("HELP") if !is_openmetrics => help = Some((name, unescape(value, false)?)),
            Some("TYPE") => {
                let is_counter = value == "counter" && !is_openmetrics;
                let is_info = value == "info" || !is_openmetrics && name.ends_with("_info");
                let suffix = match (is_counter, is_info && !is_openmetrics) {
                    (true, _) => "_total",
                    (_, true) => "_info",
                    _ => "",
                };
                let short = name.strip_suffix(suffix).ok_or("a type without its suffix")?;
                if !is_name(short) || !names.insert(short) {
                    return Err(format!("a name twice, or none: {line}"));
                }
                let (of, help) = help.take().unwrap_or((name, String::new()));
                if of != name {
                    return Err(format!("a help of another family: {line}"));
                }
                let (name, kind) = (short.to_owned(), value.to_owned());
                families.push(Read { name, kind, help, samples: Vec::new(), is_info });
            }
            Some(word @ ("UNIT" | "HELP")) if is_openmetrics => {
                let family = families.last_mut().filter(|f| f.name == name && f.samples.is_empty());
                let family = family.ok_or_else(|| format!("it is late: {line}"))?;
                match word {
                    "HELP" => family.help = unescape(value, true)?,
                    _ if name.ends_with(&format!("_{value}")) && !family.is_info => {}
                    _ => return Err(format!("not the unit of its name: {line}")),
                }
            }
            _ => return Err(format!("an unknown comment: {line}")),
        }
    }
    check(&families, false)?;
    if is_openmetrics { Err("no EOF".to_owned()) } else { Ok(families) }
}

fn is_name(text: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(is_start)
        && text.bytes().all(|byte| is_start(byte) || byte.is_ascii_digit())
}

fn sample(line: &str, family: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let suffix = line[..end].strip_prefix(family).ok_or("of another family")?.to_owned();
    let mut rest = &line[end..];
    let mut labels = BTreeMap::new();
    if rest.starts_with('{') {
        loop {
            // After a brace or a comma.
            let (name, after) = rest[1..].split_once("=\"").ok_or("no label")?;
            let end = quoted(after).ok_or("a label without an end")?;
            let value = unescape(&after[..end], true)?;
            if !is_name(name) || value.is_empty() || labels.insert(name.into(), value).is_some() {
                return Err(format!("the label {name}"));
            }
            rest = &after[end + 1..];
            match rest.bytes().next() {
                Some(b',') => {}
                Some(b'}') => break,
                _ => return Err("no comma".to_owned()),
            }
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("no space")?.to_owned();
    float(&value)?;
    Ok(Sample { suffix, labels, value })
}

/// Where the quote is that ends a text.
fn quoted(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

fn unescape(text: &str, has_quotes: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') if has_quotes => out.push('"'),
                other => return Err(format!("escaped {other:?}")),
            },
            '"' if has_quotes => return Err("a bare quote".to_owned()),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Checks what a family's type demands.
fn check(families: &[Read], is_openmetrics: bool) -> Result<(), String> {
    for family in families {
        let name = &family.name;
        if family.kind != "histogram" {
            let mut seen = HashSet::new();
            for sample in &family.samples {
                if sample.suffix != family.suffix() || !seen.insert(&sample.labels) {
                    return Err(format!("a sample of {name}: {sample:?}"));
                }
            }
            continue;
        }
        let (mut bound, mut count, mut has_sum) = (f64::NEG_INFINITY, 0.0, false);
        let mut has_count = None;
        for sample in &family.samples {
            let value = float(&sample.value)?;
            match (sample.suffix.as_str(), sample.labels.get("le")) {
                ("_bucket", Some(le)) => {
                    let le = float(le)?;
                    if bound == f64::INFINITY {
                        // The next series.
                        if is_openmetrics && has_count.is_some_and(|has| has != has_sum) {
                            return Err(format!("{name}: a sum without a count"));
                        }
                        (bound, count, has_sum) = (f64::NEG_INFINITY, 0.0, false);
                    }
                    if le <= bound || value < count {
                        return Err(format!("{name} is not cumulative: {sample:?}"));
                    }
                    (bound, count, has_count) = (le, value, Some(false));
                }
                ("_sum", None) if bound == f64::INFINITY => has_sum = true,
                ("_count", None) if bound == f64::INFINITY && value == count => {
                    has_count = Some(true);
                }
                _ => return Err(format!("a sample of {name}: {sample:?}")),
            }
        }
        if bound != f64::INFINITY {
            return Err(format!("{name} has no last bucket"));
        }
    }
    Ok(())
}
