// SPDX-License-Identifier: MIT
//! The blocks of a Markdown file: consoles, and files that the reader writes.
//!
//! A block is indented by four spaces, or in a fence. One that begins with `$ ` is a console:
//! commands, each with its output. Any other block is a file if the paragraph above it ends with a
//! colon and names the file in backquotes, as in "Write `x.bpf.c`:".
//!
//! HTML comments above a block are for the test:
//!
//! - `<!-- in: DIRECTORY -->`: this and the following blocks are in this directory of the project;
//! - `<!-- not run: REASON -->`: the commands cannot run in the test;
//! - `<!-- meanwhile: COMMAND -->`: this command runs repeatedly meanwhile, so that there is data
//!   to show.

/// A block of a document.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// A file that the reader writes.
    File {
        /// Its name, without a directory.
        name: String,
        /// Its content.
        text: String,
    },
    /// The following blocks are in this directory of the project.
    Directory(String),
    /// Commands and their output.
    Console(Console),
}

/// Commands and their output, with the comments above them.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Console {
    /// Why it does not run.
    pub not_run: Option<String>,
    /// A command that runs repeatedly meanwhile.
    pub meanwhile: Option<String>,
    /// The commands, in order.
    pub commands: Vec<Command>,
}

/// A command and its documented output.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// The line in the document, starting at 1.
    pub line: usize,
    /// The command for the shell.
    pub text: String,
    /// The output below it.
    pub output: Vec<String>,
}

/// The blocks of a document, in order.
#[must_use]
pub fn blocks(document: &str) -> Vec<Block> {
    let mut reader = Reader { lines: document.lines().enumerate().collect(), next: 0 };
    let (mut blocks, mut paragraph, mut comments) = (Vec::new(), String::new(), Vec::new());
    while let Some((_, line)) = reader.peek() {
        if let Some(lines) = reader.block() {
            blocks.extend(comment(&comments, "in:").map(Block::Directory));
            blocks.extend(block(&lines, &paragraph, &comments));
            paragraph.clear();
            comments.clear();
            continue;
        }
        reader.next += 1;
        match line.trim() {
            "" => {}
            comment if comment.starts_with("<!--") => comments.push(comment),
            text => {
                if reader.begins_paragraph() {
                    paragraph.clear();
                }
                paragraph.push_str(text);
                paragraph.push(' ');
            }
        }
    }
    blocks
}

struct Reader<'a> {
    lines: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<(usize, &'a str)> {
        self.lines.get(self.next).copied()
    }

    fn line(&self, index: usize) -> &'a str {
        self.lines.get(index).map_or("", |(_, line)| line)
    }

    /// Whether the last line begins a paragraph.
    fn begins_paragraph(&self) -> bool {
        self.next < 2 || self.line(self.next - 2).trim().is_empty()
    }

    /// The lines of the block that begins here, without indentation or fence.
    fn block(&mut self) -> Option<Vec<(usize, &'a str)>> {
        if self.line(self.next).starts_with("```") {
            let inside = |line: &&(usize, &str)| !line.1.starts_with("```");
            let lines: Vec<_> =
                self.lines[self.next + 1..].iter().take_while(inside).copied().collect();
            self.next += lines.len() + 2;
            return Some(lines);
        }
        let is_below_text = self.next > 0 && !self.line(self.next - 1).trim().is_empty();
        let is_below_comment = self.next > 0 && self.line(self.next - 1).starts_with("<!--");
        if !self.line(self.next).starts_with("    ") || (is_below_text && !is_below_comment) {
            return None;
        }
        let inside = |line: &&(usize, &str)| line.1.starts_with("    ") || line.1.trim().is_empty();
        let mut lines: Vec<_> = self.lines[self.next..].iter().take_while(inside).collect();
        self.next += lines.len();
        while lines.last().is_some_and(|line| line.1.trim().is_empty()) {
            lines.pop();
        }
        // In a list, a block is indented further.
        let first = self.line(lines[0].0);
        let indent = first.len() - first.trim_start().len();
        Some(lines.into_iter().map(|(n, line)| (*n, line.get(indent..).unwrap_or(""))).collect())
    }
}

fn block(lines: &[(usize, &str)], paragraph: &str, comments: &[&str]) -> Option<Block> {
    if lines.first().is_some_and(|(_, line)| line.starts_with("$ ")) {
        let (not_run, meanwhile) = (comment(comments, "not run:"), comment(comments, "meanwhile:"));
        let commands = commands(lines);
        return Some(Block::Console(Console { not_run, meanwhile, commands }));
    }
    let name = file_name(paragraph)?.to_owned();
    let text = lines.iter().flat_map(|(_, line)| [line, "\n"]).collect();
    Some(Block::File { name, text })
}

