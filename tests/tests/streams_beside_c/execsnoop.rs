// SPDX-License-Identifier: MIT
//! Programs that are started, and failed attempts: arguments with any content.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use bpfpack_tests::stream::{Watchers, assert_same, beside, pick, records, words};
use bpfpack_tests::wait::ended;
use bpfpack_tests::{pack, scratch};
use serde_json::{Value, json};

use crate::{events, has, is_about, nobody_else, number};

#[test]
fn execsnoop_tells_of_each_program_and_of_each_attempt() {
    if !has("execsnoop") {
        return;
    }
    const NAMES: [&str; 6] = ["uid", "comm", "pid", "ppid", "ret", "args"];
    let dir = scratch();
    let package = pack("examples/execsnoop/execsnoop.bpf.c", &dir);
    let uid = nobody_else(31);
    let user = uid.to_string();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let plain = plain.to_str().unwrap();

    let run = |args: &[&str]| {
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).uid(uid).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        child.map(|mut child| (child.id(), ended(&mut child)).0)
    };
    // The path is below the test's directory, so it does not exist.
    let nonsuch = format!("{}/nonsuch", dir.path().display());
    let nonsuch = nonsuch.as_str();
    let probe_path = format!("{}/probe", dir.path().display());
    let mut probes = 0;
    let mut probe = || {
        probes += 1;
        assert!(run(&[&probe_path, &format!("p{probes}p")]).is_err());
        format!("{probe_path} p{probes}p")
    };
    let long = "long".repeat(500);
    let many: Vec<String> = (0..100).map(|number| format!("many{number}")).collect();
    let word = format!("{nonsuch}/word");
    let load = |_: &Watchers<'_>| {
        // What ecli must show: return value and arguments; the process, if there is one.
        let mut made = Vec::new();
        let mut ok = |args: &[&str], shown: &str| {
            let pid = run(args).unwrap();
            made.push(json!({"pid": pid, "ret": 0, "args": shown}));
        };
        for round in 0..20 {
            let round = format!("r{round}");
            ok(&["/bin/true", "one", &round], &format!("/bin/true one {round}"));
            ok(&["/bin/sh", "-c", "exit 3", &round], &format!("/bin/sh -c exit 3 {round}"));
        }
        ok(&["/bin/echo", "a  b", "", "\"ä\\\t→"], "/bin/echo a  b  \"ä\\\t→");
        ok(&["/bin/echo", &long, "end"], &format!("/bin/echo {long} end"));
        let many: Vec<&str> =
            std::iter::once("/bin/echo").chain(many.iter().map(|s| &**s)).collect();
        ok(&many, &many.join(" "));
        ok(&[script, "x"], &format!("/bin/sh {script} x"));
        // A search path causes an attempt in each of its directories.
        let search = format!("PATH={nonsuch}/a:{nonsuch}/b");
        let env = ["/usr/bin/env", &search, "nonsuch-word", "x"];
        let pid = run(&env).unwrap();
        made.push(json!({"pid": pid, "ret": 0, "args": env.join(" ")}));
        for directory in ["a", "b"] {
            let args = format!("{nonsuch}/{directory}/nonsuch-word x");
            made.push(json!({"pid": pid, "ret": -libc::ENOENT, "args": args}));
        }
        // The process of these is not known.
        for (args, errno) in [([&*word, "a b"], libc::ENOENT), ([plain, "c"], libc::EACCES)] {
            assert_eq!(run(&args).unwrap_err().raw_os_error(), Some(errno));
            made.push(json!({"pid": null, "ret": -errno, "args": args.join(" ")}));
        }
        made
    };
    let ran = beside(
        &["execsnoop", "-x", "-U", "-u", &user],
        &[&["-j", &package, "-x", "--uid", &user], &[&package, "-x", "--uid", &user]],
        &mut probe,
        load,
    );

    let of_load: Vec<Value> = records(&ran.ecli[0])
        .into_iter()
        .filter(|event| !is_about(event, "args", "/probe"))
        .collect();
    let as_made: Vec<Value> = of_load
        .iter()
        .map(|event| {
            let mut event = pick(event, &["pid", "ret", "args"]);
            if is_about(&event, "args", &word) || is_about(&event, "args", plain) {
                event["pid"] = Value::Null;
            }
            event
        })
        .collect();
    assert_same(("ecli", &as_made), ("the load", &ran.load));
    for event in &of_load {
        assert_eq!((&event["ppid"], &event["cut"]), (&json!(std::process::id()), &json!(false)));
    }

    // The tool shows at most 20 arguments of 127 bytes each; for a script, it shows what was
    // passed, and ecli what the interpreter receives. The tool ends each line with a space.
    let differ = |args: &str| ["long", "many0 ", script].iter().any(|word| args.contains(word));
    let both = |mut event: Value| {
        let args = event["args"].as_str().unwrap();
        event["args"] = if differ(args) { Value::Null } else { json!(args.trim_end()) };
        event
    };
    let ours: Vec<Value> = of_load.iter().map(|event| both(pick(event, &NAMES))).collect();
    let mut tool = events(&ran.tool, |line| {
        let (words, args) = words(line, 5)?;
        Some(json!({"uid": number(words[0])?, "comm": words[1], "pid": number(words[2])?,
            "ppid": number(words[3])?, "ret": number(words[4])?, "args": args}))
    });
    tool.retain(|event| !is_about(event, "args", "/probe"));
    let tool: Vec<Value> = tool.into_iter().map(both).collect();
    assert_same(("ecli", &ours), ("execsnoop", &tool));

    // Text has as many lines, and errors by name.
    let lines = ran.ecli[1].lines().filter(|line| !line.contains("/probe"));
    let (ok, failed): (Vec<_>, Vec<_>) =
        lines.skip(1).partition(|line| line.split_whitespace().nth(4) == Some("0"));
    assert_eq!((ok.len(), failed.len()), (45, 4), "{}", ran.ecli[1]);
    let denied = failed.iter().filter(|line| line.contains(plain) && line.contains("-EACCES"));
    assert_eq!(denied.count(), 1, "{failed:?}");
}
