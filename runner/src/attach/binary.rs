// SPDX-License-Identifier: MIT
//! Finds programs and libraries by name, as the shell or the dynamic loader does, among the files
//! of this process or of another one, which may be in a container.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use object::elf::{STB_LOCAL, STT_FUNC, STT_GNU_IFUNC};
use object::{Object as _, ObjectSegment as _, ObjectSymbol, ReadCache, SymbolFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::nearest;

/// The name that stands for the program of the process.
pub(super) const SELF: &str = "/proc/self/exe";

/// Directories of programs in addition to `PATH`, which sudo may shorten.
const PROGRAMS: [&str; 6] =
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Directories of libraries in addition to `/etc/ld.so.conf`.
const LIBRARIES: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// A program or library, kept open as long as it is used.
#[derive(Debug)]
pub(super) struct Binary {
    /// The path for libbpf and the kernel.
    path: PathBuf,
    /// The path for messages.
    name: String,
    _file: OwnedFd,
}

impl Binary {
    /// Finds a program or library. With a process, it searches the files of that process, which may
    /// have another root.
    ///
    /// # Errors
    /// Returns an error if nothing is found, or if it is not a regular file. libbpf would open a
    /// pipe and wait forever for a writer.
    pub(super) fn find(name: &str, process: Option<u32>) -> Result<Binary> {
        let root = Root::of(process)?;
        let candidates = match (name, process) {
            (SELF, Some(process)) => return Binary::program_of(process),
            (name, _) if name.contains('/') => {
                let path = PathBuf::from(name);
                return Binary::new(root.open(&path)?, path, process);
            }
            (name, process) => candidates(name, process, &root),
        };
        let mut error = None;
        for candidate in candidates {
            match root.open(&candidate) {
                // A script, or a text file that the linker reads in place of a library (`libc.so`).
                Ok(file) if !is_elf(&file) => {}
                Ok(file) => return Binary::new(file, candidate, process),
                Err(found) if found.kind() == ErrorKind::NotFound => {}
                Err(found) => error = Some(found),
            }
        }
        let not_found = || {
            let text = match process {
                Some(process) => {
                    format!("process {process} has no such program or library in its file system")
                }
                None => "the program or library does not exist".to_owned(),
            };
            Error::new(ErrorKind::NotFound, text)
        };
        Err(error.unwrap_or_else(not_found))
    }

    fn program_of(process: u32) -> Result<Binary> {
        let path = PathBuf::from(format!("/proc/{process}/exe"));
        let file = File::open(&path)?.into();
        Binary::new(file, path, Some(process))
    }

    fn new(file: OwnedFd, found: PathBuf, process: Option<u32>) -> Result<Binary> {
        let mode = rustix::fs::fstat(&file)?.st_mode;
        if !rustix::fs::FileType::from_raw_mode(mode).is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "it is not a program or library"));
        }
        let name = found.display().to_string();
        let path = match process {
            // The file itself: the path may mean another file to this process.
            Some(_) => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            None => found,
        };
        Ok(Binary { path, name, _file: file })
    }

    /// Returns the file offsets of a function. There are several if the function has several
    /// versions. libbpf 1.7 does not find those in a library without a symbol table of its own (in
    /// `elf_resolve_syms_offsets`, `err` keeps an old value). A pattern would count two versions of
    /// one function twice.
    ///
    /// # Errors
    /// Returns an error if the file is not a program or library.
    pub(super) fn offsets(&self, function: &str) -> Result<Vec<usize>> {
        let bad = |error: object::Error| Error::new(ErrorKind::InvalidData, error);
        let cache = ReadCache::new(File::open(&self.path)?);
        let elf = object::File::parse(&cache).map_err(bad)?;
        let mut found = addresses(elf.dynamic_symbols(), function)?;
        if found.is_empty() {
            found = addresses(elf.symbols(), function)?;
        }
        let offset = |address: u64| {
            elf.segments().find_map(|segment| {
                let at = address.checked_sub(segment.address())?;
                let (offset, size) = segment.file_range();
                (at < size).then(|| usize::try_from(offset + at).ok())?
            })
        };
        Ok(found.into_iter().filter_map(offset).collect())
    }

    /// The names of its functions that are most like this one.
    pub(super) fn near(&self, function: &str) -> Vec<String> {
        let near = || {
            let cache = ReadCache::new(File::open(&self.path).ok()?);
            let elf = object::File::parse(&cache).ok()?;
            let names: BTreeSet<&str> =
                elf.dynamic_symbols().chain(elf.symbols()).filter_map(defined_function).collect();
            Some(nearest::names(function, names).into_iter().map(str::to_owned).collect())
        };
        near().unwrap_or_default()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// The name of a symbol, if the file defines a function of this name.
fn defined_function<'d>(symbol: impl ObjectSymbol<'d>) -> Option<&'d str> {
    let is_function = matches!(
        symbol.flags(),
        SymbolFlags::Elf { st_info, .. } if st_info.st_type() == STT_FUNC
    );
    symbol.name().ok().filter(|_| is_function && !symbol.is_undefined())
}