/// The text of the first comment with this beginning.
fn comment(comments: &[&str], begin: &str) -> Option<String> {
    let inside = |comment: &&str| {
        let inside = comment.strip_prefix("<!--")?.strip_suffix("-->")?;
        Some(inside.trim().strip_prefix(begin)?.trim().to_owned())
    };
    comments.iter().find_map(inside)
}

/// The commands of a console. A line that ends with a backslash continues on the next one.
fn commands(lines: &[(usize, &str)]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for (number, line) in lines {
        let last = commands.last_mut();
        if let Some(text) = line.strip_prefix("$ ") {
            let command = Command { line: number + 1, text: text.to_owned(), output: Vec::new() };
            commands.push(command);
        } else if let Some(last) = last {
            match last.text.strip_suffix('\\') {
                Some(text) if last.output.is_empty() => {
                    last.text = format!("{text}{}", line.trim_start());
                }
                _ => last.output.push((*line).to_owned()),
            }
        }
    }
    commands
}

/// The file that a paragraph announces: the last name in backquotes, if the paragraph ends with a
/// colon.
fn file_name(paragraph: &str) -> Option<&str> {
    let text = paragraph.trim_end().strip_suffix(':')?;
    let named = text.split('`').skip(1).step_by(2).last()?;
    let (stem, ending) = named.rsplit_once('.')?;
    let is_file = !stem.is_empty() && !named.contains(['/', ' ', '<', '*']);
    (is_file && ["c", "h", "rs", "wat"].contains(&ending)).then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(document: &str) -> Console {
        match blocks(document).pop().unwrap() {
            Block::Console(console) => console,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_with_their_output() {
        let console =
            console("Text:\n\n    $ ecc x.bpf.c\n    $ ls \\\n      -l\n    a\n\n    b\n\nEnd\n");
        let command = |line, text: &str, output: &[&str]| Command {
            line,
            text: text.to_owned(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        };
        let expected = [command(3, "ecc x.bpf.c", &[]), command(4, "ls -l", &["a", "", "b"])];
        assert_eq!(console.commands, expected);
    }

    #[test]
    fn a_fence_is_a_block() {
        let console = console("```console\n$ ls\n    x\n```\n");
        assert_eq!(console.commands[0].output, ["    x"]);
    }

    #[test]
    fn a_block_in_a_list() {
        let console = console("- item:\n\n        $ ls\n        a\n");
        assert_eq!(console.commands[0].text, "ls");
        assert_eq!(console.commands[0].output, ["a"]);
    }

    #[test]
    fn comments_above_a_console() {
        let marked =
            console("<!-- not run: needs kprobes -->\n<!-- meanwhile: dd -->\n\n    $ ls\n");
        assert_eq!(marked.not_run.as_deref(), Some("needs kprobes"));
        assert_eq!(marked.meanwhile.as_deref(), Some("dd"));
        let next = console("<!-- not run: this -->\n\n    $ ls\n\nText\n\n    $ ls\n");
        assert_eq!(next.not_run, None);
    }

    #[test]
    fn a_directory_is_for_all_that_follows() {
        let directory = blocks("<!-- in: examples/x -->\n\n    $ ls\n").into_iter().next();
        assert_eq!(directory, Some(Block::Directory("examples/x".to_owned())));
    }

    #[test]
    fn a_file_is_named_by_the_paragraph_above() {
        let file = |document: &str| blocks(document).into_iter().next();
        let expected = Block::File { name: "x.bpf.c".to_owned(), text: "int x;\n".to_owned() };
        assert_eq!(file("Not `a.c`, but\nwrite `x.bpf.c`:\n\n```c\nint x;\n```\n"), Some(expected));
        assert_eq!(file("Write `x.bpf.c`.\n\n    int x;\n"), None);
        assert_eq!(file("As `.wat` text:\n\n    int x;\n"), None);
        assert_eq!(file("In `a/x.c`:\n\n    int x;\n"), None);
        assert_eq!(file("Write `x.bpf.c`:\n\nAnother paragraph:\n\n    int x;\n"), None);
    }

    #[test]
    fn text_that_goes_on_indented_is_no_block() {
        assert_eq!(blocks("- an item\n    $ ls\n"), []);
    }
}
