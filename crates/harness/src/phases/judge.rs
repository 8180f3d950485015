//! From trials to the table: what each variant takes beside `before` and beside the one below it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cures::{CURES, Cure, Variant, variants};
use crate::oracle::Verdict;
use crate::report::overall;
use crate::stats::{Comparison, Metric, Spread};
use crate::trial::record::{RunRecord, TrialRecord};

/// What a run of phases records besides its trials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhasesRecord {
    /// Rounds that were asked for, the dropped one not counted.
    pub rounds: u32,
    /// Measured trials.
    pub places: Vec<Placed>,
    /// Trials with a fault: (number, variant's label).
    pub faulted: Vec<(u32, String)>,
}

/// Where a measured trial stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Number of the trial.
    pub trial: u32,
    /// Round; 0 is dropped.
    pub round: u32,
    /// Variant's label.
    pub variant: String,
}

/// How what was measured stands to what the review expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// All of the interval lies below.
    Less,
    /// The median is in what was expected, and the interval clear of no gain.
    Agrees,
    /// The two overlap, and that is all that can be said.
    Open,
    /// All of the interval lies above.
    More,
}

impl Against {
    /// In tables.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Less => "less than the review expected",
            Self::Agrees => "as the review expected",
            Self::Open => "too scattered to say whether it is what the review expected",
            Self::More => "more than the review expected",
        }
    }
}

/// How a variant came through a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The fault, as written.
    pub fault: String,
    /// What came of the trial.
    pub verdict: Verdict,
}

/// A variant with its figures.
#[derive(Debug, Clone)]
pub struct Row {
    /// The variant.
    pub variant: Variant,
    /// Trials measured.
    pub trials: usize,
    /// Event time, median, µs.
    pub event_us: Option<f64>,
    /// Statements, median.
    pub statements: Option<f64>,
    /// Event time beside `before`'s.
    pub event: Option<Comparison>,
    /// Write stage beside `before`'s.
    pub write: Option<Comparison>,
    /// Event time beside the variant below it in the stack.
    pub step: Option<Comparison>,
    /// Faults that it was put through.
    pub evidence: Vec<Evidence>,
}

impl Row {
    /// The cure that it stands for.
    #[must_use]
    pub fn cure(&self) -> Option<&'static Cure> {
        CURES.get(self.variant.cure?)
    }

    /// Whether it is one of the review's, by itself.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.cure().is_some_and(|c| c.expected.is_some() && self.variant.settings.len() == c.on.len())
    }

    /// Time saved beside `before`, as shares of it: median, from, to.
    #[must_use]
    pub fn saved(&self) -> Option<(f64, f64, f64)> {
        saved(self.event.as_ref())
    }

    /// How it stands to what the review expected of it; only of one that is alone.
    #[must_use]
    pub fn against(&self) -> Option<Against> {
        let (from, to) = self.cure()?.expected.filter(|_| self.alone())?;
        let (median, low, high) = self.saved()?;
        let (from, to) = (f64::from(from) / 100.0, f64::from(to) / 100.0);
        Some(if high < from {
            Against::Less
        } else if low > to {
            Against::More
        } else if low > 0.0 && (from..=to).contains(&median) {
            Against::Agrees
        } else {
            Against::Open
        })
    }
}

/// Time saved as shares of what it is compared with: median, from, to.
#[must_use]
pub fn saved(comparison: Option<&Comparison>) -> Option<(f64, f64, f64)> {
    let c = comparison?;
    let (low, high) = c.interval();
    Some((-c.change(), -high, -low))
}

/// The table, in the order of [`variants`].
#[must_use]
pub fn rows(run: &RunRecord, phases: &PhasesRecord) -> Vec<Row> {
    let all = variants();
    let below = |i: usize| -> Option<&Variant> {
        let cure = all.get(i)?.cure.filter(|_| all[i].cumulative)?;
        match cure {
            0 => all.first(),
            _ => all.iter().find(|v| v.cumulative && v.cure == Some(cure - 1)),
        }
    };
    let compare = |metric: Metric, base: &Variant, here: &Variant| -> Option<Comparison> {
        let values = |v: &Variant| -> BTreeMap<u32, f64> {
            measured(run, phases, v).filter_map(|(round, t)| Some((round, *t.metrics.get(&metric)?))).collect()
        };
        let base = values(base);
        let pairs: Vec<(f64, f64)> =
            values(here).into_iter().filter_map(|(round, here)| Some((*base.get(&round)?, here))).collect();
        Comparison::of(&pairs).ok()
    };
    all.iter()
        .enumerate()
        .map(|(i, variant)| {
            let median = |metric: Metric| {
                Spread::of(measured(run, phases, variant).filter_map(|(_, t)| t.metrics.get(&metric).copied()))
                    .map(|s| s.median)
            };
            let beside = |metric| all.first().filter(|_| i > 0).and_then(|before| compare(metric, before, variant));
            Row {
                variant: variant.clone(),
                trials: measured(run, phases, variant).count(),
                event_us: median(Metric::EventTime),
                statements: median(Metric::Statements),
                event: beside(Metric::EventTime),
                write: beside(Metric::WriteStage),
                step: below(i).and_then(|base| compare(Metric::EventTime, base, variant)),
                evidence: evidence(run, phases, variant),
            }
        })
        .collect()
}

