//! A scenario in which nothing is left open.

use std::collections::BTreeMap;

use super::event::EventSpec;
use super::load::LoadSpec;
use crate::ab::Criteria;
use crate::faults::{Fault, names};
use crate::oracle::OracleName;
use crate::quantity::{Bytes, Span, as_text};
use crate::synth::Synth;
use crate::trial::record::{ExpectedOutcome, Limits};

/// Names that a scenario may use and that are the engine's to know.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Profiles of the built-in engine.
    pub profiles: &'a [&'a str],
    /// Its settings.
    pub settings: &'a [&'a str],
}

/// What is ingested, how the world behaves, what goes wrong, what must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Name of its file, without folder and `.toml`.
    pub name: String,
    /// First comment of its file: what it shows.
    pub description: String,
    /// What is ingested.
    pub event: EventSpec,
    /// The program under test.
    pub engine: EngineSpec,
    /// Where PostgreSQL comes from, unless a flag says so.
    pub postgres: PostgresSpec,
    /// How far away the database and LiveRC are.
    pub network: Network,
    /// How politely LiveRC is asked.
    pub liverc: LivercSpec,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What must come out.
    pub expect: Expect,
    /// What must hold.
    pub oracles: Vec<OracleName>,
    /// What may be used.
    pub limits: Limits,
    /// What is asked of a running service, where the scenario is one for `harness load`.
    pub load: Option<LoadSpec>,
    /// What a change must bring, for comparisons.
    pub criteria: Option<Criteria>,
    /// Trials per profile.
    pub trials: u32,
}

/// The program under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSpec {
    /// Profiles of the built-in engine, a series of trials each. Empty for another engine.
    pub profiles: Vec<String>,
    /// Settings changed from the profile's.
    pub settings: BTreeMap<String, String>,
    /// Another engine: program and arguments, with `{track}` and `{event_id}`. `None`: the built-in one.
    pub command: Option<Vec<String>>,
    /// How often it may be started again within an ingestion.
    pub restarts: u32,
    /// Longest time of one process.
    pub timeout: Span,
    /// Memory that a process may have: past it, it is killed. `None`: all that the machine has.
    pub memory_limit: Option<Bytes>,
}

/// Delays that the proxy adds. All `None`: no proxy is in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Network {
    /// Added to each round trip to PostgreSQL.
    pub database_rtt: Option<Span>,
    /// Added at random, up to this.
    pub database_jitter: Option<Span>,
    /// Per second.
    pub database_bandwidth: Option<Bytes>,
    /// Added to each answer of LiveRC.
    pub liverc_latency: Option<Span>,
    /// Added at random, up to this.
    pub liverc_jitter: Option<Span>,
    /// Per second.
    pub liverc_bandwidth: Option<Bytes>,
}

/// How politely LiveRC is asked. `None`: as the engine does by itself with a mock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LivercSpec {
    /// Requests in flight.
    pub max_in_flight: Option<u32>,
    /// Between two requests.
    pub min_delay: Option<Span>,
}

names! {
    /// Which PostgreSQL a scenario asks for.
    Backend, "backend";
    /// Docker where it is, else this machine's binaries.
    Auto = "auto",
    /// A container.
    Docker = "docker",
    /// A server made of this machine's binaries.
    Local = "local",
}
as_text!(Backend, "a backend in quotes: \"local\"");

names! {
    /// Where a server of the harness's own has its data.
    DataPlace, "place for data";
    /// In the system's temporary directory.
    Disk = "disk",
    /// In memory, where the machine has a file system for that with room: commits then wait for no disk.
    Memory = "memory",
}
as_text!(DataPlace, "a place in quotes: \"memory\"");

/// The PostgreSQL that a scenario is for. A flag on the command line wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresSpec {
    /// Which.
    pub backend: Backend,
    /// Where its data are.
    pub data: DataPlace,
}

impl Default for PostgresSpec {
    fn default() -> Self {
        Self { backend: Backend::Auto, data: DataPlace::Disk }
    }
}

names! {
    /// What must come out in the end.
    Outcome, "outcome";
    /// Every race is written.
    Complete = "complete",
    /// Some races must fail, all others are written.
    Partial = "partial",
}
as_text!(Outcome, "an outcome in quotes: \"complete\"");

/// What must come out. Races are told by their place on the event page, from 1 at its top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// Races that must fail in the last revision; empty: the outcome is *complete*.
    pub failed: Vec<u32>,
    /// The same for the first revision, the second, …; where the list is too short, nothing fails.
    pub earlier: Vec<Vec<u32>>,
}

impl Expect {
    /// The outcome of the last revision.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.failed.is_empty() { Outcome::Complete } else { Outcome::Partial }
    }
}

impl Scenario {
    /// Places of the races that must fail in a revision, counted from 1.
    #[must_use]
    pub fn must_fail(&self, revision: usize) -> &[u32] {
        if revision > self.event.revisions.len() {
            &self.expect.failed
        } else {
            self.expect.earlier.get(revision - 1).map_or(&[], Vec::as_slice)
        }
    }

    /// What must come out of a revision (from 1), with LiveRC's ids. `synth` is that revision's event.
    ///
    /// # Errors
    /// The place of a race that the event page does not have.
    pub fn expected_outcome(&self, revision: usize, synth: &Synth) -> Result<ExpectedOutcome, u32> {
        let places = self.must_fail(revision);
        if places.is_empty() {
            return Ok(ExpectedOutcome::Complete);
        }
        let ids = synth.race_ids();
        let id = |&place: &u32| ids.get(place.saturating_sub(1) as usize).copied().ok_or(place);
        Ok(ExpectedOutcome::Partial { failed: places.iter().map(id).collect::<Result<_, _>>()? })
    }

    /// Whether any delay or bandwidth asks for the proxy.
    #[must_use]
    pub fn needs_proxy(&self) -> bool {
        self.network != Network::default() || self.faults.iter().any(|f| f.when().is_wire())
    }
}

/// Oracles that a scenario has when it lists none: all, but `durable` only where something goes wrong.
pub(super) fn default_oracles(faults: bool, load: bool) -> Vec<OracleName> {
    let wanted = |o: &OracleName| o.applies(load) && (faults || *o != OracleName::Durable);
    OracleName::ALL.iter().copied().filter(wanted).collect()
}
