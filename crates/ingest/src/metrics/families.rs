//! How families of metrics are made, and the closed sets that label values come from.

use std::marker::PhantomData;

use contract::feed::{Changes, Counts};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::error::CauseKind;

/// Seconds, from a round trip to a long wait.
const TIMES: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds, from a small event of a mock to the largest one of the real site.
const LONG_TIMES: [f64; 11] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 150.0, 300.0, 600.0, 1800.0, 3600.0];
/// Rows.
const SIZES: [f64; 9] = [100.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 25_000.0, 100_000.0, 500_000.0];

/// A label whose values are a closed set.
pub(super) trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
}

macro_rules! label {
    ($(#[$doc:meta])+ $name:ident { $($(#[$vdoc:meta])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])+ $variant,)+ }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

label! {
    /// What became of a row.
    Change {
        /// It was not there before.
        Inserted = "inserted",
        /// Its content changed, or it was written again.
        Updated = "updated",
        /// It left.
        Deleted = "deleted",
        /// It was found equal and not written.
        Unchanged = "unchanged",
    }
}

label! {
    /// A table.
    Table {
        /// `drivers`.
        Drivers = "drivers",
        /// `entries`.
        Entries = "entries",
        /// `races`.
        Races = "races",
        /// `results`.
        Results = "results",
        /// `laps`.
        Laps = "laps",
    }
}

impl Table {
    /// The counts of the tables, in the order of the enum.
    pub(super) fn of(changes: &Changes) -> [Counts; 5] {
        let Changes { drivers, entries, races, results, laps } = *changes;
        [drivers, entries, races, results, laps]
    }
}

label! {
    /// How the ingestion of an event ended.
    Outcome {
        /// The event is complete.
        Complete = "complete",
        /// Not complete, worth trying again (exit code 75).
        Retry = "retry",
        /// Failed for good.
        Failed = "failed",
    }
}

impl Label for CauseKind {
    const ALL: &'static [Self] = Self::ALL;
    fn name(self) -> &'static str {
        CauseKind::name(self)
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub(super) struct ByLabel<L> {
    counters: Vec<IntCounter>,
    names: Vec<&'static str>,
    of: PhantomData<L>,
}

impl<L: Label> ByLabel<L> {
    /// Adds to the counter of a value.
    pub(super) fn add(&self, value: L, n: u64) {
        let at = self.names.iter().position(|&name| name == value.name());
        if let Some(counter) = at.and_then(|at| self.counters.get(at)) {
            counter.inc_by(n);
        }
    }

    fn new(counter: impl Fn(&'static str) -> IntCounter) -> Self {
        let names: Vec<_> = L::ALL.iter().map(|&value| value.name()).collect();
        Self { counters: names.iter().map(|&name| counter(name)).collect(), names, of: PhantomData }
    }
}

/// Makes families and registers them. Every series stands at zero from the beginning, so that a rate sees the first one.
pub(super) struct Families(Registry);

/// The only way in which making a family can fail is a name, a label or a help text that is no use, or a name that is
/// there already. All of them are constants of this module, and a test makes them.
fn sound<T>(made: prometheus::Result<T>) -> T {
    #[expect(clippy::expect_used, reason = "constants, made in a test")]
    made.expect("names, labels and buckets of metrics are sound")
}

impl Families {
    pub(super) fn new() -> Self {
        Self(Registry::new())
    }

    pub(super) fn into_registry(self) -> Registry {
        self.0
    }

    fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let made = sound(made);
        sound(self.0.register(Box::new(made.clone())));
        made
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(super) fn times(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &TIMES)
    }

    pub(super) fn long_times(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &LONG_TIMES)
    }

    pub(super) fn sizes(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &SIZES)
    }

    pub(super) fn by_label<L: Label>(&self, name: &str, help: &str, label: &str) -> ByLabel<L> {
        let family = self.register(IntCounterVec::new(Opts::new(name, help), &[label]));
        ByLabel::new(|value| sound(family.get_metric_with_label_values(&[value])))
    }

    /// Counters by table and change.
    pub(super) fn rows(&self, name: &str, help: &str) -> Vec<ByLabel<Change>> {
        let family = self.register(IntCounterVec::new(Opts::new(name, help), &["table", "change"]));
        let of_table =
            |table: &Table| ByLabel::new(|change| sound(family.get_metric_with_label_values(&[table.name(), change])));
        Table::ALL.iter().map(of_table).collect()
    }
}
