//! The stored result that later runs are compared with: small, readable, no raw trials.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
use crate::stats::{CONFIDENCE, Metric, Stage, median_interval};
use crate::trial::plan::Revision;
use crate::trial::record::{Environment, RowKind};

/// Version of the file's schema.
pub const BASELINE_SCHEMA: u32 = 1;

/// A baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// [`BASELINE_SCHEMA`].
    pub schema: u32,
    /// Wall clock, RFC 3339.
    pub saved_at: String,
    /// Revision of the source tree.
    pub git_revision: String,
    /// What was ingested.
    pub work: Work,
    /// Under which conditions.
    pub conditions: Conditions,
    /// Counts per trial.
    pub counts: BTreeMap<Metric, Range>,
    /// Times as ratios to a reference COPY; `None` where they were not measured.
    pub time: Option<TimeRatios>,
    /// Calls of each statement of an ingestion.
    pub statements: Vec<Calls>,
}

/// What was ingested, by what: only like can be compared with like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Scenario.
    pub scenario: String,
    /// Sort of event.
    pub kind: String,
    /// Races.
    pub races: u64,
    /// Results.
    pub results: u64,
    /// Laps.
    pub laps: u64,
    /// Revisions that are ingested one after the other.
    pub revisions: u64,
    /// Seed of the generator.
    pub seed: u64,
    /// Form of the pages.
    pub form: String,
    /// Profile of the engine.
    pub profile: String,
}

impl Work {
    /// What a scenario asks for.
    #[must_use]
    pub fn of(scenario: &Scenario, revision: &Revision) -> Self {
        let rows = |kind| revision.expected.get(&kind).into_iter().flatten().map(|(_, group)| group.rows).sum();
        Self {
            scenario: scenario.name.clone(),
            kind: scenario.event.kind.name().to_owned(),
            races: rows(RowKind::Races),
            results: rows(RowKind::Results),
            laps: rows(RowKind::Laps),
            revisions: scenario.event.revisions.len() as u64 + 1,
            seed: scenario.event.seed,
            form: scenario.event.form.name().to_owned(),
            profile: scenario.engine.profiles.first().cloned().unwrap_or_else(|| "external".to_owned()),
        }
    }
}

/// Conditions that figures depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// How PostgreSQL was had.
    pub backend: String,
    /// Whether its data were in memory.
    pub data_in_memory: bool,
    /// Its version.
    pub postgres_version: String,
    /// `release` or `debug`.
    pub build_profile: String,
    /// Cores.
    pub cores: u32,
    /// CPU model: for information.
    pub cpu: String,
    /// Settings of the server.
    pub postgres_settings: BTreeMap<String, String>,
}

impl Conditions {
    /// Those of an environment.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        Self {
            backend: environment.backend.clone(),
            data_in_memory: environment.data_in_memory,
            postgres_version: environment.postgres_version.clone(),
            build_profile: environment.build_profile.clone(),
            cores: environment.cores,
            cpu: environment.cpu.clone(),
            postgres_settings: environment.postgres_settings.clone(),
        }
    }

    /// 15 of `15.14 (Debian …)`.
    fn major(&self) -> &str {
        self.postgres_version.split(['.', ' ']).next().unwrap_or_default()
    }
}

/// A value over trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Median.
    pub median: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Trials.
    pub n: u64,
}

impl Range {
    /// Of some values; `None` without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let n = sorted.len();
        let median = f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]);
        Some(Self { median, min, max, n: n as u64 })
    }
}

/// A median with its interval, of ratios to the reference COPY.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// Median.
    pub median: f64,
    /// Lower bound of its interval.
    pub low: f64,
    /// Upper bound of its interval.
    pub high: f64,
    /// Pairs.
    pub n: u64,
}

impl Ratio {
    /// Of some ratios; `None` where they are too few.
    #[must_use]
    pub fn of(ratios: &[f64]) -> Option<Self> {
        let interval = median_interval(ratios, CONFIDENCE)?;
        Some(Self { median: interval.median, low: interval.low, high: interval.high, n: ratios.len() as u64 })
    }
}

/// Times as ratios to a reference COPY of the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRatios {
    /// What the reference COPY itself took, median, µs: for information.
    pub reference_us: f64,
    /// The write stage.
    pub write_stage: Ratio,
    /// Other stages, all samples of a trial together.
    pub stages: BTreeMap<Stage, Ratio>,
}

