//! What a repetition of a load will do, decided before anything is started. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest as _, Md5};

use super::client::Who;
use crate::faults::Fault;
use crate::oracle::OracleName;
use crate::scenario::{LoadSpec, Network, Scenario};
use crate::synth::Synth;
use crate::trial::plan::{Revision, revision_of};
use crate::trial::record::{ExpectedOutcome, Limits};

/// An import takes hundreds of milliseconds: a request that starts up to this after it was due does not change its figures.
const LATE_AFTER: Duration = Duration::from_millis(50);

/// All of a repetition.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Number of the trial in its run, from 1.
    pub number: u32,
    /// Scenario's name.
    pub scenario: String,
    /// Profile's name.
    pub profile: String,
    /// Settings changed from the profile's.
    pub settings: BTreeMap<String, String>,
    /// Seed of the events, and of which of them is asked for when.
    pub seed: u64,
    /// What is asked of what.
    pub spec: LoadSpec,
    /// The events.
    pub events: Vec<Arc<Revision>>,
    /// How far away PostgreSQL and LiveRC are.
    pub network: Network,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Oracles that must hold.
    pub oracles: Vec<OracleName>,
    /// Limits for the oracle `bounded`.
    pub limits: Limits,
    /// First arguments of this program that make it a server.
    pub serve: Vec<String>,
    /// First arguments of this program that make it a worker.
    pub work: Vec<String>,
    /// Who the clients are.
    pub client: Who,
    /// A request that starts more than this after it was due is late.
    pub late_after: Duration,
    /// Command that runs the trial again.
    pub reproduce: String,
    /// Keep database and artefacts whatever comes out.
    pub keep: bool,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Index of the event.
    pub event: usize,
    /// Whether every page is to be read again.
    pub refresh: bool,
}

impl LoadPlan {
    /// What a scenario asks of one repetition.
    #[must_use]
    pub fn of(scenario: &Scenario, spec: &LoadSpec, number: u32, events: &[Arc<Revision>]) -> Self {
        let mut settings = scenario.engine.settings.clone();
        if let Some(requests) = scenario.liverc.max_in_flight {
            settings.insert("liverc.max_in_flight".to_owned(), requests.to_string());
        }
        if let Some(delay) = scenario.liverc.min_delay {
            settings.insert("liverc.min_delay".to_owned(), delay.to_string());
        }
        let hidden = |verb: &str| vec!["__engine".to_owned(), verb.to_owned()];
        Self {
            number,
            scenario: scenario.name.clone(),
            profile: scenario.engine.profiles.first().cloned().unwrap_or_default(),
            settings,
            seed: scenario.event.seed,
            spec: spec.clone(),
            events: events.to_vec(),
            network: scenario.network,
            faults: scenario.faults.clone(),
            oracles: scenario.oracles.clone(),
            limits: scenario.limits.clone(),
            serve: hidden("serve"),
            work: hidden("work"),
            client: Who::Library,
            late_after: LATE_AFTER,
            reproduce: String::new(),
            keep: false,
        }
    }

    /// What the n-th request asks for, from 0: each event once, then any.
    #[must_use]
    pub fn ask(&self, n: u64) -> Ask {
        let events = self.events.len().max(1) as u64;
        let digest = Md5::digest(format!("{} request {n}", self.seed));
        let drawn = |at: usize| digest[at..at + 7].iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
        let event = if n < events { n } else { drawn(0) % events };
        // 56 bits are more than a float between 0 and 1 needs.
        let refresh = (drawn(8) as f64) / ((1_u64 << 56) as f64) < self.spec.refresh;
        Ask { event: usize::try_from(event).unwrap_or(0), refresh }
    }

    /// Whether a race of the event can never be read.
    #[must_use]
    pub fn is_poison(&self, event_id: u64) -> bool {
        let of = self.events.iter().find(|e| e.event_id == event_id);
        of.is_some_and(|e| e.expect != ExpectedOutcome::Complete)
    }
}

/// The events of a load: as many as it asks for, no two of one id, the poisoned ones first.
#[must_use]
pub fn events(scenario: &Scenario, spec: &LoadSpec) -> Vec<Arc<Revision>> {
    let mut known = BTreeSet::new();
    let mut all = Vec::new();
    let mut seed = scenario.event.seed;
    while all.len() < spec.events as usize {
        let poison = all.len() < spec.poison as usize;
        let size = scenario.event.size;
        let synth = if poison { Synth::bad_race(size, seed) } else { Synth::new(size, seed) };
        seed = seed.wrapping_add(1);
        if !known.insert(synth.event().id) {
            continue;
        }
        let failed: Vec<u64> = synth.failing().iter().map(|(race, _)| *race).collect();
        let expect = if failed.is_empty() { ExpectedOutcome::Complete } else { ExpectedOutcome::Partial { failed } };
        all.push(Arc::new(revision_of(1, synth, scenario.event.form, expect)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Known;

    fn plan(load: &str) -> LoadPlan {
        let text = format!("[event]\nraces = 2\nresults = 4\nlaps = 8\n[load]\nrate = 5\nrequests = 40\n{load}");
        let known = Known { profiles: &["fast"], settings: &[] };
        let scenario = Scenario::parse("test.toml", &text, known).unwrap();
        let spec = scenario.load.clone().unwrap();
        LoadPlan::of(&scenario, &spec, 1, &events(&scenario, &spec))
    }

    #[test]
    fn each_event_is_asked_for_and_the_same_seed_asks_the_same() {
        let plan = plan("events = 6\nrefresh = 0.5\npoison = 2");
        let asks: Vec<Ask> = (0..200).map(|n| plan.ask(n)).collect();
        assert_eq!(asks[..6].iter().map(|a| a.event).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(asks.iter().all(|a| a.event < 6));
        let refreshes = asks.iter().filter(|a| a.refresh).count();
        assert!((60..140).contains(&refreshes), "{refreshes}");
        assert_eq!(asks, (0..200).map(|n| plan.ask(n)).collect::<Vec<_>>());
        let ids: BTreeSet<u64> = plan.events.iter().map(|e| e.event_id).collect();
        assert_eq!(ids.len(), 6);
        let poison: Vec<bool> = plan.events.iter().map(|e| plan.is_poison(e.event_id)).collect();
        assert_eq!(poison, [true, true, false, false, false, false]);
    }

    #[test]
    fn without_a_share_nobody_asks_for_a_refresh() {
        let plan = plan("events = 3");
        assert!((0..50).all(|n| !plan.ask(n).refresh));
    }
}
