// SPDX-License-Identifier: MIT
//! What ecc recognizes without annotations: the structs of records, the purpose of maps; and that
//! ecli shows them accordingly on this kernel.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bpfpack_tests::{Running, ecc, is_root, pack, root, scratch, sys};
use serde_json::{Value, json};

fn meta(dir: &Path, name: &str) -> Value {
    bpfpack_tests::json(&dir.join(format!("{name}.skel.json")))
}

fn map<'m>(meta: &'m Value, name: &str) -> &'m Value {
    let maps = meta["bpf_skel"]["maps"].as_array().unwrap();
    maps.iter().find(|map| map["name"] == name).unwrap()
}

fn variable<'m>(meta: &'m Value, name: &str) -> &'m Value {
    let sections = meta["bpf_skel"]["data_sections"].as_array().unwrap();
    let mut variables =
        sections.iter().flat_map(|section| section["variables"].as_array().unwrap());
    variables.find(|variable| variable["name"] == name).unwrap()
}

fn see_us() -> [String; 4] {
    let pid = sys::thread_id().to_string();
    ["--target_pid".into(), pid, "--carrier".into(), libc::SYS_getpgid.to_string()]
}

/// Runs a package while this thread makes system calls. Returns the JSON objects by map.
fn shown(package: &str, calls: &[i32]) -> BTreeMap<String, Vec<Value>> {
    let us = see_us();
    let mut args = vec!["run", "-j", "--interval", "1h", package];
    args.extend(us.iter().map(String::as_str));
    let running = Running::ecli(&args);
    for number in calls {
        sys::carry(*number);
    }
    let outcome = running.interrupt().succeeded();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in outcome.stdout.lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let map = value.as_object_mut().unwrap().remove("map").unwrap();
        found.entry(map.as_str().unwrap().to_owned()).or_default().push(value);
    }
    found
}

#[test]
fn the_structs_of_records_are_found_in_every_form() {
    let dir = scratch();
    let _ = pack("tests/fixtures/records.bpf.c", &dir);
    let meta = meta(dir.path(), "records");
    for (name, structs) in [
        ("helped", &[("through_pointer", 16)][..]),
        ("unnamed", &[("no_tag_t", 20)]),
        ("mixed", &[("first_kind", 16), ("second_kind", 24)]),
        ("dynamic", &[("with_rest", 8)]),
        ("by_macro", &[("through_macro", 8)]),
        ("of_stack", &[("on_stack", 16)]),
        ("of_map", &[("in_map", 40)]),
    ] {
        let map = map(&meta, name);
        let records = map["records"].as_array().unwrap();
        let found: Vec<_> = records
            .iter()
            .map(|record| (record["name"].as_str().unwrap(), record["size"].as_u64().unwrap()))
            .collect();
        assert_eq!(found, structs, "{name}");
        // Other loaders use this.
        assert_eq!(map["export_config"], json!({"btf_type_id": records[0]["btf_type_id"]}));
    }
    assert_eq!(meta["enable_multiple_export_types"], true);
    assert_eq!(meta["export_types"].as_array().unwrap().len(), 8);
    assert_eq!(map(&meta, "space")["view"], json!({"kind": "scratch"}));
}

#[test]
fn records_are_shown_as_what_was_found() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/records.bpf.c", &dir);
    let shown = shown(&package, &[1]);
    let expected = json!({
        "helped": [{"id": 1, "text": "helped", "bits": {"inner": 5, "rest": 6}}],
        "unnamed": [{"id": 6, "matrix": [[0, 0, 0], [0, 0, 66]], "what": "SOMETHING(7)"}],
        "mixed": [{"record": "first_kind", "kind": 1, "number": 11},
                  {"record": "second_kind", "kind": 2, "name": "two"}],
        "dynamic": [{"id": 5, "len": 3, "rest": [0, 0, 0]}],
        "by_macro": [{"id": 4, "address": 0x0100_007f}],
        "of_stack": [{"id": 2, "wide": 1u64 << 40}],
        "of_map": [{"id": 3, "numbers": [0, 0, 0, 33]}]
    });
    assert_eq!(json!(shown), expected);
}

