// SPDX-License-Identifier: MIT
//! Kernels in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};

use bpfpack_refusal::since::Version;
use object::{Object as _, ObjectSection as _};

/// A kernel that `tests/kernels.sh` has unpacked.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Such as `6.1`.
    pub series: String,
    /// The version of the package, if it is known.
    pub package: Option<String>,
    pub(super) image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// All kernels, the oldest series first.
    #[must_use]
    pub fn all() -> Vec<Kernel> {
        let cache = bpfpack_directories::user_cache();
        let entries = cache.and_then(|cache| fs::read_dir(cache.join("kernels")).ok());
        let mut kernels: Vec<Kernel> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Kernel::in_tree(&entry.ok()?.path()))
            .collect();
        kernels.sort_by_key(|kernel| numbers(&kernel.series));
        kernels
    }

    /// The kernel of a series.
    #[must_use]
    pub fn of_series(series: &str) -> Option<Kernel> {
        Kernel::all().into_iter().find(|kernel| kernel.series == series)
    }

    /// Whether its series is this one or a later one.
    #[must_use]
    pub fn is_since(&self, series: &str) -> bool {
        numbers(&self.series) >= numbers(series)
    }

    /// The kernel in an unpacked package, in a directory with the name of the series.
    fn in_tree(tree: &Path) -> Option<Kernel> {
        let series = tree.file_name()?.to_str().filter(|name| numbers(name).is_some())?.to_owned();
        let entries = |directory: &str| {
            let entries = fs::read_dir(tree.join(directory)).into_iter().flatten().flatten();
            entries.map(|entry| entry.path())
        };
        // Newer packages have all of /lib in /usr.
        let modules = entries("lib/modules").chain(entries("usr/lib/modules")).next()?;
        let is_image = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        };
        // Packages from 7.0 on have it beside the modules.
        let image = entries("boot").find(is_image);
        let image = image.or(Some(modules.join("vmlinuz")).filter(|path| path.exists()))?;
        let packages = fs::read_to_string(tree.join("packages")).unwrap_or_default();
        let package = packages.lines().next().and_then(|line| line.rsplit(' ').next());
        Some(Kernel { series, package: package.map(str::to_owned), image, modules })
    }

    /// A module that is not built in.
    pub(super) fn module(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.module_file(name)?;
        if path.extension().is_none_or(|ending| ending != "xz") {
            return fs::read(path).ok();
        }
        let xz = std::process::Command::new("xz").arg("-dc").arg(&path).output().ok()?;
        xz.status.success().then_some(xz.stdout)
    }

    fn module_file(&self, name: &str) -> Option<PathBuf> {
        let files = [format!("{name}.ko"), format!("{name}.ko.xz")];
        let mut todo = vec![self.modules.join("kernel")];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    todo.push(entry.path());
                } else if files.iter().any(|file| entry.file_name() == **file) {
                    return Some(entry.path());
                }
            }
        }
        None
    }
}

/// The modules that a module needs, from its section `.modinfo`: zero-terminated texts.
pub(super) fn needed(module: &[u8]) -> Vec<String> {
    let file = object::File::parse(module).unwrap();
    let section = file.section_by_name(".modinfo").unwrap();
    let data = section.data().unwrap();
    let mut texts = data.split(|byte| *byte == 0);
    let needed = texts.find_map(|text| text.strip_prefix(b"depends="));
    let needed = String::from_utf8_lossy(needed.unwrap_or_default()).into_owned();
    needed.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The numbers of a series, if it has two and nothing else.
fn numbers(series: &str) -> Option<Version> {
    Version::parse(series).filter(|version| version.to_string() == series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch;

    #[test]
    fn kernels_are_named_by_series() {
        let dir = scratch();
        let at = |path: &str, content: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            path
        };
        let image = at("6.12/boot/vmlinuz-6.12.1-cloud-amd64", "");
        let module = at("6.12/usr/lib/modules/6.12.1/kernel/net/sched/x.ko", "");
        let kernel = Kernel::in_tree(&dir.path().join("6.12")).unwrap();
        assert_eq!((kernel.series.as_str(), &kernel.image), ("6.12", &image));
        assert_eq!(kernel.module_file("x"), Some(module));
        assert_eq!((kernel.module_file("y"), &kernel.package), (None, &None));
        assert!(kernel.is_since("6.2") && kernel.is_since("6.12") && !kernel.is_since("7.3"));
        let _ = at("new-1234/boot/vmlinuz-1", "");
        assert!(Kernel::in_tree(&dir.path().join("new-1234")).is_none());
        assert!(numbers("6.12") > numbers("6.2"));
        let image = at("7.3/usr/lib/modules/7.3.4/vmlinuz", "");
        let _ = at("7.3/packages", "linux-binary-7.3.4 7.3.4-1\nlinux-modules-7.3.4 7.3.4-1\n");
        let kernel = Kernel::in_tree(&dir.path().join("7.3")).unwrap();
        assert_eq!((&kernel.image, kernel.package.as_deref()), (&image, Some("7.3.4-1")));
    }
}
