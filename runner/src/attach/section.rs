// SPDX-License-Identifier: MIT
//! Programs whose section says all: libbpf attaches them.

use std::io::{Error, ErrorKind};

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;

/// By libbpf, as it understands the section.
pub(super) const METHOD: Method = Method { target: Target::Section, attach };

/// Attaches a program as libbpf understands its section.
///
/// # Errors
/// As the kernel has them; and where the file that a uprobe names is no regular file: libbpf would
/// open it, and wait without an end for a writer of a pipe.
fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    if let Some(path) = probed_file(context.section)
        && std::fs::metadata(path).is_ok_and(|data| !data.is_file())
    {
        let text = format!("`{path}` is no program or library");
        return Err(AttachError::refused(Error::new(ErrorKind::InvalidInput, text)));
    }
    context.attached(context.program.attach())
}

/// The file that a section of a uprobe names by its path.
fn probed_file(section: &str) -> Option<&str> {
    let (kind, target) = section.split_once('/')?;
    let is_probe = ["uprobe", "uretprobe", "usdt"].iter().any(|probe| kind.starts_with(probe));
    let path = target.split(':').next()?;
    (is_probe && path.contains('/')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_probes() {
        assert_eq!(probed_file("uprobe//bin/bash:readline"), Some("/bin/bash"));
        assert_eq!(probed_file("uretprobe.s//lib/x.so:f+8"), Some("/lib/x.so"));
        assert_eq!(probed_file("usdt//lib/x.so:a:b"), Some("/lib/x.so"));
        assert_eq!(probed_file("uprobe/libc.so.6:malloc"), None);
        assert_eq!(probed_file("tp/sched/sched_switch"), None);
        assert_eq!(probed_file("uprobe"), None);
    }
}