#[test]
fn maps_that_share_code_and_slots_in_bytes_of_keys() {
    let dir = scratch();
    let _ = pack("tests/fixtures/purposes.bpf.c", &dir);
    let meta = meta(dir.path(), "purposes");
    let histogram = json!({"kind": "histogram", "scale": "log2", "unit": "usecs",
        "slots": "key.bucket", "sum_slot": 10});
    for (name, view) in [
        ("even", json!({"kind": "table"})),
        ("odd", json!({"kind": "table"})),
        ("waits", histogram),
        // The slots of this function are those of the keys.
        ("kinds", json!({"kind": "table"})),
    ] {
        assert_eq!(map(&meta, name)["view"], view, "{name}");
    }
    if !is_root() {
        return;
    }
    // The slot with the sum counts nothing. The calls fail, with ESRCH.
    let package = dir.path().join("package.json");
    let shown = shown(package.to_str().unwrap(), &[-1, -1, -1]);
    let [waits] = &shown["waits"][..] else { panic!("{shown:?}") };
    let slots = waits["value"]["slots"].as_array().unwrap();
    assert_eq!((slots[9].as_u64(), slots.len()), (Some(3), 10), "{waits}");
    assert!(slots.iter().enumerate().all(|(slot, count)| slot == 9 || *count == 0), "{waits}");
    assert!(waits["value"]["sum"].as_u64().unwrap() > 3 << 9, "{waits}");
}

#[test]
fn maps_and_variables_are_recognized_by_their_use() {
    let dir = scratch();
    let _ = pack("tests/fixtures/views.bpf.c", &dir);
    let meta = meta(dir.path(), "views");
    let log2 = |slots: &str| json!({"kind": "histogram", "scale": "log2", "unit": "number", "slots": slots});
    for (name, view) in [
        ("slot_in_key", log2("key.slot")),
        ("slot_is_index", log2("index")),
        (
            "traffic",
            json!({"kind": "table", "value": ["last", "bytes", "packets"], "sort": "bytes"}),
        ),
        ("start", json!({"kind": "scratch"})),
        ("wanted", json!({"kind": "input"})),
        ("stacks", json!({"kind": "stacks"})),
    ] {
        assert_eq!(map(&meta, name)["view"], view, "{name}");
    }
    assert_eq!(variable(&meta, "latency_hist")["view"], log2("value"));
    let steps = json!({"kind": "histogram", "scale": "linear", "step": 10, "slots": "value.slots"});
    assert_eq!(variable(&meta, "steps")["view"], steps);
    assert_eq!(variable(&meta, "calls")["view"], json!({"kind": "table"}));
    assert_eq!(variable(&meta, "state").get("view"), None);
    assert_eq!(variable(&meta, "target_pid")["description"], "Calls of this thread count");
    // Sizes that the source leaves open.
    assert_eq!(map(&meta, "open_size")["max_entries"], 10240);
    assert_eq!(map(&meta, "stacks")["max_entries"], 8192);
    assert_eq!(map(&meta, "stacks")["value_size"], 127 * 8);
    assert_eq!(map(&meta, "traffic").get("max_entries"), None);

    let dir = scratch();
    let source = root().join("tests/fixtures/views.bpf.c");
    let _ = ecc(dir.path(), &["--no-recognition", source.to_str().unwrap(), "-o", "."]).succeeded();
    let text = fs::read_to_string(dir.path().join("views.skel.json")).unwrap();
    assert!(!text.contains("\"view\""), "{text}");
}

#[test]
fn what_was_recognized_is_shown_as_it_was_counted() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("tests/fixtures/views.bpf.c", &dir);
    let calls = [1, 1, 2, 3, 8, 9, 1000, 70000];
    let shown = shown(&package, &calls);
    let mut by_disk = [[0u64; 65]; 2];
    let (mut bytes, mut packets) = (BTreeMap::new(), BTreeMap::new());
    for number in calls {
        let slot = u32::try_from(number).unwrap().ilog2() as usize;
        by_disk[number as usize & 1][slot] += 1;
        *bytes.entry(number & 3).or_insert(0u64) += number as u64;
        *packets.entry(number & 3).or_insert(0u64) += 1;
    }
    let both: Vec<u64> = by_disk[0].iter().zip(&by_disk[1]).map(|(a, b)| a + b).collect();
    let disk = |disk: usize| json!({"key": {"disk": disk}, "value": by_disk[disk].to_vec()});
    assert_eq!(shown["slot_in_key"], [disk(0), disk(1)]);
    assert_eq!(shown["slot_is_index"], [json!({"value": both})]);
    assert_eq!(shown["latency_hist"], [json!({"value": both[..32]})]);
    for entry in &shown["traffic"] {
        let key = entry["key"].as_i64().unwrap() as i32;
        assert_eq!(entry["value"]["bytes"], bytes[&key]);
        assert_eq!(entry["value"]["packets"], packets[&key]);
    }
    assert_eq!(shown["traffic"].len(), bytes.len());
    // A separate counter, in addition to the tables of maps.
    assert_eq!(shown["calls"], [json!({"value": {"calls": calls.len()}})]);
    for hidden in ["start", "wanted", "stacks"] {
        assert!(!shown.contains_key(hidden), "{hidden} is not to be seen");
    }
}

