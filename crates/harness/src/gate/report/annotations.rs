//! GitHub's workflow commands: what failed stands beside the change, without anybody opening a log.

use super::{finding, reasons};
use crate::gate::checks::CheckVerdict;
use crate::gate::verdict::GateVerdict;
use crate::oracle::Verdict;
use crate::report::scrub;

/// A line per failed metric and violated invariant, and a warning per metric that stays open.
#[must_use]
pub fn annotations(verdict: &GateVerdict) -> String {
    let mut out = String::new();
    if verdict.correctness.verdict != Verdict::Held {
        for reason in verdict.correctness.reasons.iter().take(8) {
            out.push_str(&line("error", "gate: invariant", reason));
        }
    }
    let why = reasons(verdict).join("\n");
    for check in &verdict.checks {
        let level = match check.verdict {
            CheckVerdict::Regression | CheckVerdict::Missing => "error",
            CheckVerdict::Inconclusive => "warning",
            CheckVerdict::Pass | CheckVerdict::Improvement | CheckVerdict::NotJudged => continue,
        };
        let title = format!("gate: {} {}", check.label(), check.verdict.name());
        out.push_str(&line(level, &title, &format!("{}\n{why}", finding(check))));
    }
    out
}

/// `::error title=…::…`, with what would end the command escaped (GitHub's `actions/toolkit`, `command.ts`).
fn line(level: &str, title: &str, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={}::{}\n", property(&scrub(title)), data(scrub(message).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn what_would_end_the_command_is_escaped() {
        assert_eq!(
            line("error", "gate: a, b", "33 → 73, +121 %\nsecond line"),
            "::error title=gate%3A a%2C b::33 → 73, +121 %25%0Asecond line\n"
        );
    }
}
