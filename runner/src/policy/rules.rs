// SPDX-License-Identifier: MIT
//! Rules for programs: which kinds, helpers and kfuncs they may have, and whether they may do more
//! than observe.

use bpfpack_schemas::report::{ProgramReport, Report};
use serde::Deserialize;

use super::Refusal;
use crate::report::kinds::{self, Kind};

/// The section `[programs]` of a policy. An empty list of what is allowed allows nothing; without
/// such a list, everything is allowed that is not denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// Whether programs may only observe.
    #[serde(default)]
    pub(crate) observe_only: bool,
    /// Whether the command line demands the same.
    #[serde(skip)]
    of_command_line: bool,
    /// The kinds that are allowed: `kprobe`, `cgroup/sysctl`. A name without a slash stands for all
    /// kinds that begin with it and a slash.
    allow_kinds: Option<Vec<String>>,
    /// The kinds that are not.
    #[serde(default)]
    deny_kinds: Vec<String>,
    /// The helpers that are allowed: `bpf_map_lookup_elem`.
    allow_helpers: Option<Vec<String>>,
    /// The helpers that are not.
    #[serde(default)]
    deny_helpers: Vec<String>,
    /// The kfuncs that are allowed.
    allow_kfuncs: Option<Vec<String>>,
    /// The kfuncs that are not.
    #[serde(default)]
    deny_kfuncs: Vec<String>,
}

impl Rules {
    /// The rules of the command line.
    pub(super) fn of_command_line(observe_only: bool) -> Rules {
        Rules { of_command_line: observe_only, ..Rules::default() }
    }

    /// Finds a kind in the rules that does not exist: a rule that never applies.
    pub(super) fn unknown_kind(&self) -> Option<&str> {
        let allowed = self.allow_kinds.iter().flatten();
        let unknown = |name: &&String| !kinds::is_known(name);
        allowed.chain(&self.deny_kinds).find(unknown).map(String::as_str)
    }

    /// Checks a report.
    ///
    /// # Errors
    /// Returns the first thing that is not allowed.
    pub(crate) fn check(&self, report: &Report) -> Result<(), Refusal> {
        if self.observe_only || self.of_command_line {
            self.check_effects(report)?;
        }
        report.programs.iter().try_for_each(|program| self.check_program(program))
    }

    fn check_effects(&self, report: &Report) -> Result<(), Refusal> {
        let changes = report.changes();
        let all =
            changes.flat_map(|finding| finding.evidence.iter().map(|why| (finding.effect, why)));
        let all: Vec<_> = all.map(|(effect, evidence)| (effect, evidence.clone())).collect();
        match all.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Changes { all, of_command_line: self.of_command_line }),
        }
    }

    fn check_program(&self, program: &ProgramReport) -> Result<(), Refusal> {
        let refuse = |what: &'static str, name: &str, rule: &'static str| {
            let (program, name) = (program.name.clone(), name.to_owned());
            Err(Refusal::Rule { program, what, name, rule })
        };
        let kind = Kind::of(&program.section);
        let names_it = |names: &[String]| names.iter().any(|name| kind.is_named(name));
        if self.allow_kinds.as_ref().is_some_and(|names| !names_it(names)) {
            return refuse("is of the kind", kind.name(), "allow_kinds");
        }
        if names_it(&self.deny_kinds) {
            return refuse("is of the kind", kind.name(), "deny_kinds");
        }
        let calls = [
            (&program.helpers, &self.allow_helpers, &self.deny_helpers),
            (&program.kfuncs, &self.allow_kfuncs, &self.deny_kfuncs),
        ];
        let rules = [["allow_helpers", "deny_helpers"], ["allow_kfuncs", "deny_kfuncs"]];
        for ((called, allowed, denied), [allow, deny]) in calls.into_iter().zip(rules) {
            let not_allowed =
                |name: &&String| allowed.as_ref().is_some_and(|allowed| !allowed.contains(*name));
            if let Some(name) = called.iter().find(not_allowed) {
                return refuse("calls", name, allow);
            }
            if let Some(name) = called.iter().find(|name| denied.contains(*name)) {
                return refuse("calls", name, deny);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_schemas::report::{Effect, Evidence, Finding};

    use super::*;

    fn report(section: &str, helpers: &[&str], kfuncs: &[&str]) -> Report {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let program = ProgramReport {
            name: "f".into(),
            section: section.into(),
            helpers: own(helpers),
            kfuncs: own(kfuncs),
            ..ProgramReport::default()
        };
        Report { programs: vec![program], ..Report::default() }
    }

    fn refusal(rules: &str, report: &Report) -> Option<String> {
        let rules: Rules = toml::from_str(rules).unwrap();
        rules.check(report).err().map(|refusal| refusal.failure("p").message())
    }

    #[test]
    fn what_is_denied_or_not_allowed_is_refused() {
        let kill = report("?tp/a/b", &["bpf_map_lookup_elem", "bpf_send_signal"], &["bpf_new"]);
        assert_eq!(refusal("", &kill), None);
        for (rules, wanted) in [
            ("allow_kinds = [\"kprobe\"]", "`f` is of the kind `tp`, which allow_kinds"),
            ("allow_kinds = []", "allow_kinds"),
            ("deny_kinds = [\"tracepoint\"]", "deny_kinds"),
            ("deny_helpers = [\"bpf_send_signal\"]", "`f` calls `bpf_send_signal`, which deny_"),
            ("allow_helpers = [\"bpf_map_lookup_elem\"]", "`bpf_send_signal`, which allow_helpers"),
            ("allow_kfuncs = []", "`bpf_new`"),
            ("deny_kfuncs = [\"bpf_new\"]", "`bpf_new`"),
        ] {
            let text = refusal(rules, &kill).unwrap();
            assert!(text.contains(wanted), "{rules}: {text}");
        }
        for rules in [
            "allow_kinds = [\"tp\", \"kprobe\"]",
            "deny_kinds = [\"kprobe\", \"cgroup\"]",
            "deny_helpers = [\"bpf_override_return\"]",
            "allow_kfuncs = [\"bpf_new\"]",
        ] {
            assert_eq!(refusal(rules, &kill), None, "{rules}");
        }
        let cgroup = report("cgroup/sysctl", &[], &[]);
        assert!(refusal("deny_kinds = [\"cgroup\"]", &cgroup).is_some());
    }

    #[test]
    fn who_may_only_observe_may_not_change() {
        let mut report = report("tp/a/b", &["bpf_send_signal"], &[]);
        assert_eq!(refusal("observe_only = true", &report), None);
        let what = "bpf_send_signal".to_owned();
        let evidence = vec![Evidence { program: Some("f".into()), what }];
        report.effects.push(Finding { effect: Effect::SendsSignals, evidence });
        assert_eq!(refusal("observe_only = false", &report), None);
        let text = refusal("observe_only = true", &report).unwrap();
        assert_eq!(
            text,
            "`p` is refused: it can send signals to processes (`f`: bpf_send_signal), and the \
             policy has observe_only = true"
        );
    }

    #[test]
    fn misspelled_rules_are_errors() {
        assert!(toml::from_str::<Rules>("allow_kind = []").is_err());
        let rules: Rules = toml::from_str("deny_kinds = [\"xdp\", \"krpobe\"]").unwrap();
        assert_eq!(rules.unknown_kind(), Some("krpobe"));
    }
}
