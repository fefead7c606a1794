// SPDX-License-Identifier: MIT
//! A report as text for people, in 80 columns. Texts of the package are escaped.

use bpfpack_schemas::printable::one_line;
use bpfpack_schemas::report::{
    ArgumentReport, Finding, Inspection, Instrumentation, MapReport, MemberReport, ModuleReport,
    ProgramReport, Report, SourceReport,
};

use crate::layout::{self, Page};

/// The whole report.
pub(super) fn of(inspection: &Inspection) -> String {
    let mut page = Page::default();
    head(&mut page, inspection);
    effects(&mut page, &inspection.report, is_tracer(inspection));
    page.section("Programs", &inspection.report.programs, program);
    maps(&mut page, &inspection.report.maps);
    page.section("Arguments", &inspection.arguments, argument);
    page.section("Shown", &inspection.sources, source);
    page.section("Wasm modules", &inspection.modules, module);
    loading(&mut page, inspection.instrumentation.as_ref());
    page.text()
}

/// Whether the package is a module that decides itself what it loads.
fn is_tracer(inspection: &Inspection) -> bool {
    inspection.sha256.object.is_none() && !inspection.modules.is_empty()
}

fn head(page: &mut Page, inspection: &Inspection) {
    match &inspection.description {
        Some(text) => page.line(0, &format!("{}: {}", inspection.name, text)),
        None => page.line(0, &inspection.name),
    }
    let report = &inspection.report;
    let capabilities = report.capabilities.join(", ");
    for (label, value) in [
        ("version", inspection.version.as_deref()),
        ("license", report.license.as_deref()),
        ("source", Some(&*inspection.origin.source)),
        ("signed", Some(&*inspection.origin.signature)),
        ("file", inspection.sha256.file.as_deref()),
        ("object", inspection.sha256.object.as_deref()),
        ("needs", Some(&*capabilities)),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            page.labeled(2, label, 8, value);
        }
    }
    for (cpu, digest) in &inspection.sha256.variants {
        page.labeled(
            2,
            "variant",
            8,
            &format!("{digest} ({cpu}, for kernels that refuse the object)"),
        );
    }
}

fn effects(page: &mut Page, report: &Report, is_tracer: bool) {
    page.title("What it can do");
    if is_tracer {
        let count = report.programs.len();
        page.line(
            2,
            &format!(
                "The module decides when it runs which objects it loads. Its data contains objects \
                 with {count} programs. `ecli run --observe-only` checks each object."
            ),
        );
    }
    if report.observes_only() {
        page.line(2, "It only observes the system.");
    }
    for Finding { effect, evidence } in &report.effects {
        let sign = if effect.observes() { ' ' } else { '!' };
        page.line(1, &format!("{sign} {}", effect.words()));
        let reasons: Vec<String> = evidence.iter().map(ToString::to_string).collect();
        page.line(5, &reasons.join(", "));
    }
}

fn program(page: &mut Page, program: &ProgramReport) {
    page.line(2, &program.name);
    let functions = match program.functions {
        0 => String::new(),
        1 => ", and 1 function that it calls".to_owned(),
        count => format!(", and {count} functions that it calls"),
    };
    let others = program.alternatives.iter().filter(|name| **name != program.name);
    let others: Vec<&str> = others.map(String::as_str).collect();
    let frequency = program.frequency.map(|hertz| format!("{hertz} times per second"));
    let code = format!("{} instructions{functions}", program.instructions);
    let lines = [
        ("section", program.section.clone()),
        ("runs", program.runs.clone()),
        ("code", code),
        ("helpers", program.helpers.join(", ")),
        ("kfuncs", program.kfuncs.join(", ")),
        ("instead", others.join(", ")),
        ("sampled", frequency.unwrap_or_default()),
        ("loaded", loaded(program).to_owned()),
    ];
    for (label, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        page.labeled(4, label, 8, value);
    }
}

/// When a program is loaded, unless always.
fn loaded(program: &ProgramReport) -> &'static str {
    match (program.on_request, program.optional, program.alternatives.is_empty()) {
        (true, _, _) => "only with --with",
        (false, true, _) => "if the kernel has its target",
        (false, false, false) => "one of the alternatives, the best that the kernel accepts",
        (false, false, true) => "",
    }
}

