// SPDX-License-Identifier: MIT
//! Reads about a process in /proc: which program it is, and the executable parts of its memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::files::{Files, Id};

/// Distinguishes program runs with the same process ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    /// When the process began, in clock ticks since boot. It differs if the process ID was reused.
    start: u64,
    /// The beginning and end of code, and the beginning of the stack, which change with an exec.
    /// All are 0 if the memory is gone (a zombie) and in kernel threads; 1, 1, 0 without permission
    /// to trace the process.
    places: [u64; 3],
}

impl Image {
    /// Reads `/proc/PID/stat`: proc_pid_stat(5), fields 22, 26, 27 and 28.
    pub(crate) fn read(process: &Path) -> Option<Image> {
        let stat = fs::read(process.join("stat")).ok()?;
        // The name in parentheses may contain any characters, including parentheses.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = String::from_utf8_lossy(stat.get(end + 1..)?);
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Image { start: field(22)?, places: [field(26)?, field(27)?, field(28)?] })
    }

    /// Whether `now`, with the same process ID, is this process after its end.
    pub(crate) fn ended_as(&self, now: &Image) -> bool {
        self.start == now.start && self.places != [0; 3] && now.places == [0; 3]
    }
}

/// What an executable part of memory is backed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    /// An ELF file.
    File(Id),
    /// Memory, or a file that is not an ELF file or cannot be opened. Its code may be generated at
    /// run time.
    Made,
    /// Code of the kernel.
    Other,
}

/// An executable part of a process' memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub start: u64,
    /// The end address, exclusive.
    pub end: u64,
    /// The offset in the file.
    pub offset: u64,
    pub backing: Backing,
    /// The file's name, or a name in brackets.
    pub module: Rc<str>,
}

/// The maximum number of executable mappings to read. A process may have 65,530 mappings.
pub(crate) const MOST: usize = 16 << 10;

/// The maximum number of bytes to read from a process's list of mappings. A path in it may have 4
/// KB.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// Reads the executable mappings of a process, sorted by address, and keeps their files open. Also
/// returns whether there were more than the maximum.
pub(crate) fn read(process: &Path, files: &mut Files) -> (Vec<Mapping>, bool) {
    let Ok(maps) = File::open(process.join("maps")) else { return (Vec::new(), false) };
    let mut maps = BufReader::with_capacity(1 << 16, maps.take(MAX_BYTES));
    let mut found = Vec::new();
    let mut line = Vec::new();
    while maps.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(parsed) = Line::parse(text) {
            if found.len() == MOST {
                return (found, true);
            }
            found.push(mapping(&parsed, process, files));
        }
        line.clear();
    }
    let is_cut = maps.get_ref().limit() == 0;
    (found, is_cut)
}

/// A line of `/proc/PID/maps` for executable memory.
struct Line<'a> {
    start: u64,
    end: u64,
    offset: u64,
    device: u64,
    inode: u64,
    path: &'a [u8],
}

impl<'a> Line<'a> {
    /// Parses `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE      PATH` (proc_pid_maps(5)).
    fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = field()?.split_once('-')?;
        if field()?.as_bytes().get(2) != Some(&b'x') {
            return None;
        }
        let offset = hex(field()?)?;
        let (major, minor) = field()?.split_once(':')?;
        let inode = field()?.parse().ok()?;
        let path = fields.next().unwrap_or_default().trim_ascii_start();
        let device = hex(major)? << 32 | hex(minor)?;
        Some(Line { start: hex(start)?, end: hex(end)?, offset, device, inode, path })
    }
}

fn mapping(line: &Line<'_>, process: &Path, files: &mut Files) -> Mapping {
    let Line { start, end, offset, path, .. } = *line;
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let (backing, module): (_, Rc<str>) = match path {
        b"[vdso]" => (vdso(line, files), "[vdso]".into()),
        b"" => (Backing::Made, "[anon]".into()),
        _ if path.starts_with(b"[anon") || matches!(path, b"[heap]" | b"[stack]") => {
            (Backing::Made, String::from_utf8_lossy(path).into())
        }
        _ if line.inode == 0 || path.starts_with(b"[") => {
            (Backing::Other, String::from_utf8_lossy(path).into())
        }
        _ => {
            let module: Rc<str> = String::from_utf8_lossy(name).into();
            let identity = (line.device, line.inode);
            let id = files.keep(identity, &module, || open(line, process));
            (id.map_or(Backing::Made, Backing::File), module)
        }
    };
    Mapping { start, end, offset, backing, module }
}

/// All 64-bit processes have the same vDSO, including this one; 32-bit processes have another.
fn vdso(line: &Line<'_>, files: &mut Files) -> Backing {
    match files.vdso() {
        Some((id, size)) if line.end - line.start == size && line.start >> 32 != 0 => {
            Backing::File(id)
        }
        _ => Backing::Other,
    }
}

/// Opens a mapped file: the file itself if permitted, even if it was deleted; otherwise by its
/// path, as the process sees it.
fn open(line: &Line<'_>, process: &Path) -> Option<File> {
    let itself = process.join("map_files").join(format!("{:x}-{:x}", line.start, line.end));
    match fs::metadata(&itself) {
        // Opening some kinds of files has effects.
        Ok(data) if !data.is_file() => return None,
        Ok(_) => File::open(&itself).ok(),
        Err(_) => None,
    }
    .or_else(|| {
        let file = inside(process, line.path, OFlags::empty())?;
        // A file on another device may have the same inode number, but hardly at the same path.
        (file.metadata().ok()?.ino() == line.inode).then_some(file)
    })
}

/// Opens a regular file by its path in the mount namespace of a process; `None` if the flags
/// `refused` do not allow it.
pub(crate) fn inside(process: &Path, path: &[u8], refused: OFlags) -> Option<File> {
    let at = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(process.join("root"), at, Mode::empty()).ok()?;
    // Symbolic links resolve within that root. `O_NONBLOCK` keeps the open of a pipe from blocking.
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | refused;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = OsStr::from_bytes(path);
    let file = File::from(rustix::fs::openat2(root, path, how, Mode::empty(), within).ok()?);
    file.metadata().ok()?.is_file().then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps() {
        let line =
            b"7f00a000-7f00b000 r-xp 00002000 fe:01 1234                   /a b/c d (deleted)";
        let line = Line::parse(line).unwrap();
        assert_eq!((line.start, line.end, line.offset), (0x7f00_a000, 0x7f00_b000, 0x2000));
        assert_eq!((line.device, line.inode), (0xfe_0000_0001, 1234));
        assert_eq!(line.path, b"/a b/c d (deleted)");
        assert!(Line::parse(b"7f00a000-7f00b000 r--p 00000000 00:00 0 ").is_none());
        assert_eq!(Line::parse(b"7f00a000-7f00b000 rwxp 00000000 00:00 0 ").unwrap().path, b"");
        assert!(Line::parse(b"").is_none());
    }

    #[test]
    fn names_in_stat_may_hold_parentheses() {
        let own = Image::read(Path::new("/proc/self")).unwrap();
        assert!(own.start > 0);
        assert_eq!(Image::read(Path::new("/proc/self")), Some(own));
        assert_eq!(Image::read(Path::new("/proc/none")), None);
    }
}
