// SPDX-License-Identifier: MIT
//! The report of `ecc --check` on standard output: what the package would contain.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use bpfpack_schemas::Meta;
use bpfpack_schemas::argument::plain;
use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::meta::{
    DUMMY_PREFIX, MapMeta, SampleKind, SampleMeta, Scale, ViewKind, ViewMeta,
};
use bpfpack_schemas::printable::one_line;

use crate::failure::{Failure, exit_code};
use crate::message::shown as path;

/// Prints the report.
pub(crate) fn print(source: &Path, meta: &Meta, btf: &Btf<'_>) -> Result<(), Failure> {
    let text = report(&path(source).to_string(), meta, btf);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit_code::OUTPUT, error))
        }
        _ => Ok(()),
    }
}

fn report(source: &str, meta: &Meta, btf: &Btf<'_>) -> String {
    let mut out = format!("{source}\n");
    let mut line = |what: &str, name: &str, text: &str| {
        let (name, text) = (one_line(name), one_line(text));
        let _ =
            writeln!(out, "  {what:<8} {name}{}{text}", if text.is_empty() { "" } else { ": " });
    };
    for program in &meta.bpf_skel.progs {
        line("program", &program.name, &program.attach);
    }
    for map in meta.bpf_skel.maps.iter().filter(|map| !map.mmaped && !map.name.contains('.')) {
        line("map", &map.name, &map_text(map, btf));
    }
    for section in &meta.bpf_skel.data_sections {
        for variable in section.variables.iter().filter(|v| !v.name.starts_with(DUMMY_PREFIX)) {
            let shown = shown(variable.sample.as_ref(), variable.view.as_ref(), variable.hidden);
            if !section.name.starts_with(".rodata") {
                line("variable", &variable.name, &shown);
                continue;
            }
            let cmdarg = variable.cmdarg.clone().unwrap_or_default();
            let long = cmdarg.long.unwrap_or_else(|| variable.name.clone());
            let short = cmdarg.short.map(|short| format!("-{short}, ")).unwrap_or_default();
            let mut text = variable.ty.clone();
            if let Some(default) = cmdarg.default.as_ref().or(variable.value.as_ref()) {
                let _ = write!(text, " = {}", plain(default));
            }
            if let Some(help) = cmdarg.help.as_ref().or(variable.description.as_ref()) {
                let _ = write!(text, ", {}", help.replace('\n', " "));
            }
            line("argument", &format!("{short}--{long}"), &text);
        }
    }
    out
}

fn map_text(map: &MapMeta, btf: &Btf<'_>) -> String {
    if !map.records.is_empty() {
        let names: Vec<String> = map
            .records
            .iter()
            .map(|record| format!("{} ({} bytes)", record.name, record.size))
            .collect();
        return format!("records of {}", names.join(", "));
    }
    let mut text = shown(map.sample.as_ref(), map.view.as_ref(), map.hidden);
    if let (Some(key), Some(value)) = btf.map_types(&map.name) {
        let sep = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{sep}{} -> {}", key.spelling(), value.spelling());
    }
    text
}

/// How something is shown.
fn shown(sample: Option<&SampleMeta>, view: Option<&ViewMeta>, hidden: bool) -> String {
    if hidden {
        return "hidden".to_owned();
    }
    if let Some(sample) = sample {
        let what = match sample.kind {
            SampleKind::KeyValue => "a line for each key",
            SampleKind::Log2Histogram => "log2 histogram",
            SampleKind::LinearHistogram => "linear histogram",
        };
        return format!("{what}, as annotated");
    }
    let Some(view) = view else { return String::new() };
    match view.kind {
        ViewKind::None => "not shown".to_owned(),
        ViewKind::Stacks => "stacks".to_owned(),
        ViewKind::Scratch => "internal, not shown".to_owned(),
        ViewKind::Input => "input from user space, not shown".to_owned(),
        ViewKind::Table => match &view.sort {
            Some(sort) => format!("table by {sort}"),
            None => "table".to_owned(),
        },
        ViewKind::Histogram => {
            let scale = match view.scale.unwrap_or_default() {
                Scale::Log2 => "log2",
                Scale::Log2Zero => "log2 (with a slot for zero)",
                Scale::Log2Up => "log2 (rounded up)",
                Scale::Log2ZeroUp => "log2 (rounded up, with a slot for zero)",
                Scale::Linear => "linear",
            };
            let unit = view.unit.as_ref().map(|unit| format!(" of {unit}")).unwrap_or_default();
            format!("{scale} histogram{unit}")
        }
    }
}
