// SPDX-License-Identifier: MIT
//! What a package would show, decided without a kernel and without root, from the package and its
//! BTF.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;
use bpfpack_spec::{
    BufferType, Built, Inputs, Note, Options, ReadFrom, Shape, Source, Spec, SpecError, build,
};
use bpfpack_tests::{pack, pack_with_header, scratch};

/// The spec of a package file.
fn built(package: &str, options: &Options, nonzero: &[&str]) -> Result<Built, SpecError> {
    let package = Package::decode(&std::fs::read(Path::new(package)).unwrap()).unwrap();
    let object = BpfObject::parse(&package.object).unwrap();
    let btf = object.btf().unwrap();
    let nonzero: BTreeSet<String> = nonzero.iter().map(|name| (*name).to_owned()).collect();
    build(&Inputs {
        meta: &package.meta,
        object: &object,
        btf: &btf,
        options,
        nonzero: &nonzero,
        kernel_enum: &|_| None,
    })
}

fn spec(source: &str, options: &Options) -> Spec {
    let dir = scratch();
    built(&pack(source, &dir), options, &[]).unwrap().spec
}

/// A line for each source: its origin and its shape.
fn lines(spec: &Spec) -> Vec<String> {
    let line = |source: &Source| match source {
        Source::Stream(stream) => {
            let names: Vec<_> = stream.records.iter().map(|ty| ty.name.as_str()).collect();
            let buffer = match stream.buffer {
                BufferType::Ring => "ring",
                BufferType::Perf { .. } => "perf",
                BufferType::Printk => "printk",
                BufferType::Stage => "stage",
            };
            format!("{buffer} {}: {}", stream.name, names.join(" "))
        }
        Source::View(view) => {
            let from = match &view.from {
                ReadFrom::Map { map } => format!("map {map}"),
                ReadFrom::Slots { map, len, .. } => format!("slots {map} {len}"),
                ReadFrom::Section { section, len, .. } => format!("section {section} {len}"),
                ReadFrom::Stage => "stage".to_owned(),
            };
            let shape = match &view.shape {
                Shape::Histogram { unit, .. } => format!("histogram of {unit}"),
                Shape::Table => "table".to_owned(),
                Shape::KeyValue => "keys and values".to_owned(),
            };
            format!("{from}: {shape}")
        }
    };
    spec.sources.iter().map(line).collect()
}

#[test]
fn examples_show_what_their_annotations_say() {
    for (source, expected) in [
        ("examples/hardirqs/hardirqs.bpf.c", &["map infos: histogram of usecs"][..]),
        (
            "examples/softirqs/softirqs.bpf.c",
            &["section .bss 10: histogram of usecs", "section .bss 10: table"],
        ),
        ("examples/hello/hello.bpf.c", &["printk bpf_printk: line"]),
        ("examples/biolatency/biolatency.bpf.c", &["map hists: histogram of usecs"]),
        ("examples/bitesize/bitesize.bpf.c", &["map hists: histogram of KiB"]),
        ("examples/cachestat/cachestat.bpf.c", &["section .bss 4: table"]),
        ("examples/cpubusy/cpubusy.bpf.c", &["map periods: histogram of usecs"]),
        ("examples/cpudist/cpudist.bpf.c", &["map hists: histogram of usecs"]),
        ("examples/filetop/filetop.bpf.c", &["map files: table"]),
        ("examples/runqlen/runqlen.bpf.c", &["map hists: histogram of tasks"]),
        ("examples/syscount/syscount.bpf.c", &["map counts: table"]),
    ] {
        let spec = spec(source, &Options::default());
        assert_eq!(lines(&spec), expected, "{source}");
    }
}

