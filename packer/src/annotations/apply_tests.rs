// SPDX-License-Identifier: MIT
use super::super::find;
use super::*;
use bpfpack_schemas::meta::{DataSection, RecordMeta, SampleKind, Scale, SlotPosition, ViewKind};

const SOURCE: &str = r#"
/// What it does.
/// @cmdarg {"short": "p",
///          "long": "pid"}
const volatile int targ_pid = 0, other;

/// @sample {"interval": 1000, "type": "log2_hist"}
struct {
	/// not this
	__uint(type, BPF_MAP_TYPE_HASH);
} hists SEC(".maps");

static int helper(int x)
{
	/// @sample not this either
	return x;
}

/// @flags 0
SEC("xdp")
/// @ifindex 2
/// @title two words
int BPF_PROG(handle, int hists)
{
	return helper(0);
}

/// @brief A tool
/// @version 1.0
/// @details "quoted"
char LICENSE[] SEC("license") = "GPL";
"#;

fn variable(name: &str) -> Variable {
    Variable { name: name.into(), ty: "int".into(), ..Default::default() }
}

fn meta() -> Meta {
    let mut meta = Meta::default();
    meta.bpf_skel.data_sections = vec![DataSection {
        name: ".rodata".into(),
        variables: vec![variable("targ_pid"), variable("other")],
        other: Default::default(),
    }];
    let record = |name: &str| RecordMeta { name: name.into(), ..Default::default() };
    meta.bpf_skel.maps = vec![MapMeta {
        name: "hists".into(),
        ident: "hists".into(),
        records: vec![record("a"), record("b")],
        ..Default::default()
    }];
    meta.bpf_skel.progs = vec![ProgMeta {
        name: "handle".into(),
        attach: "xdp".into(),
        link: true,
        autoload: None,
        optional: None,
        frequency: None,
        annotations: Default::default(),
    }];
    meta
}

/// An empty BTF header.
fn no_types() -> Btf<'static> {
    const EMPTY: [u8; 24] =
        [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    Btf::parse(&EMPTY).unwrap()
}

fn applied_to(meta: Meta, source: &str) -> Result<Meta, Failure> {
    let location = (Path::new("x.bpf.c"), source);
    apply(meta, &no_types(), &find(source).unwrap(), location, &Console::new(false))
}

fn applied(source: &str) -> Result<Meta, Failure> {
    applied_to(meta(), source)
}

#[test]
fn each_annotation_finds_its_place() {
    let meta = applied(SOURCE).unwrap();
    let variable = &meta.bpf_skel.data_sections[0].variables[0];
    assert_eq!(variable.description.as_deref(), Some("What it does."));
    assert_eq!(variable.cmdarg.as_ref().unwrap().long.as_deref(), Some("pid"));
    assert_eq!(meta.bpf_skel.data_sections[0].variables[1].description, None);
    let sample = meta.bpf_skel.maps[0].sample.as_ref().unwrap();
    assert_eq!((sample.interval, sample.kind), (1000, SampleKind::Log2Histogram));
    let program = &meta.bpf_skel.progs[0].annotations;
    assert_eq!(program.flags, Some(0));
    assert_eq!(program.ifindex, Some(2));
    assert_eq!(program.other["title"], json!("two words"));
    let doc = meta.bpf_skel.doc.unwrap();
    assert_eq!(doc.brief.as_deref(), Some("A tool"));
    assert_eq!(doc.version.as_deref(), Some("1.0"));
    assert_eq!(doc.details.as_deref(), Some("quoted"));
}

#[test]
fn values_that_no_loader_could_read_are_refused_with_their_place() {
    let failure =
        applied("\n/// @sample {\"type\": \"log2_hist\"}\nstruct {} hists SEC(\".maps\");")
            .unwrap_err();
    assert_eq!(failure.exit_code, exit_code::DESCRIBE);
    let text = format!("{failure:?}");
    assert!(text.contains("x.bpf.c:2:1: `@sample`: missing field `interval`"), "{text}");
}

#[test]
fn numbers_of_entries_that_no_map_can_have() {
    let entries = |text: &str| {
        let source = format!("/// @max_entries {text}\nstruct {{}} hists SEC(\".maps\");");
        applied(&source).map(|meta| meta.bpf_skel.maps[0].max_entries)
    };
    assert_eq!(entries("4096").unwrap(), Some(4096));
    for (text, words) in [("0", "at least 1 entry"), ("many", "expected u32"), ("-1", "u32")] {
        let failure = entries(text).unwrap_err();
        assert_eq!(failure.exit_code, exit_code::DESCRIBE);
        let text = failure.to_string();
        assert!(text.contains("x.bpf.c:1:1: `@max_entries`: ") && text.contains(words), "{text}");
    }
}

#[test]
fn slips_are_left_out() {
    let found = applied(
        "/// @sample {broken\nstruct {} hists;\n/// @name x\nint targ_pid;\n\
         /// @sample {}\n#define A\nint other;",
    )
    .unwrap();
    assert_eq!(found, meta());
}