/// Returns the addresses of the functions with a name, each once: a library may have several
/// versions of a function.
///
/// # Errors
/// Returns an error if static functions of several source files share the name, or if the function
/// is chosen at program start (`STT_GNU_IFUNC`).
fn addresses<'d, S: ObjectSymbol<'d>>(
    symbols: impl Iterator<Item = S>,
    name: &str,
) -> Result<BTreeSet<u64>> {
    let (mut global, mut local) = (BTreeSet::new(), BTreeSet::new());
    for symbol in symbols {
        if symbol.is_undefined() || symbol.name_bytes() != Ok(name.as_bytes()) {
            continue;
        }
        match symbol.flags() {
            SymbolFlags::Elf { st_info, .. } if st_info.st_type() == STT_FUNC => {
                let is_local = st_info.st_bind() == STB_LOCAL;
                if is_local { &mut local } else { &mut global }.insert(symbol.address());
            }
            SymbolFlags::Elf { st_info, .. } if st_info.st_type() == STT_GNU_IFUNC => {
                let text = format!(
                    "`{name}` is an indirect function, which is resolved when a program starts: \
                     name one of its implementations"
                );
                return Err(Error::new(ErrorKind::InvalidInput, text));
            }
            _ => {}
        }
    }
    if global.is_empty() && local.len() > 1 {
        let text = format!(
            "it has {} functions `{name}`: name an offset instead, for example 0x1234",
            local.len()
        );
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    Ok(if global.is_empty() { local } else { global })
}

/// Whether a file begins with the ELF magic.
fn is_elf(file: &OwnedFd) -> bool {
    let mut magic = [0; 4];
    rustix::io::pread(file, &mut magic, 0).is_ok_and(|read| read == 4) && magic == *b"\x7fELF"
}

/// The root directory of a process; `None` is our own.
struct Root(Option<OwnedFd>);

impl Root {
    fn of(process: Option<u32>) -> Result<Root> {
        let open = |process: u32| {
            let path = format!("/proc/{process}/root");
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| {
                let text = format!("cannot read the files of process {process}: {error}");
                Error::new(Error::from(error).kind(), text)
            })
        };
        process.map(open).transpose().map(Root)
    }

    /// Opens a file below the root. Symbolic links resolve as they do for the other process. It
    /// does not wait for a writer of a pipe.
    fn open(&self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(match &self.0 {
            None => rustix::fs::open(path, flags, Mode::empty())?,
            Some(root) => rustix::fs::openat2(
                root.as_fd(),
                path,
                flags,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            )?,
        })
    }

    fn read(&self, path: &Path) -> Option<String> {
        let mut text = String::new();
        let file = File::from(self.open(path).ok()?);
        std::io::Read::read_to_string(&mut std::io::Read::take(file, 1 << 20), &mut text).ok()?;
        Some(text)
    }

    /// The paths of the entries in a directory, sorted.
    fn list(&self, directory: &Path) -> Vec<PathBuf> {
        let names = || -> Option<Vec<PathBuf>> {
            let directory = self.open(directory).ok()?;
            let entries = rustix::fs::Dir::new(directory).ok()?;
            let name = |entry: rustix::fs::DirEntry| {
                PathBuf::from(OsStr::from_bytes(entry.file_name().to_bytes()))
            };
            Some(entries.filter_map(rustix::io::Result::ok).map(name).collect())
        };
        let mut names = names().unwrap_or_default();
        names.sort();
        names
    }
}

/// Whether a name is a library's: `libssl`, `libssl.so`, `libc.so.6`.
fn is_library(name: &str) -> bool {
    name.starts_with("lib") || name.contains(".so")
}

/// Whether a file name matches a library's name, with any version: `libssl` matches `libssl.so.3`,
/// and `libc.so` matches `libc.so.6`.
fn is_version_of(file: &str, name: &str) -> bool {
    let Some(rest) = file.strip_prefix(name) else { return false };
    let is_version = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    rest.is_empty()
        || rest.strip_prefix(".so").is_some_and(is_version)
        || name.ends_with(".so") && rest.starts_with('.') && is_version(rest)
}

