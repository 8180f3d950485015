//! What a trial will do, decided before anything is started. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::attempt::EngineSpec;
use super::record::{ExpectedOutcome, Group, Limits, RowKind, Tables};
use crate::ab::InSet;
use crate::ab::conditions::Load;
use crate::faults::Fault;
use crate::oracle::OracleName;
use crate::quantity::Bytes;
use crate::scenario::{Network, PageForm, Scenario};
use crate::synth::{Synth, rows};
use crate::world::page::Page;

/// All of a trial.
#[derive(Debug, Clone)]
pub struct TrialPlan {
    /// Number in its run, from 1.
    pub number: u32,
    /// Scenario's name.
    pub scenario: String,
    /// Profile's name.
    pub profile: String,
    /// Settings changed from the profile's.
    pub settings: BTreeMap<String, String>,
    /// Seed of the generator.
    pub seed: u64,
    /// Revisions in the order in which they are ingested.
    pub revisions: Vec<Arc<Revision>>,
    /// How often an engine that failed is started again in one ingestion.
    pub restarts: u32,
    /// How long one engine process may take.
    pub timeout: Duration,
    /// Memory that one engine process may have.
    pub memory_limit: Option<Bytes>,
    /// How far away PostgreSQL and LiveRC are.
    pub network: Network,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Round trips of this profile, where an earlier trial has had them counted.
    pub round_trips: Option<u64>,
    /// Oracles that must hold.
    pub oracles: Vec<OracleName>,
    /// Limits for the oracle `bounded`.
    pub limits: Limits,
    /// Command that runs the trial again.
    pub reproduce: String,
    /// Keep database and artefacts whatever comes out.
    pub keep: bool,
    /// Other trials run on the server at the same time: what can only be measured of the whole server (its CPU, memory and
    /// WAL) is not, no CHECKPOINT is made, and the database may be one that an earlier trial left empty. Everything that an
    /// oracle judges is observed.
    pub side_by_side: bool,
    /// Let all traffic to PostgreSQL pass through the proxy, so that its frames are counted.
    pub count_frames: bool,
    /// Engine of this trial, where it is another than the run's.
    pub engine: Option<EngineSpec>,
    /// How long the server may take to notice that an engine's process is gone, before what is still there counts as left behind.
    pub settle: Duration,
    /// What is done beyond the ingestion itself.
    pub extras: Extras,
    /// Where it stands in a comparison.
    pub in_set: Option<InSet>,
    /// Share of all requests that LiveRC answers with a server error.
    pub background_errors: Option<f64>,
    /// Which requests these are.
    pub background_seed: u64,
    /// What else goes on meanwhile.
    pub load: Load,
    /// Events that are ingested at the same time, each by a process of its own.
    pub beside: Vec<Arc<Revision>>,
    /// Share of its own time that the engine is made to wait (`HARNESS_DELAY`).
    pub delay: f64,
}

/// What a trial does beyond ingesting and comparing every row. A comparison of two sides leaves out what takes time and tells
/// the same in every pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extras {
    /// Ingest once more with nothing changed: for `same-content` and `no-rewrite`.
    pub again: bool,
    /// Count round trips, in an ingestion of their own where no proxy is in the way.
    pub round_trips: bool,
}

impl Extras {
    /// Everything, as `harness run` does it.
    pub const ALL: Self = Self { again: true, round_trips: true };
    /// Nothing: the ingestion, and the comparison of its rows.
    pub const NONE: Self = Self { again: false, round_trips: false };
}

/// How long a server may take to notice that a client is gone.
const SETTLE: Duration = Duration::from_secs(20);

/// One revision of an event, with the tables that must come of it. Made once per run: all trials share it.
#[derive(Debug)]
pub struct Revision {
    /// From 1.
    pub number: u32,
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Track's host label.
    pub track: String,
    /// Races in page order.
    pub order: Vec<u64>,
    /// Place of each race in it, from 0.
    pub places: BTreeMap<u64, usize>,
    /// The event.
    pub synth: Synth,
    /// Shape of its pages.
    pub form: PageForm,
    /// Tables as they must be.
    pub expected: Tables,
    /// What must come out.
    pub expect: ExpectedOutcome,
    /// Pages of a small event, which hundreds of trials may serve.
    rendered: Mutex<HashMap<Page, Option<String>>>,
}

/// Up to so many races the rendered pages of an event are kept.
const FEW_RACES: usize = 32;