#[test]
fn a_caret_stands_below_the_slip() {
    let source = "\t/// @sample {\"interval\": 5 \"type\": 1}\nint hists;";
    let found = find(source).unwrap();
    let annotation = &found[0].annotations[0];
    let (location, why) = annotation.value(MAX_TEXT).unwrap_err();
    let shown = Shown::new(Path::new("x.c"), source);
    let text = "x.c:1:29: not valid JSON: expected `,` or `}`".to_owned();
    let excerpt = "    1 | \t/// @sample {\"interval\": 5 \"type\": 1}\n      \
        | \t                           ^"
        .to_owned();
    assert_eq!(shown.at(location, &why), Message { text, excerpt });
    // Escaped text is longer, so the caret is farther right.
    let source = "/// @sample \x1b[31m{\"interval\": 5 \"type\": 1}\nint hists;";
    let location = Some(Position { line: 1, column: 18 });
    let excerpt = Shown::new(Path::new("x.c"), source).at(location, "").excerpt;
    let expected =
        "    1 | /// @sample \\x1b[31m{\"interval\": 5 \"type\": 1}\n      |                     ^";
    assert_eq!(excerpt, expected);
}

#[test]
fn doubts() {
    let annotation = |name: &str| Annotation {
        name: name.into(),
        text: String::new(),
        is_cut: false,
        at: None,
        lines: Vec::new(),
    };
    let doubt = |name: &str, kind| doubt(&annotation(name), kind).unwrap_or_default();
    assert!(doubt("smaple", Kind::Map).contains("did you mean `@sample`"));
    assert!(doubt("smaple", Kind::Program).contains("did you mean `@sample`"));
    assert!(doubt("cmdarg", Kind::Map).contains("it belongs on a variable"));
    assert!(doubt("sample", Kind::Program).contains("a map or a variable"));
    for (name, kind) in [("sample", Kind::Map), ("title", Kind::Map), ("brief", Kind::Doc)] {
        assert_eq!(doubt(name, kind), "", "{name}");
    }
}

#[test]
fn annotations_decide_over_recognition() {
    let mut recognized = meta();
    recognized.bpf_skel.maps[0].view = Some(ViewMeta {
        kind: ViewKind::Histogram,
        scale: Some(Scale::Log2),
        unit: Some("usecs".into()),
        slots: Some(SlotPosition::Member("slots".into())),
        ..ViewMeta::default()
    });
    let view = |source: &str| {
        let meta = applied_to(recognized.clone(), source).unwrap();
        meta.bpf_skel.maps[0].view.clone().unwrap()
    };
    let linear = view("/// @view {\"scale\": \"linear\", \"step\": 5}\nstruct {} hists;");
    assert_eq!((linear.scale, linear.step), (Some(Scale::Linear), Some(5)));
    assert_eq!(
        (linear.unit.as_deref(), linear.slots),
        (Some("usecs"), Some(SlotPosition::Member("slots".into())))
    );
    let none = view("/// @view none\nstruct {} hists;");
    assert_eq!(none, ViewMeta::default());
    let failure =
        applied_to(recognized.clone(), "/// @view {\"kind\": \"histo\"}\nint hists;").unwrap_err();
    assert!(format!("{failure:?}").contains("unknown variant `histo`"));
}

#[test]
fn tags_of_records() {
    let source = "/// @record_tag kind\n/// @record_tags {\"a\": 1, \"b\": -2}\nint hists;";
    let map = &applied(source).unwrap().bpf_skel.maps[0];
    assert_eq!(map.record_tag.as_deref(), Some("kind"));
    assert_eq!([map.records[0].tag, map.records[1].tag], [Some(1), Some(-2)]);
    for wrong in ["{\"c\": 1}", "{\"a\": \"NONE\"}", "5"] {
        assert!(applied(&format!("/// @record_tags {wrong}\nint hists;")).is_err(), "{wrong}");
    }
}

#[test]
fn structs_that_an_annotation_names() {
    let names = |text: &str| {
        let source = format!("/// @records {text}\nstruct {{}} hists SEC(\".maps\");");
        wanted_records(&find(&source).unwrap())
    };
    assert_eq!(names("b, struct a"), ["a", "b"]);
    assert_eq!(names("[\"a\", \"b\"]"), ["a", "b"]);
    assert!(names("a;b").is_empty() && names("7").is_empty() && names("").is_empty());
    let failure = applied("/// @records nowhere\nint hists;").unwrap_err();
    assert!(format!("{failure:?}").contains("has no struct `nowhere`"));
}

#[test]
fn other_comments_describe_variables_only() {
    let source = "// Only this one\nint targ_pid;\n/* A map */\nstruct {} hists;\n\
        // not this\n/// but this\nint other;";
    let source = format!(
        "{source}\n// not this\nint helper(int x, int targ_pid)\n{{\n}}\n/// nor this\n\
         int declared(int targ_pid);\n"
    );
    let meta = applied(&source).unwrap();
    let description = |at: usize| meta.bpf_skel.data_sections[0].variables[at].description.clone();
    assert_eq!(description(0).as_deref(), Some("Only this one"));
    assert_eq!(description(1).as_deref(), Some("but this"));
    assert!(meta.bpf_skel.maps[0].other.is_empty());
}
