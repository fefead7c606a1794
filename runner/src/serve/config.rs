// SPDX-License-Identifier: MIT
//! The configuration of `ecli serve`: TOML files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// A configuration, with the files that it includes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where metrics are served.
    pub(crate) listen: Option<String>,
    /// The web configuration file of the server.
    pub(crate) web_config: Option<PathBuf>,
    /// The tracers by name.
    pub(crate) tracers: BTreeMap<String, Tracer>,
}

/// A tracer: the words behind `ecli run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracer {
    /// The options, the package and its arguments.
    pub(crate) words: Vec<String>,
    /// The file of the package, if it is one.
    pub(crate) file: Option<PathBuf>,
}

/// A file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<String>,
    web_config: Option<PathBuf>,
    include: Vec<PathBuf>,
    otlp: Option<Otlp>,
    tracer: BTreeMap<String, TracerTable>,
}

/// The table `otlp`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Otlp {
    url: String,
    interval: Option<String>,
    #[serde(default)]
    signals: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// A table `tracer.NAME`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TracerTable {
    package: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    filters: Vec<String>,
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    outputs: Vec<String>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
}

impl Config {
    /// How metrics are served, which only a restart changes.
    pub(crate) fn served(&self) -> (Option<String>, Option<PathBuf>) {
        (self.listen.clone(), self.web_config.clone())
    }

    /// Reads a configuration file, and those in the directories that it includes: all files that end
    /// in `.toml`, in the order of their names.
    ///
    /// # Errors
    /// Returns an error that names the file and the line.
    pub(crate) fn read(path: &Path) -> Result<Config> {
        let mut names = BTreeMap::new();
        let file = File::read(path)?;
        let mut config = Config {
            listen: file.listen.clone(),
            web_config: file.web_config.as_ref().map(|web| beside(path, web)),
            tracers: BTreeMap::new(),
        };
        let otlp = file.otlp.clone();
        for directory in &file.include {
            let directory = beside(path, directory);
            let context = || format!("`{}` includes `{}`", path.display(), directory.display());
            let mut files = Vec::new();
            for entry in fs::read_dir(&directory).with_context(context)? {
                files.push(entry.with_context(context)?.path());
            }
            files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
            files.sort();
            for included in files {
                let inner = File::read(&included)?;
                if inner.listen.is_some() || inner.web_config.is_some() || inner.otlp.is_some() {
                    bail!(
                        "`{}` is included: `listen`, `web_config` and `otlp` belong in `{}`",
                        included.display(),
                        path.display()
                    );
                }
                if !inner.include.is_empty() {
                    bail!("`{}` is included, and cannot include others", included.display());
                }
                config.add(&included, inner.tracer, otlp.as_ref(), &mut names)?;
            }
        }
        config.add(path, file.tracer, otlp.as_ref(), &mut names)?;
        if config.tracers.is_empty() {
            bail!("`{}` has no tracer: it needs a table [tracer.NAME]", path.display());
        }
        Ok(config)
    }

    /// Adds the tracers of a file.
    fn add(
        &mut self,
        path: &Path,
        tables: BTreeMap<String, TracerTable>,
        otlp: Option<&Otlp>,
        names: &mut BTreeMap<String, PathBuf>,
    ) -> Result<()> {
        for (name, table) in tables {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if name.is_empty() || !name.chars().all(allowed) {
                bail!(
                    "`{}`: `{}` is not a name for a tracer: it may have letters, digits, _, - and .",
                    path.display(),
                    name.escape_debug()
                );
            }
            if let Some(other) = names.insert(name.clone(), path.to_owned()) {
                let (one, two) = (other.display(), path.display());
                bail!("`{one}` and `{two}` both have a tracer `{name}`");
            }
            self.tracers.insert(name, Tracer::of(table, path, otlp));
        }
        Ok(())
    }
}

impl File {
    fn read(path: &Path) -> Result<File> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        // The message has the line.
        toml::from_str(&text).map_err(|error| {
            let error = error.to_string();
            anyhow::anyhow!("`{}`: {}", path.display(), error.trim_end())
        })
    }
}