/// Paths that may have this name, the most likely first.
fn candidates(name: &str, process: Option<u32>, root: &Root) -> Vec<PathBuf> {
    if !is_library(name) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let of_path: Vec<PathBuf> = match process {
            Some(_) => Vec::new(),
            None => std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect(),
        };
        let directories = of_path.into_iter().chain(PROGRAMS.map(PathBuf::from));
        return directories.map(|directory| directory.join(name)).collect();
    }
    let mut found = Vec::new();
    // A library that the process has mapped is the one it calls.
    let maps = process.and_then(|p| std::fs::read_to_string(format!("/proc/{p}/maps")).ok());
    found.extend(mapped(maps.as_deref().unwrap_or_default(), name));
    for directory in library_directories(root) {
        found.push(directory.join(name));
        let names = root.list(&directory);
        let is_it = |file: &&PathBuf| file.to_str().is_some_and(|file| is_version_of(file, name));
        found.extend(names.iter().filter(is_it).map(|file| directory.join(file)));
    }
    found
}

/// The files with a library's name in the text of `/proc/PID/maps`.
fn mapped(maps: &str, name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for line in maps.lines() {
        let Some(at) = line.find('/') else { continue };
        let path = Path::new(&line[at..]);
        let file = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if is_version_of(file, name) && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
    }
    found
}

/// The directories that the dynamic loader searches: those of `/etc/ld.so.conf` (ldconfig(8)), and
/// the default ones.
fn library_directories(root: &Root) -> Vec<PathBuf> {
    let mut texts = vec![root.read(Path::new("/etc/ld.so.conf")).unwrap_or_default()];
    let parts = Path::new("/etc/ld.so.conf.d");
    for name in root.list(parts) {
        if name.extension() == Some(OsStr::new("conf")) {
            texts.extend(root.read(&parts.join(name)));
        }
    }
    let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
    let directories = lines.filter(|line| line.starts_with('/')).map(PathBuf::from);
    let here = format!("{}-linux-gnu", std::env::consts::ARCH);
    let multiarch = ["/lib", "/usr/lib"].map(|directory| Path::new(directory).join(&here));
    directories.chain(multiarch).chain(LIBRARIES.map(PathBuf::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libraries() {
        assert!(is_library("libssl") && is_library("libc.so.6") && !is_library("bash"));
        for (file, name, expected) in [
            ("libssl.so.3", "libssl", true),
            ("libssl.so", "libssl", true),
            ("libc.so.6", "libc.so", true),
            ("libc.so.6", "libc.so.6", true),
            ("libcrypto.so.3", "libc", false),
            ("libc.so.60", "libc.so.6", false),
            ("libssl.so.3.bak", "libssl", false),
            ("libssl3.so", "libssl", false),
        ] {
            assert_eq!(is_version_of(file, name), expected, "{file} {name}");
        }
        let maps = "7f0000-7f1000 r-xp 00000000 08:01 1 /usr/lib/libssl.so.3\n\
                    7f1000-7f2000 r--p 00000000 08:01 1 /usr/lib/libssl.so.3\n\
                    7f2000-7f3000 rw-p 00000000 00:00 0 [heap]\n";
        assert_eq!(mapped(maps, "libssl"), [Path::new("/usr/lib/libssl.so.3")]);
        assert!(mapped(maps, "libc").is_empty());
    }

    #[test]
    fn found_as_the_shell_and_the_loader_find_them() {
        let shell = Binary::find("sh", None).unwrap();
        assert!(shell.path().is_absolute() && shell.name().ends_with("/sh"));
        let libc = Binary::find("libc.so.6", None).unwrap();
        assert!(libc.name().ends_with("/libc.so.6"), "{libc:?}");
        assert_eq!(libc.offsets("getppid").unwrap().len(), 1);
        assert!(libc.offsets("no_such_function").unwrap().is_empty());
        let error = libc.offsets("strlen").unwrap_err();
        assert!(error.to_string().contains("resolved when a program starts"), "{error}");
        let own = Binary::find(SELF, Some(std::process::id())).unwrap();
        assert!(own.path().starts_with("/proc/self/fd"), "{own:?}");
        let of_process = Binary::find("sh", Some(std::process::id())).unwrap();
        assert!(of_process.path().starts_with("/proc/self/fd"), "{of_process:?}");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let error = Binary::find("no-such-program", None).unwrap_err();
        assert_eq!(error.to_string(), "the program or library does not exist");
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        // It does not wait for a writer of the pipe.
        let error = Binary::find(pipe.to_str().unwrap(), None).unwrap_err();
        assert_eq!(error.to_string(), "it is not a program or library");
        assert!(Binary::find("sh", Some(u32::MAX >> 1)).is_err());
    }
}