#[test]
fn a_spec_is_the_same_when_it_is_written_and_read() {
    let dir = scratch();
    let mut shown = 0;
    for source in [
        "examples/profile/profile.bpf.c",
        "examples/tcpstates/tcpstates.bpf.c",
        "examples/execsnoop/execsnoop.bpf.c",
        "examples/runqlat/runqlat.bpf.c",
        "tests/fixtures/views.bpf.c",
        "tests/fixtures/records.bpf.c",
        "tests/fixtures/stacks.bpf.c",
        "tests/fixtures/keys.bpf.c",
    ] {
        let Built { spec, .. } = built(&pack(source, &dir), &Options::default(), &[]).unwrap();
        let text = serde_json::to_string_pretty(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec, "{source}");
        for (at, source) in spec.sources.iter().enumerate() {
            assert_eq!(source.index(), at, "{}", source.name());
        }
        shown += spec.sources.len();
    }
    assert!(shown > 20, "{shown} sources");
}

#[test]
fn a_perf_buffer_has_the_struct_of_its_header() {
    let dir = scratch();
    let Built { spec, .. } =
        built(&pack_with_header("perf", &dir), &Options::default(), &[]).unwrap();
    let stream = spec.streams().next().unwrap();
    assert!(matches!(stream.buffer, BufferType::Perf { pages } if pages.is_power_of_two()));
}

#[test]
fn the_user_chooses_what_is_shown_and_how_often() {
    let dir = scratch();
    let package = pack("tests/fixtures/views.bpf.c", &dir);
    let all = built(&package, &Options::default(), &[]).unwrap().spec;
    let name = all.sources.last().unwrap().name().to_owned();
    let options = Options {
        only: vec![name.split(',').next().unwrap().to_owned()],
        interval: Some(Duration::from_millis(250)),
        differences: true,
        ..Options::default()
    };
    let Built { spec, .. } = built(&package, &options, &[]).unwrap();
    assert_eq!(spec.sources.len(), 1);
    let view = spec.views().next().unwrap();
    assert!(view.differences && view.interval == Duration::from_millis(250));
    let unknown = Options { only: vec!["nothing".into()], ..Options::default() };
    let error = built(&package, &unknown, &[]).unwrap_err();
    assert_eq!(error.to_string(), "--only: the package has no map `nothing`");
    assert!(error.hint().contains(&options.only[0]), "{}", error.hint());
    let single = Options { single_source: true, ..Options::default() };
    let error = built(&package, &single, &[]).unwrap_err();
    assert!(matches!(&error, SpecError::SeveralSources(names) if names.len() == all.sources.len()));
}

#[test]
fn a_unit_may_depend_on_an_argument() {
    let dir = scratch();
    let package = pack("examples/softirqs/softirqs.bpf.c", &dir);
    let unit = |nonzero: &[&str]| {
        let spec = built(&package, &Options::default(), nonzero).unwrap().spec;
        lines(&spec)
    };
    assert_eq!(unit(&[])[0], "section .bss 10: histogram of usecs");
    assert_eq!(unit(&["targ_ns"])[0], "section .bss 10: histogram of nsecs");
}

#[test]
fn what_cannot_be_found_is_told() {
    let dir = scratch();
    let source = dir.path().join("enums.bpf.c");
    let text = r#"
        #include <vmlinux.h>
        #include <bpf/bpf_helpers.h>
        /// @sample {"interval": 1000, "type": "default_kv", "key_enum": "no_such_enum"}
        struct {
            __uint(type, BPF_MAP_TYPE_ARRAY);
            __uint(max_entries, 4);
            __type(key, u32);
            __type(value, u64);
        } counts SEC(".maps");
        SEC("tp/sched/sched_switch")
        int count(void *ctx)
        {
            u32 key = 0;
            u64 *value = bpf_map_lookup_elem(&counts, &key);
            if (value)
                __sync_fetch_and_add(value, 1);
            return 0;
        }
        char LICENSE[] SEC("license") = "GPL";
    "#;
    std::fs::write(&source, text).unwrap();
    let package = pack(source.to_str().unwrap(), &dir);
    let Built { spec, notes } = built(&package, &Options::default(), &[]).unwrap();
    assert_eq!(lines(&spec), ["map counts: keys and values"]);
    let expected =
        "neither the object nor this kernel has the enum `no_such_enum`: keys are shown as numbers";
    assert_eq!(notes, [Note::Warning(expected.into())]);
}
