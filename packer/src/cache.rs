// SPDX-License-Identifier: MIT
//! The folder of headers that clang reads, and precompiled ones, kept in the user's cache folder.
//!
//! Everything is named by a hash of what it was made from (the headers' content, the compiler, the
//! flags), made under another name and renamed, and never changed afterwards: several `ecc` may run
//! at once, and nothing stale is ever found. Where there is no cache folder that only this user can
//! write to, a temporary one serves.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::args::{Plan, Vmlinux};
use crate::failure::{Failure, exit_code, unreadable};

/// How many of a kind are kept; the oldest go. A precompiled header has about 14 MB.
const KEEP: usize = 6;

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The headers of a compilation.
#[derive(Debug)]
pub struct Headers {
    /// The folder that clang searches.
    pub dir: PathBuf,
    /// They have just been made: nothing was compiled with them before.
    pub are_new: bool,
    /// Where precompiled headers and objects are kept, if anywhere.
    cache: Option<PathBuf>,
    /// Names the headers' content.
    hash: String,
    _temporary: Option<TempDir>,
}

/// Finds the headers in the cache, or puts them there.
pub fn headers(plan: &Plan) -> Result<Headers, Failure> {
    let vmlinux = Source::read(plan)?;
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    vmlinux.hash(&mut hasher);
    for (name, text) in bpfpack_bpf::headers() {
        hasher.update(name);
        hasher.update([0]);
        hasher.update(text);
    }
    let hash = hex(hasher);
    let (cache, temporary) = match user_cache() {
        Some(dir) => (Some(dir), None),
        None => (None, Some(TempDir::with_prefix("ecc-").map_err(other)?)),
    };
    let parent = match (&cache, &temporary) {
        (Some(dir), _) => dir.as_path(),
        (None, Some(dir)) => dir.path(),
        (None, None) => unreachable!("one of them was just made"),
    };
    let dir = parent.join(format!("headers-{hash}"));
    let are_new = !dir.is_dir();
    if are_new {
        let fresh = TempDir::with_prefix_in("new-", parent).map_err(other)?;
        fill(fresh.path(), vmlinux)?;
        // Somebody else may have been quicker; theirs is the same.
        match fs::rename(fresh.path(), &dir) {
            Ok(()) => drop(fresh.keep()),
            Err(_) if dir.is_dir() => {}
            Err(error) => return Err(other(error)),
        }
        keep_newest(parent, "headers-", KEEP);
    }
    Ok(Headers { dir, are_new, cache, hash, _temporary: temporary })
}

impl Headers {
    /// Where objects are kept, if anywhere.
    pub fn cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// Names the headers' content, the compiler and its flags.
    pub fn identity(&self, clang: &Path, flags: &[String]) -> Option<String> {
        let meta = fs::metadata(clang).ok()?;
        let mut hasher = Sha256::new();
        hasher.update(&self.hash);
        hasher.update(clang.as_os_str().as_encoded_bytes());
        for number in [meta.len() as i64, meta.mtime(), meta.mtime_nsec()] {
            hasher.update(number.to_le_bytes());
        }
        for flag in flags {
            hasher.update(flag);
            hasher.update([0]);
        }
        Some(hex(hasher))
    }

    /// Where the precompiled `vmlinux.h` is, or is to be; none where nothing is kept.
    pub fn precompiled(&self, clang: &Path, flags: &[String]) -> Option<PathBuf> {
        let identity = self.identity(clang, flags)?;
        Some(self.cache.as_ref()?.join(format!("vmlinux-{identity}.pch")))
    }
}

/// A precompiled header that is being made.
#[derive(Debug)]
pub struct Making {
    file: tempfile::TempPath,
    target: PathBuf,
}

impl Making {
    /// Reserves a name for what will be `target`.
    pub fn start(target: PathBuf) -> io::Result<Making> {
        let dir = target.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix("new-").suffix(".pch").tempfile_in(dir)?;
        Ok(Making { file: file.into_temp_path(), target })
    }

    /// Where the compiler writes.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// It is whole: gives it its name.
    pub fn finish(self) {
        let dir = self.target.parent().map(Path::to_owned);
        if self.file.persist(&self.target).is_ok()
            && let Some(dir) = dir
        {
            keep_newest(&dir, "vmlinux-", KEEP);
        }
    }
}

/// What `vmlinux.h` is made of.
enum Source {
    Bundled(bpfpack_bpf::Arch),
    Btf(Vec<u8>),
    Text(Vec<u8>),
}

impl Source {
    fn read(plan: &Plan) -> Result<Source, Failure> {
        let read = |path: &Path| fs::read(path).map_err(|error| unreadable(path, error));
        match &plan.vmlinux {
            Vmlinux::Bundled => Ok(Source::Bundled(plan.target)),
            Vmlinux::Kernel => Ok(Source::Btf(read(Path::new(KERNEL_BTF)).map_err(|failure| {
                failure.hint("this kernel has no BTF; leave --vmlinux out to use the bundled one")
            })?)),
            Vmlinux::File(path) => Ok(Source::Text(read(path)?)),
        }
    }

    fn hash(&self, hasher: &mut Sha256) {
        match self {
            Source::Bundled(arch) => hasher.update(bpfpack_bpf::vmlinux_packed(*arch)),
            Source::Btf(data) | Source::Text(data) => hasher.update(data),
        }
    }

    fn text(self) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Source::Bundled(arch) => bpfpack_bpf::vmlinux(arch)?.into_bytes(),
            Source::Btf(data) => bpfpack_bpf::vmlinux_from_btf(&data)?.into_bytes(),
            Source::Text(text) => text,
        })
    }
}

fn fill(dir: &Path, vmlinux: Source) -> Result<(), Failure> {
    let write = || -> anyhow::Result<()> {
        fs::create_dir(dir.join("bpf"))?;
        for (name, text) in bpfpack_bpf::headers() {
            fs::write(dir.join(name), text)?;
        }
        fs::write(dir.join("vmlinux.h"), vmlinux.text()?)?;
        Ok(())
    };
    write()
        .with_context(|| format!("can not write clang's headers to `{}`", dir.display()))
        .map_err(|error| Failure::new(exit_code::OUTPUT, error))
}

/// `$XDG_CACHE_HOME/bpfpack` or `~/.cache/bpfpack`, if it is this user's, and only this user can
/// write there: what clang loads from it decides what is compiled.
fn user_cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    let dir = base.join("bpfpack");
    if !dir.exists() {
        // With sudo and the user's HOME, root must not make a folder that the user can not use.
        let existing = dir.ancestors().find(|dir| dir.exists())?;
        if fs::metadata(existing).ok()?.uid() != rustix::process::geteuid().as_raw() {
            return None;
        }
        fs::create_dir_all(&dir).ok()?;
    }
    let meta = fs::metadata(&dir).ok()?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    let writable = || rustix::fs::access(&dir, rustix::fs::Access::WRITE_OK).is_ok();
    (meta.is_dir() && ours && writable()).then_some(dir)
}

/// Removes all but the newest of a kind. One that another `ecc` is about to use may go: it then
/// compiles without.
pub fn keep_newest(dir: &Path, prefix: &str, count: usize) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut found: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    let surplus = found.len().saturating_sub(count);
    for (_, path) in found.into_iter().take(surplus) {
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// The first 128 bits of a hash, as a name.
pub fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn other(error: io::Error) -> Failure {
    Failure::new(exit_code::OTHER, anyhow!(error).context("can not make a folder for headers"))
}
