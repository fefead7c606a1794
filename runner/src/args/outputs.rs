// SPDX-License-Identifier: MIT
//! The outputs of a run: each has a format and a file.

use bpfpack_render::FormatKind;

use super::OutputPlan;
use super::values::OutputArg;
use crate::failure::Failure;

/// Resolves `-f` and `-o` to outputs. An output with its own format is added to the others; an
/// output without a format replaces standard output, which `to_stdout` asks for.
pub(super) fn outputs(
    format: &'static FormatKind,
    given: Vec<OutputArg>,
    to_stdout: bool,
) -> Result<Vec<OutputPlan>, Failure> {
    let mut outputs: Vec<OutputPlan> = Vec::new();
    let replaces = |arg: &OutputArg| arg.format.is_none() || arg.file.is_none();
    if to_stdout && !given.iter().any(replaces) {
        outputs.push(OutputPlan { format, file: None });
    }
    for OutputArg { format: own, file } in given {
        if outputs.iter().any(|output| output.file == file) {
            let name = file.map_or("-".to_owned(), |file| file.display().to_string());
            return Err(Failure::usage(format!("--output: `{name}` is given twice")).hint(
                "each output needs its own file: --output csv:out.csv --output json:out.json",
            ));
        }
        outputs.push(OutputPlan { format: own.unwrap_or(format), file });
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt as _;

    use super::super::Args;
    use super::super::tests::plan;
    use super::*;

    #[test]
    fn outputs_stand_beside_each_other() {
        let of = |args: &[&str]| -> Result<Vec<(String, Option<String>)>, String> {
            let args = [&["run"], args, &["p"]].concat();
            let of = |output: OutputPlan| {
                let file = output.file.map(|file| file.display().to_string());
                (output.format.name.to_owned(), file)
            };
            Ok(plan(&args)?.outputs.into_iter().map(of).collect())
        };
        let output = |format: &str, file: Option<&str>| (format.into(), file.map(str::to_owned));
        let stdout = output("text", None);
        assert_eq!(of(&[]).unwrap(), std::slice::from_ref(&stdout));
        assert_eq!(of(&["-f", "csv", "-o", "a"]).unwrap(), [output("csv", Some("a"))]);
        assert_eq!(of(&["-o", "a", "-o", "b"]).unwrap().len(), 2);
        let csv = output("csv", Some("a.csv"));
        assert_eq!(of(&["-o", "csv:a.csv"]).unwrap(), [stdout.clone(), csv.clone()]);
        assert_eq!(of(&["-j", "--output=csv:a.csv"]).unwrap(), [output("json", None), csv.clone()]);
        let both = [csv.clone(), output("text", Some("b"))];
        assert_eq!(of(&["-o", "csv:a.csv", "-o", "b"]).unwrap(), both);
        assert_eq!(of(&["-o", "csv:a.csv", "-o", "-"]).unwrap(), [csv.clone(), stdout]);
        assert_eq!(of(&["-o", "json:-", "-o", "csv:a.csv"]).unwrap(), [output("json", None), csv]);
        let bytes = OsStr::from_bytes(b"csv:\xff");
        let args =
            [OsStr::new("ecli"), OsStr::new("run"), OsStr::new("-o"), bytes, OsStr::new("p")];
        let args = args.map(OsString::from).into();
        let any = Args::of(args).unwrap().of_module().ok().unwrap().outputs;
        let file = any[1].file.as_deref().unwrap();
        assert_eq!(file.as_os_str(), OsStr::from_bytes(b"\xff"), "names may be any bytes");
        // An unknown format is part of the file's name.
        assert_eq!(of(&["-o", "xml:a"]).unwrap(), [output("text", Some("xml:a"))]);
        assert_eq!(of(&["-o", "./csv:a"]).unwrap(), [output("text", Some("./csv:a"))]);
        assert!(of(&["-o", "csv:a", "-o", "json:a"]).unwrap_err().contains("`a` is given twice"));
        assert!(of(&["-o", "csv:-", "-o", "json:-"]).unwrap_err().contains("`-` is given twice"));
        assert!(of(&["-o", "csv:"]).unwrap_err().contains("file name is missing"));
        assert!(of(&["-o", "raw:a", "--fields", "pid"]).unwrap_err().contains("--fields"));
    }
}