impl TrialPlan {
    /// What a scenario asks of one trial under a profile.
    #[must_use]
    pub fn of(scenario: &Scenario, profile: &str, number: u32, revisions: &[Arc<Revision>]) -> Self {
        let mut settings = scenario.engine.settings.clone();
        if let Some(requests) = scenario.liverc.max_in_flight {
            settings.insert("liverc.max_in_flight".to_owned(), requests.to_string());
        }
        if let Some(delay) = scenario.liverc.min_delay {
            settings.insert("liverc.min_delay".to_owned(), delay.to_string());
        }
        Self {
            number,
            scenario: scenario.name.clone(),
            profile: profile.to_owned(),
            settings,
            seed: scenario.event.seed,
            revisions: revisions.to_vec(),
            restarts: scenario.engine.restarts,
            timeout: scenario.engine.timeout.0,
            memory_limit: scenario.engine.memory_limit,
            network: scenario.network,
            faults: scenario.faults.clone(),
            round_trips: None,
            oracles: scenario.oracles.clone(),
            limits: scenario.limits.clone(),
            reproduce: String::new(),
            keep: false,
            side_by_side: false,
            count_frames: false,
            engine: None,
            settle: SETTLE,
            extras: Extras::ALL,
            in_set: None,
            background_errors: None,
            background_seed: scenario.event.seed,
            load: Load::default(),
            beside: Vec::new(),
            delay: 0.0,
        }
    }
}

/// Why a scenario's event cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A correction that the event is too small for.
    #[error(transparent)]
    Event(#[from] crate::scenario::EventError),
    /// A race that is expected to fail and is not there.
    #[error("[expect] names race {place} of revision {revision}, but its event page lists only {races}")]
    Race {
        /// Place on the event page, from 1.
        place: u32,
        /// The revision, from 1.
        revision: usize,
        /// Races on the page.
        races: usize,
    },
}

/// The revisions of a scenario's event, each with the tables that must come of it.
///
/// # Errors
/// When the scenario asks for what the event does not have.
pub fn revisions(scenario: &Scenario) -> Result<Vec<Arc<Revision>>, PlanError> {
    let synths = scenario.event.synths()?;
    synths.into_iter().enumerate().map(|(i, synth)| revision(scenario, i + 1, synth).map(Arc::new)).collect()
}

fn revision(scenario: &Scenario, number: usize, synth: Synth) -> Result<Revision, PlanError> {
    let expect = scenario.expected_outcome(number, &synth).map_err(|place| PlanError::Race {
        place,
        revision: number,
        races: synth.race_ids().len(),
    })?;
    Ok(revision_of(number, synth, scenario.event.form, expect))
}

/// A revision of an event of which it is known what must come out.
#[must_use]
pub fn revision_of(number: usize, synth: Synth, form: PageForm, expect: ExpectedOutcome) -> Revision {
    let order = synth.race_ids();
    let mut expected: Tables = RowKind::ALL.into_iter().map(|kind| (kind, BTreeMap::new())).collect();
    for group in rows::expected_groups(&synth) {
        let digest = group.digest();
        expected.entry(group.kind).or_default().insert(group.id, Group { rows: digest.count, digest: digest.md5 });
    }
    let event = synth.event();
    Revision {
        number: u32::try_from(number).unwrap_or(u32::MAX),
        event_id: event.id,
        track: event.track,
        places: order.iter().enumerate().map(|(i, &id)| (id, i)).collect(),
        order,
        synth,
        form,
        expected,
        expect,
        rendered: Mutex::default(),
    }
}

impl Revision {
    /// The page, or none where LiveRC would answer 404.
    #[must_use]
    pub fn page(&self, page: Page) -> Option<String> {
        if self.order.len() > FEW_RACES {
            return self.render(page);
        }
        let known = self.rendered.lock().unwrap_or_else(PoisonError::into_inner).get(&page).cloned();
        known.unwrap_or_else(|| {
            let made = self.render(page);
            self.rendered.lock().unwrap_or_else(PoisonError::into_inner).insert(page, made.clone());
            made
        })
    }

    fn render(&self, page: Page) -> Option<String> {
        match page {
            Page::Event(id) if id == self.event_id => Some(self.synth.event_page(self.form.of_page(0))),
            Page::EntryList(id) if id == self.event_id => self.synth.entries_page(self.form.of_page(1)),
            Page::Event(_) | Page::EntryList(_) => None,
            Page::Race(id) => self.synth.race_page(id, self.form.of_page(*self.places.get(&id)?)),
        }
    }

    /// Laps in all races that must be written.
    #[must_use]
    pub fn laps(&self) -> u64 {
        self.expected.get(&RowKind::Laps).into_iter().flatten().map(|(_, g)| g.rows).sum()
    }
}