fn maps(page: &mut Page, maps: &[MapReport]) {
    if maps.is_empty() {
        return;
    }
    page.title("Maps");
    let head = ["name", "type", "key", "value", "entries", "memory"].map(str::to_owned);
    let row = |map: &MapReport| {
        let marks = [(map.internal, " (internal)"), (map.pinned, " (pinned)")];
        let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
        let cpus = if map.cpus.is_some() { "*" } else { "" };
        [
            format!("{}{marks}", one_line(&map.name)),
            map.ty.clone(),
            map.key_size.to_string(),
            map.value_size.to_string(),
            map.max_entries.to_string(),
            format!("{}{cpus}", layout::bytes(map.memory)),
        ]
    };
    let rows: Vec<[String; 6]> = [head].into_iter().chain(maps.iter().map(row)).collect();
    page.table(2, &rows);
    if let Some(cpus) = maps.iter().find_map(|map| map.cpus) {
        page.line(2, &format!("* {cpus} values for each key, one for each possible CPU here"));
    }
}

fn argument(page: &mut Page, argument: &ArgumentReport) {
    let short = argument.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let default = argument.default.as_ref().filter(|_| !argument.help.contains("[default:"));
    let default = default.map_or_else(String::new, |value| format!(" [default: {value}]"));
    page.line(2, &format!("{short}--{} ({})", argument.long, argument.ty));
    page.line(8, &format!("{}{default}", argument.help));
}

fn source(page: &mut Page, source: &SourceReport) {
    let unit = source.unit.as_ref().map_or_else(String::new, |unit| format!(" of {unit}"));
    let interval = source.interval_ms.map_or_else(String::new, |interval| match interval {
        1000 => ", read every second".to_owned(),
        // A reading at the end only.
        interval if interval > u64::from(u32::MAX) => ", read at the end".to_owned(),
        interval if interval % 1000 == 0 => format!(", read every {} seconds", interval / 1000),
        interval => format!(", read every {interval} ms"),
    });
    let differences = if source.differences { ", as differences" } else { "" };
    let line = format!("{}: {}{unit}{interval}{differences}", source.name, source.shown_as);
    page.line(2, &line);
    for (label, list) in [("key", &source.key), ("value", &source.value)] {
        if !list.is_empty() {
            page.labeled(4, label, 6, &members(list));
        }
    }
    for record in &source.records {
        page.line(4, &format!("{}: {}", record.name, members(&record.members)));
    }
}

fn members(list: &[MemberReport]) -> String {
    let member = |member: &MemberReport| match member.name.is_empty() {
        true => member.ty.clone(),
        false => format!("{} {}", member.name, member.ty),
    };
    list.iter().map(member).collect::<Vec<_>>().join(", ")
}

fn module(page: &mut Page, module: &ModuleReport) {
    let size = layout::bytes(module.size);
    page.line(2, &format!("{}: {}, {size}", module.name, module.kind));
    page.labeled(4, "sha256", 8, &module.sha256);
    match &module.imports {
        None => page.labeled(4, "imports", 8, "not known: the module is text"),
        Some(imports) => {
            for (from, names) in imports {
                page.labeled(4, "imports", 8, &format!("{from}: {}", names.join(", ")));
            }
        }
    }
}

fn loading(page: &mut Page, added: Option<&Instrumentation>) {
    page.title("Loading");
    let Some(Instrumentation { calls, instructions, buffers }) = added else {
        page.line(2, "ecli loads the programs unchanged: they write to no ring or perf buffer.");
        return;
    };
    let calls = if *calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") };
    let of_buffers = match buffers.is_empty() {
        true => String::new(),
        false => format!(" ({})", buffers.join(", ")),
    };
    page.line(
        2,
        &format!(
            "ecli loads a copy of the object. After {calls} of helpers that write to buffers\
             {of_buffers}, it counts the records that are lost: {instructions} more instructions, \
             and the map bpfpack_lost. If the kernel refuses the copy, or with --as-is, it loads \
             the object unchanged."
        ),
    );
}
