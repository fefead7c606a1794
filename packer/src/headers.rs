// SPDX-License-Identifier: MIT
//! The directory of headers for clang, and precompiled headers.
//!
//! Every entry is named by a hash of its inputs (the content of headers, the compiler, the flags),
//! is created under a temporary name and renamed, and never changes afterwards. Several `ecc` can
//! therefore run at once, and a stale entry is never found.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bpfpack_bpf::{Arch, Release};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::args::Plan;
use crate::cache::{Cache, Kind, hex, keep_newest, new_directory, note_use};
use crate::failure::{Failure, exit_code};
use crate::files::read;
use crate::message::{Console, shown};
use crate::vmlinux::Vmlinux;

/// The largest `vmlinux.h`, in bytes.
const MAX_VMLINUX: u64 = 64 << 20;

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The headers of a compilation.
#[derive(Debug)]
pub(crate) struct Headers {
    /// The directory in clang's search path.
    pub(crate) dir: PathBuf,
    /// They are new: nothing was compiled with them before.
    pub(crate) are_new: bool,
    /// The cache that contains them and what is made from them.
    cache: Cache,
    /// Identifies the content of the headers.
    hash: String,
    /// The directory itself, if it could not get its final name.
    _nameless: Option<TempDir>,
}

/// Finds the headers in the cache, or creates them there.
pub(crate) fn headers(
    plan: &Plan,
    vmlinux: &Vmlinux,
    console: &Console,
) -> Result<Headers, Failure> {
    let vmlinux = Source::read(plan.target, vmlinux)?;
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    vmlinux.hash(&mut hasher);
    for (name, text) in bpfpack_bpf::headers() {
        hasher.update(name);
        hasher.update([0]);
        hasher.update(text);
    }
    let hash = hex(hasher);
    let cache = Cache::open(console).map_err(other)?;
    let mut dir = cache.path(Kind::Headers, &hash);
    let are_new = !Kind::Headers.is_at(&dir);
    let mut nameless = None;
    if !are_new {
        note_use(&dir);
    }
    if are_new {
        let fresh = new_directory(cache.directory()).map_err(other)?;
        fill(fresh.path(), vmlinux)?;
        // Another ecc may have been faster; its directory has the same content.
        match fs::rename(fresh.path(), &dir) {
            Ok(()) => drop(fresh.keep()),
            Err(_) if Kind::Headers.is_at(&dir) => {}
            // Another file has the name.
            Err(_) => {
                dir = fresh.path().to_owned();
                nameless = Some(fresh);
            }
        }
        keep_newest(cache.directory(), Kind::Headers);
    }
    Ok(Headers { dir, are_new, cache, hash, _nameless: nameless })
}

impl Headers {
    /// Where objects are kept, if they are.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.cache.is_kept().then(|| self.cache.directory())
    }

    /// The path of an entry beside the headers, whether it is kept or temporary.
    pub(crate) fn beside(&self, kind: Kind, hash: &str) -> PathBuf {
        self.cache.path(kind, hash)
    }

    /// Identifies the content of the headers, the compiler and its flags.
    pub(crate) fn identity(&self, clang: &Path, flags: &[String]) -> Option<String> {
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

    /// The path of the precompiled `vmlinux.h`, whether it exists or not; `None` if nothing is
    /// kept.
    pub(crate) fn precompiled(&self, clang: &Path, flags: &[String]) -> Option<PathBuf> {
        let identity = self.identity(clang, flags)?;
        self.kept().map(|directory| Kind::Precompiled.path(directory, &identity))
    }
}

/// A precompiled header that is being created.
#[derive(Debug)]
pub(crate) struct Making {
    file: tempfile::TempPath,
    target: PathBuf,
}

impl Making {
    /// Reserves a temporary name for `target`.
    pub(crate) fn start(target: PathBuf) -> io::Result<Making> {
        let dir = target.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix("new-").suffix(".pch").tempfile_in(dir)?;
        Ok(Making { file: file.into_temp_path(), target })
    }

    /// The path that the compiler writes to.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Gives the complete file its final name.
    pub(crate) fn finish(self) {
        // clang creates it with the umask.
        let ours_alone = fs::Permissions::from_mode(0o600);
        if fs::set_permissions(&self.file, ours_alone).is_ok()
            && self.file.persist(&self.target).is_ok()
            && let Some(directory) = self.target.parent()
        {
            keep_newest(directory, Kind::Precompiled);
        }
    }
}

/// The content of `vmlinux.h`.
enum Source {
    Bundled(Arch, Release),
    Btf(Vec<u8>),
    Text(Vec<u8>),
}

impl Source {
    fn read(target: Arch, vmlinux: &Vmlinux) -> Result<Source, Failure> {
        let read = |path: &Path| read(path, MAX_VMLINUX, "a vmlinux.h has at most 64 MiB");
        match vmlinux {
            Vmlinux::Bundled => Ok(Source::Bundled(target, Release::NEWEST)),
            Vmlinux::Release(release) => Ok(Source::Bundled(target, *release)),
            Vmlinux::Kernel => Ok(Source::Btf(read(Path::new(KERNEL_BTF)).map_err(|failure| {
                failure.hint("this kernel has no BTF; omit --vmlinux to use the bundled file")
            })?)),
            Vmlinux::File(path) => Ok(Source::Text(read(path)?)),
        }
    }

    fn hash(&self, hasher: &mut Sha256) {
        match self {
            Source::Bundled(arch, release) => {
                for piece in bpfpack_bpf::vmlinux_packed(*arch, *release) {
                    hasher.update(piece);
                }
            }
            Source::Btf(data) | Source::Text(data) => hasher.update(data),
        }
    }

    fn text(self) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Source::Bundled(arch, release) => bpfpack_bpf::vmlinux(arch, release)?.into_bytes(),
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
        .with_context(|| format!("cannot write clang's headers to `{}`", shown(dir)))
        .map_err(|error| Failure::new(exit_code::OUTPUT, error))
}

fn other(error: io::Error) -> Failure {
    Failure::new(exit_code::OTHER, anyhow!(error).context("cannot create a directory for headers"))
}
