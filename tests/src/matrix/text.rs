// SPDX-License-Identifier: MIT
//! The matrix as a document.

use super::cases::{CASES, Case};
use super::ended::Ended;

/// A kernel, and how the cases ended there.
#[derive(Debug)]
pub struct Column {
    /// The heading, such as `6.1`.
    pub kernel: String,
    /// Which kernel it is exactly.
    pub version: String,
    /// How each case ended, as far as the kernel came.
    pub ended: Vec<Ended>,
}

impl Column {
    fn of(&self, case: &Case) -> Option<&Ended> {
        self.ended.iter().find(|ended| ended.name == case.name)
    }
}

const HEAD: &str = "\
# Kernels

<!-- `make vmtest` writes this file, from what it sees: tests/tests/matrix.rs. -->

Which kinds of programs `ecli` runs on which kernels. Each kind was run on each kernel, and called a known
number of times; `perf_event`, `iter` and `syscall`, which the clock calls, at least once.

- ✓: the program was attached, and `ecli` showed all calls.
- A number: the [message](#messages) that a user gets.
- ✗: the program was attached, and `ecli` showed another number of calls.
- ?: the kernel did not come that far.
";

/// The document: a table with a row for each kind, and the messages.
#[must_use]
pub fn document(columns: &[Column]) -> String {
    let mut messages: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| case.is_kind) {
        let cells = columns.iter().map(|column| match column.of(case) {
            None => "?".to_owned(),
            Some(ended) if ended.works() => "✓".to_owned(),
            Some(ended) if ended.attached && ended.message.is_empty() => "✗".to_owned(),
            Some(ended) => {
                let known = messages.iter().position(|known| *known == ended.message);
                let number = known.unwrap_or_else(|| {
                    messages.push(&ended.message);
                    messages.len() - 1
                });
                let mark = if ended.attached { "✗ " } else { "" };
                format!("{mark}[{0}](#{0})", number + 1)
            }
        });
        rows.push(row(case.name, cells, "`"));
    }
    let kernels = columns.iter().map(|column| column.kernel.clone());
    let versions =
        columns.iter().map(|column| format!("- {}: {}\n", column.kernel, column.version));
    let shown = messages.iter().enumerate();
    let shown = shown.map(|(at, message)| format!("\n### {}\n\n{}", at + 1, indented(message)));
    format!(
        "{HEAD}\nThe kernels:\n\n{}\n{}{}{}\n## Messages\n{}",
        versions.collect::<String>(),
        row("kind", kernels, ""),
        row("---", columns.iter().map(|_| "---".to_owned()), ""),
        rows.concat(),
        shown.collect::<String>(),
    )
}

fn row(first: &str, cells: impl Iterator<Item = String>, quote: &str) -> String {
    let cells: String = cells.map(|cell| format!(" {cell} |")).collect();
    format!("| {quote}{first}{quote} |{cells}\n")
}

/// As a block in a document.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_give_the_same_message_share_it() {
        let ended = |name: &str, message: &str| Ended {
            name: name.to_owned(),
            attached: message.is_empty(),
            code: if message.is_empty() { 0 } else { 5 },
            events: 10,
            is_right: true,
            message: message.to_owned(),
            millis: 1,
        };
        let column = |kernel: &str, ended| Column {
            kernel: kernel.to_owned(),
            version: format!("Debian's {kernel}.1"),
            ended,
        };
        let columns = [
            column(
                "5.10",
                vec![ended("fentry", "error: no\nhint: yes"), ended("fexit", "error: x")],
            ),
            column("6.1", vec![ended("fentry", ""), ended("fexit", "error: no\nhint: yes")]),
        ];
        let text = document(&columns);
        for line in [
            "- 5.10: Debian's 5.10.1\n",
            "| kind | 5.10 | 6.1 |\n| --- | --- | --- |\n",
            "| `fentry` | [1](#1) | ✓ |\n| `fexit` | [2](#2) | [1](#1) |\n",
            "\n### 1\n\n    error: no\n    hint: yes\n\n### 2\n\n    error: x\n",
            "| `kprobe` | ? | ? |\n",
        ] {
            assert!(text.contains(line), "no `{line}` in:\n{text}");
        }
    }
}
