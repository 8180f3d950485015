//! Schedules that chance makes, as proptest strategies: the same seed makes the same, and what was tried less is preferred.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::{Union, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::case::{Ground, Kind, Trigger};
use crate::faults::{Action, Fault};
use crate::quantity::Span;

/// How long faults that last may last. Short, since the engine's patience is not what is searched.
const LASTS_MS: [u64; 3] = [50, 150, 400];

/// Most faults of a schedule.
pub const MOST_FAULTS: usize = 4;

/// How often each trigger and action were asked for together.
pub type Tried = BTreeMap<(Trigger, Action), u32>;

/// Makes values of strategies by a seed.
pub struct Maker(TestRunner);

impl Maker {
    /// The same seed makes the same values.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self(TestRunner::new_with_rng(Config::default(), rng))
    }

    /// The next value; `None`: the strategy has none.
    pub fn make<S: Strategy>(&mut self, strategy: &S) -> Option<S::Value> {
        strategy.new_tree(&mut self.0).ok().map(|tree| tree.current())
    }
}

/// What is ingested, and by what. `profiles` must not be empty.
pub fn grounds(profiles: Vec<String>) -> impl Strategy<Value = Ground> {
    let [sizes, changes, settings] = Ground::CHOICES;
    // Half of the events have no later revision: they are quick, and most is to be found in them.
    let changes = prop_oneof![Just(0), 0..changes];
    (0..sizes, changes, 0..settings, select(profiles)).prop_map(|(size, changes, settings, profile)| Ground {
        size,
        changes,
        settings,
        profile,
    })
}

/// How many faults a schedule has: one more often than four.
pub fn numbers() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(1), 3 => Just(2), 2 => Just(3), 1 => Just(MOST_FAULTS)]
}

/// One fault of these kinds, which must not be empty; the less its kind was tried, the likelier.
pub fn faults(kinds: &[Kind], tried: &Tried) -> impl Strategy<Value = Option<Fault>> + use<> {
    let weight = |kind: &Kind| {
        let n = tried.get(&(kind.trigger, kind.action)).copied().unwrap_or(0);
        1 + 200 / (1 + n * n)
    };
    let of_kind = |kind: &Kind| {
        let kind = *kind;
        let parts = (1..=kind.most, 0..4_usize, select(LASTS_MS.to_vec()));
        let fault = move |(occurrence, moment, ms)| {
            kind.fault(occurrence, moment, Some(Span(std::time::Duration::from_millis(ms))))
        };
        (weight(&kind), parts.prop_map(fault).boxed())
    };
    Union::new_weighted(kinds.iter().map(of_kind).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use contract::Step;

    use super::*;

    fn kinds() -> Vec<Kind> {
        let of = |action| Kind { trigger: Trigger::Step(Step::UnitBegun), action, revision: 1, most: 3 };
        [Action::Crash, Action::DbReset, Action::DbSlow].map(of).to_vec()
    }

    #[test]
    fn a_seed_makes_the_same_again() {
        let make = |seed| {
            let mut maker = Maker::new(seed);
            let profiles = vec!["before".to_owned(), "fast".to_owned()];
            let ground = maker.make(&grounds(profiles)).unwrap();
            let all: Vec<_> =
                (0..20).map(|_| maker.make(&faults(&kinds(), &Tried::new())).flatten().unwrap().to_string()).collect();
            (ground, all)
        };
        assert_eq!(make(5), make(5));
        assert_ne!(make(5), make(6));
    }

    #[test]
    fn what_was_not_tried_is_preferred() {
        let (mut maker, mut tried) = (Maker::new(1), Tried::new());
        tried.insert((Trigger::Step(Step::UnitBegun), Action::Crash), 50);
        tried.insert((Trigger::Step(Step::UnitBegun), Action::DbReset), 50);
        let slow = (0..100)
            .filter(|_| maker.make(&faults(&kinds(), &tried)).flatten().unwrap().action() == Action::DbSlow)
            .count();
        assert!(slow > 80, "{slow} of 100");
    }
}
