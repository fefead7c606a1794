// SPDX-License-Identifier: MIT
//! A report in a few lines, for a question before a package runs.

use bpfpack_schemas::printable::clean;
use bpfpack_schemas::report::{Finding, Report};

/// The maximum number of effects that have a line.
const MOST_LINES: usize = 3;
/// The maximum number of pieces of evidence for an effect.
const MOST_EVIDENCE: usize = 2;

/// What a package can do, in at most four lines without a final line feed. All names are safe to
/// print.
pub(crate) fn short(report: &Report) -> String {
    let count = report.programs.len();
    let programs = if count == 1 { "program" } else { "programs" };
    let changes: Vec<&Finding> = report.changes().collect();
    let mut lines = match changes.is_empty() {
        true => vec![format!("This package only observes ({count} {programs}).")],
        false => vec![format!("This package ({count} {programs}) can:")],
    };
    // The last line says how many are not shown.
    let shown = if changes.len() > MOST_LINES { MOST_LINES - 1 } else { changes.len() };
    lines.extend(changes.iter().take(shown).map(|finding| line(finding)));
    if changes.len() > shown {
        lines.push(format!("  and {} more: see `ecli inspect`", changes.len() - shown));
    }
    if changes.is_empty() {
        let words: Vec<&str> =
            report.effects.iter().map(|finding| finding.effect.words()).collect();
        if !words.is_empty() {
            lines.push(format!("It can {}.", words.join("; ")));
        }
    }
    lines.join("\n")
}

fn line(finding: &Finding) -> String {
    let evidence = finding.evidence.iter().take(MOST_EVIDENCE);
    let mut shown: Vec<String> = evidence.map(|evidence| clean(&evidence.to_string())).collect();
    if finding.evidence.len() > MOST_EVIDENCE {
        shown.push("…".to_owned());
    }
    format!("  {} ({})", finding.effect.words(), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use bpfpack_schemas::report::{Effect, Evidence, ProgramReport};

    use super::*;

    fn finding(effect: Effect, evidence: &[&str]) -> Finding {
        let evidence = evidence
            .iter()
            .map(|what| Evidence { program: Some("handle_kill".into()), what: (*what).to_owned() });
        Finding { effect, evidence: evidence.collect() }
    }

    #[test]
    fn a_report_in_a_few_lines() {
        let mut report = Report { programs: vec![ProgramReport::default()], ..Report::default() };
        assert_eq!(short(&report), "This package only observes (1 program).");
        report.effects = vec![finding(Effect::SendsSignals, &["bpf_send_signal", "b\x1b", "c"])];
        assert_eq!(
            short(&report),
            "This package (1 program) can:\n  send signals to processes (handle_kill: \
             bpf_send_signal, handle_kill: b\\x1b, …)"
        );
        for effect in [Effect::ChangesPackets, Effect::Schedules, Effect::DeniesOperations] {
            report.effects.push(finding(effect, &["x"]));
        }
        let text = short(&report);
        assert_eq!(text.lines().count(), 4);
        assert!(text.ends_with("  and 2 more: see `ecli inspect`"), "{text}");
    }
}