impl Tracer {
    fn of(table: TracerTable, path: &Path, otlp: Option<&Otlp>) -> Tracer {
        let mut words = Vec::new();
        let mut add = |option: &str, values: Vec<String>| {
            for value in values {
                words.extend([option.to_owned(), value]);
            }
        };
        add("--filter", table.filters);
        add("--attach", table.targets);
        add("--output", table.outputs);
        add("--labels", table.labels);
        if let Some(otlp) = otlp {
            add("--otlp", vec![otlp.url.clone()]);
            add("--otlp-interval", otlp.interval.clone().into_iter().collect());
            let signals = Some(otlp.signals.join(",")).filter(|signals| !signals.is_empty());
            add("--otlp-signals", signals.into_iter().collect());
            let headers = otlp.headers.iter().map(|(name, value)| format!("{name}={value}"));
            add("--otlp-header", headers.collect());
        }
        words.extend(table.options);
        let is_remote = table.package.contains("://");
        let file = (!is_remote).then(|| beside(path, Path::new(&table.package)));
        words.push(match &file {
            Some(file) => file.display().to_string(),
            None => table.package,
        });
        words.extend(table.arguments);
        Tracer { words, file }
    }
}

/// A path that is relative to the directory of a file.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let begin = directory.path().display().to_string();
        let bare = |text: String| text.replace(&format!("{begin}/"), "");
        let config = Config::read(&directory.path().join("main.toml"));
        let mut config = config.map_err(|error| bare(format!("{error:#}")))?;
        for tracer in config.tracers.values_mut() {
            tracer.words.iter_mut().for_each(|word| *word = bare(word.clone()));
        }
        Ok(config)
    }

    #[test]
    fn tracers_are_command_lines() {
        let main = r#"
            listen = "127.0.0.1:9435"
            include = ["more"]
            otlp = { url = "http://c:4318", headers = { x = "y" } }
            [tracer.irqs]
            package = "hardirqs.json"
            arguments = ["--targ_dist"]
            filters = ["count > 1"]
            options = ["-i", "5"]
        "#;
        let more = r#"
            [tracer.execs]
            package = "oci://ghcr.io/x/execs:1"
            targets = ["a=off"]
            outputs = ["json:/var/log/execs.json"]
        "#;
        let config = read(&[("main.toml", main), ("more/a.toml", more), ("more/b.txt", "?")]);
        let config = config.unwrap();
        assert_eq!(config.listen.as_deref(), Some("127.0.0.1:9435"));
        let words = |name: &str| config.tracers[name].words.join(" ");
        let otlp = "--otlp http://c:4318 --otlp-header x=y";
        assert_eq!(
            words("irqs"),
            format!("--filter count > 1 {otlp} -i 5 hardirqs.json --targ_dist")
        );
        assert_eq!(
            words("execs"),
            format!(
                "--attach a=off --output json:/var/log/execs.json {otlp} oci://ghcr.io/x/execs:1"
            )
        );
        assert!(config.tracers["execs"].file.is_none() && config.tracers["irqs"].file.is_some());
    }

    #[test]
    fn errors_name_the_file_and_the_reason() {
        let one = "[tracer.a]\npackage = \"x\"\n";
        for (files, words) in [
            (&[("main.toml", "")][..], "`main.toml` has no tracer"),
            (&[("main.toml", "listen = 1")], "invalid type"),
            (
                &[("main.toml", "[tracer.a]\npackage = \"x\"\nnonsense = 1")],
                "unknown field `nonsense`",
            ),
            (&[("main.toml", "[tracer.\"a b\"]\npackage = \"x\"")], "`a b` is not a name"),
            (&[("main.toml", "include = [\"d\"]")], "`main.toml` includes `d`"),
            (
                &[("main.toml", &*format!("include = [\"d\"]\n{one}")), ("d/x.toml", one)],
                "`d/x.toml` and `main.toml` both have a tracer `a`",
            ),
            (
                &[("main.toml", "include = [\"d\"]"), ("d/x.toml", "listen = \":1\"")],
                "`d/x.toml` is included",
            ),
        ] {
            let error = read(files).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
