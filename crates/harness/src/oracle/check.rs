//! How an oracle gathers what it sees, and how it is said.

use super::Verdict;
use crate::trial::record::{Ingestion, Purpose};

/// Most lines of evidence per kind that a judgement carries: enough to act on, short enough to read.
const SHOWN: usize = 12;

/// What one oracle found in one trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its verdict.
    pub verdict: Verdict,
    /// What shows it, in plain words.
    pub evidence: Vec<String>,
}

/// Gathers what holds, what does not and what could not be seen, and makes a verdict of it: violated before unknown,
/// unknown before held, and unknown when there is nothing at all.
#[derive(Debug, Default)]
pub(super) struct Check {
    held: Vec<String>,
    violated: Vec<String>,
    missing: Vec<String>,
    remarks: Vec<String>,
}

impl Check {
    /// Something that holds, with its figures.
    pub(super) fn held(&mut self, text: impl Into<String>) {
        self.held.push(text.into());
    }

    /// Something that does not hold.
    pub(super) fn violated(&mut self, text: impl Into<String>) {
        self.violated.push(text.into());
    }

    /// Something that would have to be known.
    pub(super) fn missing(&mut self, text: impl Into<String>) {
        self.missing.push(text.into());
    }

    /// Something worth saying that decides nothing.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Violations and gaps found so far: to tell whether a part of the check added any.
    pub(super) fn found(&self) -> usize {
        self.violated.len() + self.missing.len()
    }

    /// Whether something does not hold.
    pub(super) fn is_violated(&self) -> bool {
        !self.violated.is_empty()
    }

    /// The verdict.
    pub(super) fn finish(self) -> Finding {
        let Self { held, violated, missing, mut remarks } = self;
        let (verdict, parts) = if !violated.is_empty() {
            (Verdict::Violated, [violated, missing])
        } else if !missing.is_empty() {
            (Verdict::Unknown, [missing, held])
        } else if !held.is_empty() {
            (Verdict::Held, [held, Vec::new()])
        } else {
            remarks.insert(0, "there was nothing to look at".to_owned());
            (Verdict::Unknown, [Vec::new(), Vec::new()])
        };
        let evidence = parts.into_iter().flat_map(shorten).chain(shorten(remarks)).collect();
        Finding { verdict, evidence }
    }
}

/// The first lines, and how many more there are.
fn shorten(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > SHOWN {
        let more = lines.len() - (SHOWN - 1);
        lines.truncate(SHOWN - 1);
        lines.push(format!("… and {} more", figure(more as u64)));
    }
    lines
}

/// `revision 2`, `the second ingestion`.
pub(super) fn label(ingestion: &Ingestion) -> String {
    match ingestion.purpose {
        Purpose::Revision(n) => format!("revision {n}"),
        Purpose::Again => "the second ingestion".to_owned(),
        Purpose::Import => format!("event {}", ingestion.event_id),
    }
}

/// A number with separators: `10,000`.
pub(super) fn figure(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun in the right number: `1 lap`, `10,000 laps`.
pub(super) fn count(n: u64, noun: &str) -> String {
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{} {stem}ies", figure(n)),
        (_, None) => format!("{} {noun}s", figure(n)),
    }
}

/// Names a few races: `race 7`, `races 7, 8, 9 and 4 more`.
pub(super) fn races(ids: &[u64]) -> String {
    let shown: Vec<_> = ids.iter().take(5).map(u64::to_string).collect();
    let more = ids.len().saturating_sub(shown.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("race{} {}{tail}", if ids.len() == 1 { "" } else { "s" }, shown.join(", "))
}

/// A size in bytes as people write it: `150.0 MB`.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violated_comes_before_unknown_and_unknown_before_held() {
        let mut check = Check::default();
        assert_eq!(Check::default().finish().verdict, Verdict::Unknown);
        check.held("fine");
        assert_eq!(check.found(), 0);
        check.missing("not read");
        check.violated("wrong");
        assert_eq!(check.found(), 2);
        let finding = check.finish();
        assert_eq!((finding.verdict, finding.evidence.len()), (Verdict::Violated, 2));
        let mut check = Check::default();
        check.held("fine");
        check.missing("not read");
        assert_eq!(check.finish().verdict, Verdict::Unknown);
    }

    #[test]
    fn long_evidence_is_cut_and_says_so() {
        let mut check = Check::default();
        (0..2_000).for_each(|i| check.violated(format!("row {i}")));
        let evidence = check.finish().evidence;
        assert_eq!(evidence.len(), SHOWN);
        assert_eq!(evidence[SHOWN - 1], format!("… and {} more", figure(2_000 - (SHOWN as u64 - 1))));
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(
            ["0", "999", "1,000", "1,000,000"],
            [0, 999, 1_000, 1_000_000].map(figure).each_ref().map(|s| s.as_str())
        );
        assert_eq!(
            (count(1, "lap"), count(10_000, "lap"), count(2, "entry")),
            ("1 lap".into(), "10,000 laps".into(), "2 entries".into())
        );
        assert_eq!(races(&[7]), "race 7");
        assert_eq!(races(&[1, 2, 3, 4, 5, 6, 7]), "races 1, 2, 3, 4, 5 and 2 more");
    }
}
