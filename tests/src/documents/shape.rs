// SPDX-License-Identifier: MIT
//! The shape of a command's output: everything in it that is the same each time.
//!
//! | lines | what is compared |
//! |---|---|
//! | a header and the rows below | the names of the columns, and the kinds of their cells |
//! | `name = value` | the name and the kind of the value |
//! | a histogram | its unit; the slots are not compared |
//! | its summary | the labels |
//! | a heat map | its unit |
//! | JSON | keys, and the types of values |
//! | functions of a stack | that there are some, and whether a module is named |
//! | `(43 more are not shown)` | nothing, because the number varies |
//! | other lines | everything except numbers |
//!
//! What a document shows must be in the output. The output must not have tables, histograms,
//! summaries or JSON that the document does not show, unless a line `…` says that it omits
//! something.

use std::collections::BTreeSet;

use serde_json::Value;

use super::table::Table;

/// A line in a document that marks an omission.
const LEFT_OUT: &str = "…";
/// The labels in the summary of a histogram.
const AMOUNTS: [&str; 6] = ["total", "average", "p50", "p90", "p99", "max"];
/// Output of ecc that appears only on a terminal.
const PROGRESS: [&str; 3] = [
    "Compiling bpf object...",
    "Generating export types...",
    "Packing ebpf object and config into",
];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Histogram(String),
    Amounts(Vec<String>),
    HeatMap(String),
    Json(String),
    Function { has_module: bool },
    Text(String),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Shape {
    tables: Vec<Table>,
    items: BTreeSet<Item>,
    is_abridged: bool,
}

/// The meaning of the next line, from the lines above.
enum Context {
    None,
    /// Rows of the table with this index follow; the function splits their cells.
    Rows(usize, fn(&str) -> Vec<&str>),
    Amounts(Vec<String>),
    HeatMap,
}

impl Shape {
    /// The shape of this text.
    #[must_use]
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Shape {
        let mut shape = Shape::default();
        let mut context = Context::None;
        for line in lines {
            context = shape.line(line, context);
        }
        if let Context::Amounts(labels) = context {
            shape.items.insert(Item::Amounts(labels));
        }
        shape
    }

    fn line(&mut self, line: &str, context: Context) -> Context {
        let trimmed = line.trim();
        if let Context::Amounts(mut labels) = context {
            if let Some(more) = amounts(trimmed) {
                labels.extend(more);
                return Context::Amounts(labels);
            }
            self.items.insert(Item::Amounts(labels));
            return self.line(line, Context::None);
        }
        if trimmed.is_empty() || trimmed == LEFT_OUT {
            self.is_abridged |= trimmed == LEFT_OUT;
            return if trimmed.is_empty() { Context::None } else { context };
        }
        if PROGRESS.iter().any(|progress| trimmed.starts_with(progress)) {
            return context;
        }
        if let Some((unit, _)) = trimmed.split_once(", counts from:") {
            self.items.insert(Item::HeatMap(unit.to_owned()));
            return Context::HeatMap;
        }
        match context {
            Context::HeatMap => Context::HeatMap,
            context => self.structure(trimmed).unwrap_or_else(|| self.content(trimmed, context)),
        }
    }

    /// Handles a line that determines the meaning of the following ones.
    fn structure(&mut self, line: &str) -> Option<Context> {
        if let Some((unit, rest)) = line.split_once(" : ")
            && rest.split_whitespace().eq(["count", "distribution"])
        {
            self.items.insert(Item::Histogram(unit.trim().to_owned()));
            return Some(Context::None);
        }
        if let Some(labels) = amounts(line) {
            return Some(Context::Amounts(labels));
        }
        if let Some(table) = Table::header(line) {
            return Some(Context::Rows(self.table(table), |row| row.split_whitespace().collect()));
        }
        if is_names(line) {
            let table = Table::new(line.split(','));
            return Some(Context::Rows(self.table(table), |row| row.split(',').collect()));
        }
        None
    }