/// Measured trials of a variant by round, the dropped one left out.
fn measured<'a>(
    run: &'a RunRecord,
    phases: &'a PhasesRecord,
    variant: &'a Variant,
) -> impl Iterator<Item = (u32, &'a TrialRecord)> {
    phases.places.iter().filter(|p| p.round > 0 && p.variant == variant.label).filter_map(|p| {
        let trial = run.trials.iter().find(|t| t.trial == p.trial && t.broken.is_none())?;
        Some((p.round, trial))
    })
}

fn evidence(run: &RunRecord, phases: &PhasesRecord, variant: &Variant) -> Vec<Evidence> {
    let numbers = phases.faulted.iter().filter(|(_, label)| *label == variant.label).map(|(n, _)| *n);
    numbers
        .filter_map(|n| run.trials.iter().find(|t| t.trial == n))
        .map(|trial| Evidence {
            fault: trial.faults.iter().map(|f| f.fault.as_str()).collect::<Vec<_>>().join(", "),
            verdict: overall::of_trial(trial).verdict,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture;

    /// A run in which each variant takes a share of `before`'s time, on a machine that grows slower.
    fn run(share: impl Fn(&Variant) -> f64) -> (RunRecord, PhasesRecord) {
        let (mut run, _) = fixture::empty(crate::gate::TimeBy::Reference, None);
        let mut phases = PhasesRecord { rounds: 8, ..PhasesRecord::default() };
        for round in 0..=8 {
            for variant in variants() {
                let n = u32::try_from(run.trials.len()).unwrap() + 1;
                let time = share(&variant) * (1.0 + f64::from(n % 7) / 200.0);
                run.trials.push(fixture::trial(n, fixture::SAME, time, 1.0 + f64::from(round)));
                phases.places.push(Placed { trial: n, round, variant: variant.label });
            }
        }
        (run, phases)
    }

    #[test]
    fn each_cure_is_told_beside_before_and_beside_the_one_below() {
        let (run, phases) = run(|v| match v.cure {
            None => 1.0,
            Some(0) => 0.6,
            Some(1) if !v.cumulative => 0.98,
            Some(i) => 0.5 - i as f64 / 20.0,
        });
        let rows = rows(&run, &phases);
        let row = |label: &str| rows.iter().find(|r| r.variant.label == label).unwrap();
        assert!(row("before").event.is_none() && row("before").trials == 8, "the first round is dropped");
        let (saved, low, high) = row("no SELECT alone").saved().unwrap();
        assert!((0.36..0.44).contains(&saved) && low <= saved && saved <= high);
        assert_eq!(row("no SELECT alone").against(), Some(Against::Agrees));
        assert_eq!(row("batches alone").against(), Some(Against::Less));
        assert_eq!(row("+ batches").against(), None, "the review spoke of each by itself");
        let step = row("+ COPY").step.unwrap().change();
        assert!((step - (0.25 / 0.3 - 1.0)).abs() < 0.05, "{step}");
        assert!(row("batches alone").step.is_none());
        assert!(row("+ batches").step.unwrap().change() < -0.2);
    }

    #[test]
    fn an_interval_that_reaches_everywhere_agrees_with_nothing() {
        let (mut run, phases) = run(|_| 1.0);
        let of_batches = |n: u32| phases.places.iter().any(|p| p.trial == n && p.variant == "batches alone");
        for trial in run.trials.iter_mut().filter(|t| of_batches(t.trial)) {
            let factor = if trial.trial % 2 == 0 { 0.5 } else { 2.0 };
            trial.metrics.entry(Metric::EventTime).and_modify(|time| *time *= factor);
        }
        let rows = rows(&run, &phases);
        let batches = rows.iter().find(|r| r.variant.label == "batches alone").unwrap();
        assert_eq!(batches.against(), Some(Against::Open), "{:?}", batches.saved());
    }

    #[test]
    fn a_violated_fault_is_evidence_against_the_cure() {
        let (mut run, mut phases) = run(|_| 1.0);
        run.trials[0].judgements[0].verdict = Verdict::Violated;
        phases.faulted.push((1, "+ COPY".to_owned()));
        let rows = rows(&run, &phases);
        let copy = rows.iter().find(|r| r.variant.label == "+ COPY").unwrap();
        assert_eq!(copy.evidence[0].verdict, Verdict::Violated);
    }

    #[test]
    fn too_few_rounds_say_nothing() {
        let (run, mut phases) = run(|_| 1.0);
        phases.places.retain(|p| p.round < 3);
        assert!(rows(&run, &phases).iter().all(|r| r.event.is_none() && r.against().is_none()));
    }
}