/// The structs of each buffer in the output of `ecc --check`, and the help of each argument.
fn told(body: &str) -> BTreeMap<String, String> {
    let dir = scratch();
    let source = format!(
        "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n\
         #define RB(x) struct {{ __uint(type, BPF_MAP_TYPE_RINGBUF); \
         __uint(max_entries, 4096); }} x SEC(\".maps\")\n{body}\n\
         char LICENSE[] SEC(\"license\") = \"GPL\";\n"
    );
    fs::write(dir.path().join("x.bpf.c"), source).unwrap();
    let outcome = ecc(dir.path(), &["--check", "x.bpf.c"]).succeeded();
    let told = outcome.stdout.lines().filter_map(|line| {
        let (name, what) = line.trim().split_once(' ')?.1.trim().split_once(": ")?;
        Some((name.to_owned(), what.trim_start_matches("records of ").to_owned()))
    });
    told.collect()
}

#[test]
fn names_mean_what_they_mean_in_their_blocks() {
    let told = told(
        "struct a { int x; }; struct b { int x, y; };
RB(outer); RB(inner); RB(assigned);
SEC(\"raw_tp/sched_switch\") int f(void *ctx)
{
	struct a e = {};
	struct a *p;
	{
		struct b e = { .y = (long)ctx };
		bpf_ringbuf_output(&inner, &e, sizeof(e), 0);
	}
	{
		struct b *p = bpf_ringbuf_reserve(&inner, sizeof(*p), 0);
		if (p)
			bpf_ringbuf_discard(p, 0);
	}
	p = bpf_ringbuf_reserve(&assigned, sizeof(*p), 0);
	if (p)
		bpf_ringbuf_discard(p, 0);
	return bpf_ringbuf_output(&outer, &e, sizeof(e), 0);
}",
    );
    assert_eq!(told["outer"], "a (4 bytes)");
    assert_eq!(told["inner"], "b (8 bytes)");
    assert_eq!(told["assigned"], "a (4 bytes)");
}

#[test]
fn structs_of_one_name_are_not_mixed_up() {
    let dir = scratch();
    let source = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>
struct ev { u32 pid, cpu; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, struct ev);
} m SEC(\".maps\");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(\".maps\");
SEC(\"raw_tp/sched_switch\") int f(void *ctx)
{
	struct ev { s32 delta; float ratio; enum st { B1 = 7, B2 } st; } *e;
	u32 zero = 0;
	if (bpf_map_lookup_elem(&m, &zero))
		return 0;
	e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);
	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}
enum st { A1, A2 } global;
char LICENSE[] SEC(\"license\") = \"GPL\";
";
    fs::write(dir.path().join("x.bpf.c"), source).unwrap();
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    let members = meta(dir.path(), "x")["export_types"][0]["members"].clone();
    let names: Vec<_> = members.as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
    assert_eq!(names, ["delta", "ratio", "st"]);
}

#[test]
fn each_call_counts_for_its_own_buffer() {
    let told = told(
        "struct a { u32 x; }; struct b { u32 y; };
RB(r1); RB(r2); RB(r3); RB(r4); RB(numbers); RB(twice);
#define OUT(m, v) bpf_ringbuf_output(&m, &v, sizeof(v), 0)
#define BOTH(x, y) OUT(r1, x); OUT(r2, y)
static __noinline int send(void *to, void *what, u64 size)
{
	return bpf_ringbuf_output(to, what, size & 7, 0);
}
SEC(\"raw_tp/sched_switch\") int f(void *ctx)
{
	struct a a = { .x = (long)ctx };
	struct b b = { .y = (long)ctx };
	u32 number = (long)ctx;
	void *p;
	BOTH(a, b);
	bpf_ringbuf_output(&numbers, &number, sizeof(number), 0);
	p = &a;
	bpf_ringbuf_output(&twice, p, 4, 0);
	p = &b;
	bpf_ringbuf_output(&twice, p, 4, 0);
	return send(&r3, &a, sizeof(a)) + send(&r4, &b, sizeof(b));
}",
    );
    assert_eq!([&told["r1"][..], &told["r2"]], ["a (4 bytes)", "b (4 bytes)"]);
    assert_eq!([&told["r3"][..], &told["r4"]], ["a (4 bytes)", "b (4 bytes)"]);
    assert_eq!(told["twice"], "a (4 bytes), b (4 bytes)");
    assert_eq!(told.get("numbers"), None, "a number is no struct of its size");
}

#[test]
fn a_map_whose_type_is_only_declared_is_refused() {
    let dir = scratch();
    let source = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, struct hits);
} counts SEC(\".maps\");
char LICENSE[] SEC(\"license\") = \"GPL\";
";
    fs::write(dir.path().join("x.bpf.c"), source).unwrap();
    let outcome = ecc(dir.path(), &["x.bpf.c"]);
    outcome.failed(6, &["value of the map `counts` is `struct hits`, which is declared but not"]);
}

#[test]
fn comments_of_functions_are_not_their_parameters() {
    let told = told(
        "/// Shortest time
const volatile int min_us = 0;
// Frobs the thing
static __noinline int helper(int d, int min_us) { return d * min_us; }
SEC(\"raw_tp/sched_switch\") int f(void *ctx) { return helper((long)ctx, min_us); }",
    );
    assert_eq!(told["--min_us"], "int, Shortest time");
}

#[test]
fn an_object_that_clang_made_is_packed_and_stays_as_it_is() {
    let dir = scratch();
    let source = root().join("tests/fuzz/seed.bpf.c");
    let object = dir.path().join("seed.bpf.o");
    let compile = |more: &[&str]| {
        let args = [&["-g", "-O2", "-w", "-target", "bpf", "-c"], more].concat();
        let args: Vec<String> = args.into_iter().map(String::from).collect();
        let files = [source.display().to_string(), "-o".into(), object.display().to_string()];
        let _ = bpfpack_tests::run("clang", &[&args[..], &files].concat()).succeeded();
    };
    compile(&[]);
    let _ = ecc(dir.path(), &["seed.bpf.o"]).succeeded();
    // With its source in it, the object has more information.
    compile(&["-gdwarf-5", "-gembed-source"]);
    let before = fs::read(&object).unwrap();
    for name in ["seed.bpf.o", "./seed.bpf.o", object.to_str().unwrap()] {
        let _ = ecc(dir.path(), &[name, "-o", "."]).succeeded();
        assert_eq!(fs::read(&object).unwrap(), before, "{name}");
        let meta = meta(dir.path(), "seed");
        assert_eq!(map(&meta, "events")["records"][0]["name"], "event_t", "{name}");
    }
}

#[test]
fn an_object_alone_is_packed_with_what_its_tags_say() {
    let dir = scratch();
    let source = "
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <annotate.bpf.h>
const volatile int target_pid ANNOTATE(cmdarg, {\"short\": \"p\", \"long\": \"pid\"}) = 0;
struct a { u32 kind; u64 number; };
struct b { u32 kind; u64 number; };
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(\".maps\") ANNOTATE(records, a, b) ANNOTATE(record_tag, kind)
	ANNOTATE(record_tags, {\"a\": 1, \"b\": 2});
struct a *a __attribute__((unused));
struct b *b __attribute__((unused));
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 16);
} counts SEC(\".maps\") ANNOTATE(sample, {\"interval\": 500});
SEC(\"raw_tp/sys_enter\") ANNOTATE(autoload, false)
int handle(void *ctx)
{
	struct a a = {.kind = 1, .number = target_pid};
	bpf_ringbuf_output(&rb, &a, sizeof(a), 0);
	return bpf_map_lookup_elem(&counts, &a.kind) != 0;
}
char LICENSE[] SEC(\"license\") ANNOTATE(brief, A tool) = \"GPL\";
";
    fs::write(dir.path().join("tagged.bpf.c"), source).unwrap();
    let outcome = ecc(dir.path(), &["tagged.bpf.c", "-o", "one"]).succeeded();
    assert_eq!(outcome.stderr, "");
    let object = "one/tagged.bpf.o";
    let before = fs::read(dir.path().join(object)).unwrap();
    let _ = ecc(dir.path(), &[object, "-o", "two"]).succeeded();
    let (one, two) =
        (meta(&dir.path().join("one"), "tagged"), meta(&dir.path().join("two"), "tagged"));
    assert_eq!(one, two);
    assert_eq!(variable(&one, "target_pid")["cmdarg"], json!({"short": "p", "long": "pid"}));
    assert_eq!(map(&one, "rb")["records"][1]["tag"], 2);
    assert_eq!(map(&one, "rb")["record_tag"], "kind");
    assert_eq!(map(&one, "counts")["sample"]["interval"], 500);
    assert_eq!(one["bpf_skel"]["progs"][0]["autoload"], false);
    assert_eq!(one["bpf_skel"]["doc"]["brief"], "A tool");
    // In its own directory, the object is not changed.
    let _ = ecc(dir.path(), &[object]).succeeded();
    assert_eq!(fs::read(dir.path().join(object)).unwrap(), before);
    assert!(dir.path().join("one/package.json").exists());
}