    fn content(&mut self, line: &str, context: Context) -> Context {
        if is_slot(line) || (line.starts_with('(') && line.ends_with(" not shown)")) {
            return context;
        }
        if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(line) {
            self.items.insert(Item::Json(json(&value)));
        } else if let Some((name, value)) = pair(line) {
            let mut table = Table::new([format!("{name} =")]);
            // A key may be of any kind.
            let _ = name == "key" || table.row([value]);
            let _ = self.table(table);
        } else if let Some(has_module) = function(line) {
            self.items.insert(Item::Function { has_module });
        } else if !self.is_row(line, &context) {
            self.items.insert(Item::Text(without_numbers(line)));
        }
        context
    }

    fn is_row(&mut self, line: &str, context: &Context) -> bool {
        let Context::Rows(table, cells) = *context else { return false };
        let is_message = ["ecli: ", "ecc: ", "warning: ", "error: ", "hint: "];
        !is_message.iter().any(|begin| line.starts_with(begin))
            && self.tables[table].row(cells(line))
    }

    /// The index of the table with these columns.
    fn table(&mut self, table: Table) -> usize {
        let known = self.tables.iter().position(|known| known.columns == table.columns);
        if let Some(known) = known {
            self.tables[known].add(&table);
        }
        known.unwrap_or_else(|| {
            self.tables.push(table);
            self.tables.len() - 1
        })
    }

    /// Differences between a document and its output; empty if they have the same shape.
    #[must_use]
    pub fn missing_in(&self, printed: &Shape) -> Vec<String> {
        let mut missing: Vec<String> = Vec::new();
        for table in &self.tables {
            match printed.tables.iter().find(|other| other.columns == table.columns) {
                None => missing.push(format!("not printed: the columns {:?}", table.columns)),
                Some(other) => missing.extend(table.differs(other)),
            }
        }
        let not_printed = self.items.difference(&printed.items);
        missing.extend(not_printed.map(|item| format!("not printed: {item:?}")));
        if !self.is_abridged {
            missing.extend(printed.beyond(self));
        }
        missing
    }

    fn beyond(&self, document: &Shape) -> Vec<String> {
        let is_known = |table: &&Table| document.tables.iter().any(|t| t.columns == table.columns);
        let tables = self.tables.iter().filter(|table| !is_known(table));
        let tables = tables.map(|table| format!("not documented: the columns {:?}", table.columns));
        let is_free = |item: &&&Item| !matches!(item, Item::Text(_) | Item::Function { .. });
        let items = self.items.difference(&document.items).collect::<Vec<_>>();
        let items = items.iter().filter(is_free).map(|item| format!("not documented: {item:?}"));
        tables.chain(items).collect()
    }
}

/// The labels in a summary line.
fn amounts(line: &str) -> Option<Vec<String>> {
    let parts = line.trim_end_matches(',').split(", ");
    let label = |part: &str| {
        let (label, value) = part.split_once(' ')?;
        let is_value = value.contains(|c: char| c.is_ascii_digit());
        (AMOUNTS.contains(&label) && is_value).then(|| label.to_owned())
    };
    parts.map(label).collect()
}

/// Whether a line is a CSV header.
fn is_names(line: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
    };
    line.contains(',') && line.split(',').all(is_name)
}

/// Whether a line is a slot of a histogram, with or without an upper edge.
fn is_slot(line: &str) -> bool {
    let Some((edges, rest)) = line.split_once(" : ") else { return false };
    let is_edge = |edge: &str| edge.trim().parse::<i64>().is_ok();
    edges.split("->").all(is_edge) && rest.ends_with('|')
}

fn pair(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(" = ")?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.[]".contains(c));
    is_name.then_some((name, value))
}

/// Whether a line is a function of a stack; if so, whether it has a module.
fn function(line: &str) -> Option<bool> {
    let (_, offset) = line.rsplit_once("+0x")?;
    let (offset, rest) = offset.split_once(' ').unwrap_or((offset, ""));
    let is_offset = !offset.is_empty() && offset.chars().all(|c| c.is_ascii_hexdigit());
    (is_offset && (rest.is_empty() || rest.starts_with('['))).then_some(!rest.is_empty())
}

