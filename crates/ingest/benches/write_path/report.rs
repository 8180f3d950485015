//! What is printed.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::case::Case;

/// What a case cost once.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// By the clock on the wall.
    pub took: Duration,
    /// Time of this process on the processor; of a case through the proxy it includes the proxy.
    pub cpu: Duration,
    /// Statements sent, BEGIN, COMMIT and COPY included.
    pub statements: u64,
    /// Write-ahead log, bytes.
    pub wal: u64,
}

/// The samples of one size, by case, one of each a round.
pub struct Samples {
    laps: u32,
    of: HashMap<Case, Vec<Sample>>,
}

fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<_> = all.collect();
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    match all.as_slice() {
        [] => f64::NAN,
        all if all.len() % 2 == 1 => all[middle],
        all => f64::midpoint(all[middle - 1], all[middle]),
    }
}

impl Samples {
    /// None yet.
    pub fn new(laps: u32) -> Self {
        Self { laps, of: HashMap::new() }
    }

    /// Keeps a sample.
    pub fn push(&mut self, case: Case, sample: Sample) {
        self.of.entry(case).or_default().push(sample);
    }

    fn ratios(&self, case: Case, reference: Case) -> Vec<f64> {
        let took = |s: &Sample| s.took.as_secs_f64();
        let (ours, theirs) = (&self.of[&case], &self.of[&reference]);
        ours.iter().zip(theirs).map(|(a, b)| took(b) / took(a)).collect()
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let laps = f64::from(self.laps);
        writeln!(f, "\n{} laps, {} rounds; medians", self.laps, self.of[&Case::Reference].len())?;
        writeln!(
            f,
            "{:28} {:>10} {:>8} {:>17} {:>9} {:>11} {:>9} {:>9}",
            "", "time", "ratio", "(least–most)", "to by-row", "statements", "WAL/lap", "CPU/lap"
        )?;
        for case in Case::ALL {
            let of = &self.of[&case];
            let of_all = |value: fn(&Sample) -> f64| median(of.iter().map(value));
            let ratios = self.ratios(case, case.reference());
            let spread =
                (ratios.iter().copied().fold(f64::INFINITY, f64::min), ratios.iter().copied().fold(0.0, f64::max));
            writeln!(
                f,
                "{:28} {:>7.1} ms {:>8.2} {:>17} {:>9} {:>11.0} {:>7.1} B {:>6.2} us",
                case.name(),
                of_all(|s| s.took.as_secs_f64()) * 1e3,
                median(ratios.into_iter()),
                format!("({:.2}–{:.2})", spread.0, spread.1),
                if case.is_far() {
                    String::new()
                } else {
                    format!("{:.2}", median(self.ratios(case, Case::RowKeyReference).into_iter()))
                },
                of_all(|s| s.statements as f64),
                of_all(|s| s.wal as f64) / laps,
                of_all(|s| s.cpu.as_secs_f64()) * 1e6 / laps,
            )?;
        }
        for case in Case::ALL {
            let Some(bar) = case.bar() else { continue };
            let judged = if self.laps == 100_000 { "" } else { " (the bar is meant for 100,000 laps)" };
            let said = |reference| {
                let ratio = median(self.ratios(case, reference).into_iter());
                if ratio >= bar {
                    format!("{ratio:.2}, met, {:.0} % above", (ratio / bar - 1.0) * 100.0)
                } else {
                    format!("{ratio:.2}, MISSED by {:.0} %", (1.0 - ratio / bar) * 100.0)
                }
            };
            writeln!(f, "bar: {} at least {bar}{judged}: {}", case.name(), said(case.reference()))?;
            if !case.is_far() {
                writeln!(
                    f,
                    "     to the table with its key by row, for which the bar was set: {}",
                    said(Case::RowKeyReference)
                )?;
            }
        }
        Ok(())
    }
}