/// Calls of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Calls in an ingestion.
    pub calls: u64,
    /// Rows in an ingestion.
    pub rows: u64,
    /// Normalised text.
    pub query: String,
}

/// Something that is not as in the baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// In the baseline.
    pub baseline: String,
    /// Here.
    pub here: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} in the baseline, {} here", self.what, shown(&self.baseline), shown(&self.here))
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "nothing" } else { value }
}

/// Where a run is not like its baseline, by what can then not be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlike {
    /// Other work: nothing can be compared.
    pub work: Vec<Difference>,
    /// WAL cannot be compared.
    pub wal: Vec<Difference>,
    /// Times cannot be compared.
    pub time: Vec<Difference>,
}

/// Why a baseline is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// No JSON, or none of this form.
    #[error("{path} is no baseline: {why}; make one with `harness gate --save-baseline {name}`")]
    Malformed {
        /// Which file.
        path: String,
        /// Name of the baseline.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Another schema.
    #[error(
        "{path} has schema {found}, this harness compares with schema {BASELINE_SCHEMA}: make it anew with `harness gate --save-baseline {name}`"
    )]
    Schema {
        /// Which file.
        path: String,
        /// Name of the baseline.
        name: String,
        /// Its schema.
        found: u64,
    },
}

impl Baseline {
    /// Reads a file's text.
    ///
    /// # Errors
    /// When it is none, or one of another schema.
    pub fn parse(path: &str, name: &str, text: &str) -> Result<Self, BaselineError> {
        let malformed = |why: String| BaselineError::Malformed { path: path.to_owned(), name: name.to_owned(), why };
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
        // The schema first: a file of another one fails for reasons that would mislead.
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(schema) if schema == u64::from(BASELINE_SCHEMA) => {}
            Some(found) => {
                return Err(BaselineError::Schema { path: path.to_owned(), name: name.to_owned(), found });
            }
            None => return Err(malformed("it has no field `schema`".to_owned())),
        }
        let baseline: Self = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        if baseline.counts.is_empty() {
            return Err(malformed("it holds no counts".to_owned()));
        }
        Ok(baseline)
    }

    /// The file's text.
    ///
    /// # Errors
    /// When a value is no number.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Where a run is not like this baseline.
    #[must_use]
    pub fn unlike(&self, work: &Work, here: &Conditions) -> Unlike {
        let mut unlike = Unlike::default();
        let (then, now) = (&self.work, work);
        for (what, baseline, here) in [
            ("scenario", then.scenario.clone(), now.scenario.clone()),
            ("kind of event", then.kind.clone(), now.kind.clone()),
            ("races", then.races.to_string(), now.races.to_string()),
            ("results", then.results.to_string(), now.results.to_string()),
            ("laps", then.laps.to_string(), now.laps.to_string()),
            ("revisions", then.revisions.to_string(), now.revisions.to_string()),
            ("seed", then.seed.to_string(), now.seed.to_string()),
            ("form of pages", then.form.clone(), now.form.clone()),
            ("profile", then.profile.clone(), now.profile.clone()),
        ] {
            // Another engine takes the place of the built-in one: that is the change under test.
            if baseline != here && !(what == "profile" && here == "external") {
                unlike.work.push(Difference { what: what.to_owned(), baseline, here });
            }
        }
        let then = &self.conditions;
        let mut server = Vec::new();
        if then.major() != here.major() {
            server.push(Difference {
                what: "PostgreSQL".to_owned(),
                baseline: then.major().to_owned(),
                here: here.major().to_owned(),
            });
        }
        let names: std::collections::BTreeSet<&String> =
            then.postgres_settings.keys().chain(here.postgres_settings.keys()).collect();
        for name in names {
            let value = |of: &Conditions| of.postgres_settings.get(name).cloned().unwrap_or_default();
            if value(then) != value(here) {
                server.push(Difference { what: name.clone(), baseline: value(then), here: value(here) });
            }
        }
        unlike.wal.clone_from(&server);
        unlike.time = server;
        for (what, baseline, here) in [
            ("build", then.build_profile.clone(), here.build_profile.clone()),
            ("cores", then.cores.to_string(), here.cores.to_string()),
            ("PostgreSQL by", then.backend.clone(), here.backend.clone()),
            ("data in memory", then.data_in_memory.to_string(), here.data_in_memory.to_string()),
        ] {
            if baseline != here {
                unlike.time.push(Difference { what: what.to_owned(), baseline, here });
            }
        }
        unlike
    }
}