/// The keys and types of a JSON value.
fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(values) => format!("[{}]", values.first().map(json).unwrap_or_default()),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}: {}", json(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The text with `#` instead of each number.
fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let is_last = chars.peek().is_none_or(|next| !next.is_alphanumeric());
        match c {
            // How large a size is depends on the machine, too.
            'K' | 'M' | 'G' | 'T' if text.ends_with('#') && is_last => {}
            '0'..='9' if text.ends_with('#') => {}
            '.' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(document: &str, printed: &str) {
        let missing = missing(document, printed);
        assert!(missing.is_empty(), "{missing:?}");
    }

    fn missing(document: &str, printed: &str) -> Vec<String> {
        Shape::of(document.lines()).missing_in(&Shape::of(printed.lines()))
    }

    const HISTOGRAM: &str = "\
key = dd
total_time = 5808

     usecs               : count    distribution
         0 -> 1          : 2        |                                        |
        16 -> 31         : 203      |****************************************|
     total 310, average 18.7, p50 16 -> 31, p90 16 -> 31, p99 64 -> 127,
     max 64 -> 127
";

    #[test]
    fn numbers_are_not_compared() {
        same("TIME     PID  COMM\n16:38:41 1    rm\n", "TIME     PID  COMM\n09:00:00 7    cp x\n");
        same(
            HISTOGRAM,
            "key = cp\ntotal_time = 7\n\n     usecs               : count    distribution\n\
             \x20      2 -> 3          : 1        |****|\n\
             \x20    total 1, average 7.0, p50 2 -> 3, p90 2 -> 3, p99 2 -> 3, max >= 7\n",
        );
        same("7 dd 1.5M\n", "8 dd 2G\n");
        same("ecli: records: 2 shown, none lost\n", "x\necli: records: 31 shown, none lost\n");
    }

    #[test]
    fn what_a_document_shows_must_be_printed() {
        let text = missing("PID  COMM\n1  a\n", "PID  NAME\n1  a\n");
        assert!(text[0].contains("not printed: the columns [\"PID\", \"COMM\"]"), "{text:?}");
        assert!(missing(HISTOGRAM, &HISTOGRAM.replace("usecs", "msecs"))[0].contains("usecs"));
        assert!(!missing(HISTOGRAM, &HISTOGRAM.replace("average 18.7, ", "")).is_empty());
        assert!(!missing(HISTOGRAM, &HISTOGRAM.replace("total_time", "time")).is_empty());
        assert!(!missing("{\"pid\":1}\n", "{\"pid\":\"1\"}\n").is_empty());
        assert!(!missing("error: no `x`\n", "error: no `y`\n").is_empty());
    }

    #[test]
    fn what_is_printed_must_be_documented_or_left_out() {
        let printed = "PID  COMM\n1  a\n\nCPU  N\n0  7\n";
        assert_eq!(missing("PID  COMM\n1  a\n", printed).len(), 1);
        same("PID  COMM\n1  a\n…\n", printed);
        same("", "one line of text\n");
    }

    #[test]
    fn rows_of_csv_and_of_keys() {
        same("pid,comm,calls\n1,dd,2\n", "pid,comm,calls\n7,ls,1\n");
        assert!(!missing("pid,comm\n1,dd\n", "pid,calls\n1,2\n").is_empty());
        same("{\"key\":{\"pid\":1},\"value\":[1,2]}", "{\"key\":{\"pid\":2},\"value\":[3]}");
    }

    #[test]
    fn functions_and_heat_maps() {
        let stack = "PID  VALUE\n 1      3\n    vfs_read+0x23a\n    read+0xd [libc.so.6]\n";
        same(stack, "PID  VALUE\n 9      1\n    a::<B, C>+0x1 [x]\n    f+0x2\n    g+0x3\n");
        assert!(!missing(stack, "PID  VALUE\n 1      3\n    vfs_read+0x23a\n").is_empty());
        let map = "usecs, counts from:  . 1  : 3\nTIME     0  2\n16:39:28 ###***\n";
        same(map, "usecs, counts from:  . 1\nTIME     0  2  4\n16:39:28 ---***===\n");
    }

    #[test]
    fn notes_among_rows() {
        let table = "PID  COMM\n1  a\n(43 more are not shown)\n";
        same(table, "PID  COMM\n1  a\n(1 more is not shown)\n");
        same(table, "PID  COMM\n1  a\n");
        same("TIME PID\n19 of 40 opens failed\n", "TIME PID\n1 of 2 opens failed\n");
    }

    #[test]
    fn progress_of_ecc_is_for_terminals() {
        same("Compiling bpf object...\nPacking ebpf object and config into package.json...\n", "");
    }
}
