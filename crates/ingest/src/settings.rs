//! The engine's settings: where each value comes from, and what a commit unit runs under.
//!
//! default < profile < file (`--config`) < environment (`INGEST_*`) < flag < roll-out flag (`INGEST_ROLLOUT`) < kill switch
//! (`INGEST_KILL`). Every value knows its source.

mod keys;
mod switches;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::retry::RetryPolicy;
pub use keys::{KEYS, Key};
pub use switches::{KILL, ROLLOUT, cures};
pub use values::{LapBatch, PoolSize, Profile, RowWrites, WritePath};

/// The base URL pattern of the real site.
pub const REAL_SITE: &str = "https://{track}.liverc.com";

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nowhere: the engine's own.
    Default,
    /// The profile.
    Profile,
    /// The configuration file.
    File(String),
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(String),
    /// A roll-out flag.
    Rollout,
    /// A kill switch.
    Kill,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile => f.write_str("profile"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Rollout => write!(f, "roll-out flag {ROLLOUT}"),
            Self::Kill => write!(f, "kill switch {KILL}"),
        }
    }
}

/// What a commit unit runs under: resolved once, immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitSettings {
    /// A SELECT of existing keys ahead of each lap batch.
    pub select_existing: bool,
    /// Rows of a lap batch.
    pub lap_batch: LapBatch,
    /// Lap batches go across the races of the unit.
    pub accumulate_laps: bool,
    /// How drivers, entries and results are written.
    pub row_writes: RowWrites,
    /// How laps are written.
    pub write_path: WritePath,
    /// Races and rows that are equal to what is stored are not written.
    pub skip_unchanged: bool,
    /// Most races of a unit.
    pub commit_races: u32,
    /// Most bytes that the laps of a unit may take, counted by [`crate::store::LAP_BYTES`] each.
    pub memory_budget: u64,
    /// A needless statement for each race: what a gate must notice. Hidden from users.
    pub extra_statement: bool,
}

/// How the site is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivercSettings {
    /// Base URL pattern; `{track}` stands for the track.
    pub base_url: String,
    /// Requests in flight at once.
    pub max_in_flight: u32,
    /// Time between the starts of two requests.
    pub min_delay: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest silence: until the first byte, and between two.
    pub read_timeout: Duration,
    /// Longest time for a whole page.
    pub page_timeout: Duration,
    /// Largest page that is read, bytes.
    pub max_page: u64,
}

/// How the database is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// Most connections of the pool.
    pub pool_size: u32,
    /// Longest wait for a connection, connecting included.
    pub acquire_timeout: Duration,
    /// Longest time for one statement.
    pub statement_timeout: Duration,
    /// How long the lock of the event is waited for.
    pub lock_wait: Duration,
    /// How long the server keeps the lock of an engine that gives no sign of life, and a transaction that does nothing.
    pub lock_lease: Duration,
}

/// All settings of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The profile that the others start from.
    pub profile: Profile,
    /// What units run under.
    pub unit: UnitSettings,
    /// Race pages in flight.
    pub race_concurrency: u32,
    /// Units that are written side by side.
    pub writers: u32,
    /// The site.
    pub liverc: LivercSettings,
    /// The database.
    pub database: DatabaseSettings,
    /// Retries of pages and units.
    pub retry: RetryPolicy,
    resolved: Vec<Resolved>,
}

/// One setting as it came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Its name.
    pub name: &'static str,
    /// Its value, as text that reads back.
    pub value: String,
    /// Who said so.
    pub source: Source,
    /// Of a value that is left to the engine (`auto`): what it comes to, and how that is found.
    pub comes_to: Option<(String, &'static str)>,
}

/// Why settings were refused.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    /// No setting of that name.
    #[error("{source_of}: unknown setting `{name}`{hint}; `ingest settings` lists them all")]
    Unknown {
        /// Where it was said.
        source_of: Source,
        /// The name.
        name: String,
        /// ` (did you mean …?)` or nothing.
        hint: String,
    },
    /// A value that the setting cannot have.
    #[error("{source_of}: {name} = `{value}`: {expected}")]
    Value {
        /// Where it was said.
        source_of: Source,
        /// The setting.
        name: &'static str,
        /// The value.
        value: String,
        /// What it should be.
        expected: String,
    },
    /// The configuration file is no use.
    #[error("configuration file {path}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Raw values by setting, the strongest source kept.
#[derive(Debug, Default)]
pub struct Layers {
    values: BTreeMap<&'static str, (String, Source)>,
}

impl Layers {
    /// Sets a value. A stronger source wins, whatever the order of calls.
    ///
    /// # Errors
    /// The name is no setting's.
    pub fn set(&mut self, name: &str, value: impl Into<String>, source: Source) -> Result<(), SettingsError> {
        let Some(key) = keys::find(name) else {
            let names = KEYS.iter().map(|k| k.name);
            let hint = nearest(name, names).map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default();
            return Err(SettingsError::Unknown { source_of: source, name: name.to_owned(), hint });
        };
        match self.values.get(key.name) {
            Some((_, stronger)) if *stronger > source => {}
            _ => {
                self.values.insert(key.name, (value.into(), source));
            }
        }
        Ok(())
    }

    /// Reads a TOML file: top-level settings, and those of LiveRC under `[liverc]`.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, or holds unknown settings or values that are neither text, number nor truth value.
    pub fn read_file(&mut self, path: &str) -> Result<(), SettingsError> {
        let fail = |reason: String| SettingsError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| fail(e.to_string()))?;
        self.read_table("", &table, path)
    }

    fn read_table(&mut self, prefix: &str, table: &toml::Table, path: &str) -> Result<(), SettingsError> {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            let text = match value {
                toml::Value::Table(inner) if prefix.is_empty() => {
                    self.read_table(&format!("{name}."), inner, path)?;
                    continue;
                }
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(truth) => truth.to_string(),
                other => {
                    let reason =
                        format!("`{name}` is a {}; settings are text, whole numbers or true/false", other.type_str());
                    return Err(SettingsError::File { path: path.to_owned(), reason });
                }
            };
            self.set(&name, text, Source::File(path.to_owned()))?;
        }
        Ok(())
    }

    /// Reads `INGEST_*` and `LIVERC_BASE_URL` from these variables, roll-out flags and kill switches among them.
    ///
    /// # Errors
    /// An `INGEST_` variable that is no setting's; a roll-out flag or kill switch that names no cure.
    pub fn read_environment(&mut self, vars: impl Iterator<Item = (String, String)>) -> Result<(), SettingsError> {
        for (variable, value) in vars {
            let source = Source::Environment(variable.clone());
            if variable == contract::env::LIVERC_BASE_URL {
                if !value.is_empty() {
                    self.set("liverc.base_url", value, source)?;
                }
            } else if variable == ROLLOUT {
                self.read_rollout(&value)?;
            } else if variable == KILL {
                self.read_kill(&value)?;
            } else if let Some(rest) = variable.strip_prefix("INGEST_") {
                match KEYS.iter().find(|k| k.variable() == variable) {
                    Some(key) => self.set(key.name, value, source)?,
                    None => {
                        let all: Vec<_> = KEYS.iter().map(Key::variable).collect();
                        let hint = nearest(&variable, all.iter().map(String::as_str))
                            .map(|n| format!(" (did you mean `{n}`?)"))
                            .unwrap_or_default();
                        return Err(SettingsError::Unknown { source_of: source, name: rest.to_lowercase(), hint });
                    }
                }
            }
        }
        Ok(())
    }

    /// Resolves every setting.
    ///
    /// # Errors
    /// A value that its setting cannot have.
    pub fn resolve(self) -> Result<Settings, SettingsError> {
        values::resolve(self.values)
    }
}

impl Settings {
    /// The settings of a profile and nothing else.
    ///
    /// # Errors
    /// None in practice: the profiles' own values are valid.
    pub fn of(profile: Profile) -> Result<Self, SettingsError> {
        Self::with(profile, &[])
    }

    /// The settings of a profile with some of its own.
    ///
    /// # Errors
    /// An unknown name or value.
    pub fn with(profile: Profile, own: &[(&str, &str)]) -> Result<Self, SettingsError> {
        let mut layers = Layers::default();
        layers.set("profile", profile.to_string(), Source::Flag("profile".to_owned()))?;
        for (name, value) in own {
            layers.set(name, *value, Source::Flag((*name).to_owned()))?;
        }
        layers.resolve()
    }

    /// Every setting with its value and source, in the order of [`KEYS`].
    #[must_use]
    pub fn resolved(&self) -> &[Resolved] {
        &self.resolved
    }
}

/// The nearest of some names, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|n| (strsim::damerau_levenshtein(n, name), n))
        .filter(|&(distance, n)| distance <= (n.len() / 3).max(2))
        .min()
        .map(|(_, n)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_profiles_are_the_documented_ones() {
        let before = Settings::of(Profile::Before).unwrap();
        let after = Settings::of(Profile::After).unwrap();
        let fast = Settings::of(Profile::Fast).unwrap();
        let row = |s: &Settings| {
            let u = s.unit;
            let lap_batch = u.lap_batch.to_string();
            (u.select_existing, lap_batch, s.race_concurrency, u.commit_races, u.accumulate_laps, u.skip_unchanged)
        };
        assert_eq!(row(&before), (true, "1000".to_owned(), 4, 10, false, false));
        assert_eq!(row(&after), (false, "5000".to_owned(), 8, 20, true, false));
        assert_eq!(row(&fast), (false, "auto".to_owned(), 8, 20, true, true));
        assert_eq!((before.unit.row_writes, before.unit.write_path), (RowWrites::OneByOne, WritePath::Insert));
        assert_eq!((after.unit.row_writes, after.unit.write_path), (RowWrites::OneByOne, WritePath::Insert));
        assert_eq!((fast.unit.row_writes, fast.unit.write_path), (RowWrites::Batched, WritePath::Copy));
        assert_eq!((before.database.pool_size, fast.database.pool_size), (13, 21));
    }

    #[test]
    fn an_automatic_pool_size_says_what_it_comes_to() {
        let of = |own: &[(&str, &str)]| {
            let settings = Settings::with(Profile::Fast, own).unwrap();
            let row = settings.resolved().iter().find(|r| r.name == "pool_size").unwrap();
            (row.value.clone(), row.comes_to.as_ref().map(|(value, _)| value.clone()))
        };
        assert_eq!(of(&[("race_concurrency", "3")]), ("auto".to_owned(), Some("11".to_owned())));
        assert_eq!(of(&[("pool_size", "7")]), ("7".to_owned(), None));
    }

    #[test]
    fn a_stronger_source_wins_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ingest.toml");
        std::fs::write(&path, "profile = 'before'\nlap_batch = 700\ncommit_races = 3\n[liverc]\nmin_delay = '1.5s'\n")
            .unwrap();
        let path = path.display().to_string();
        let mut layers = Layers::default();
        layers.set("lap_batch", "900", Source::Flag("lap-batch".into())).unwrap();
        layers
            .read_environment(vars(&[("INGEST_LAP_BATCH", "800"), ("INGEST_COMMIT_RACES", "4"), ("PATH", "x")]))
            .unwrap();
        layers.read_file(&path).unwrap();
        let settings = layers.resolve().unwrap();
        assert_eq!(settings.unit.lap_batch, LapBatch::Rows(900));
        assert_eq!(settings.unit.commit_races, 4);
        assert_eq!(settings.liverc.min_delay, Duration::from_millis(1500));
        assert!(settings.unit.select_existing);
        let source = |name: &str| settings.resolved().iter().find(|r| r.name == name).unwrap().source.clone();
        assert_eq!(source("lap_batch"), Source::Flag("lap-batch".into()));
        assert_eq!(source("commit_races"), Source::Environment("INGEST_COMMIT_RACES".into()));
        assert_eq!(source("liverc.min_delay"), Source::File(path));
        assert_eq!(source("select_existing"), Source::Profile);
        assert_eq!(source("lock_wait"), Source::Default);
    }

    #[test]
    fn what_is_misspelt_is_refused_with_the_nearest_name() {
        let mut layers = Layers::default();
        let err = layers.set("lap_bacth", "1", Source::Flag("set".into())).unwrap_err().to_string();
        assert!(err.contains("did you mean `lap_batch`?"), "{err}");
        let err = layers.read_environment(vars(&[("INGEST_WRITE_PTAH", "copy")])).unwrap_err().to_string();
        assert!(err.contains("did you mean `INGEST_WRITE_PATH`?"), "{err}");
        for (name, value, part) in [
            ("write_path", "cpoy", "did you mean `copy`?"),
            ("profile", "fats", "did you mean `fast`?"),
            ("lap_batch", "0", "from 1"),
            ("skip_unchanged", "yes", "true or false"),
            ("lock_wait", "30", "a duration such as"),
            ("memory_budget", "64", "a size such as"),
            ("liverc.base_url", "ftp://x", "http"),
        ] {
            let err = Settings::with(Profile::Fast, &[(name, value)]).unwrap_err().to_string();
            assert!(err.contains(part) && err.contains(value) && err.contains(name), "{name}: {err}");
        }
    }

    #[test]
    fn the_real_site_is_asked_politely_unless_one_says_otherwise() {
        let real = Settings::of(Profile::Fast).unwrap().liverc;
        assert_eq!((real.max_in_flight, real.min_delay), (1, Duration::from_secs(1)));
        let mock = Settings::with(Profile::Fast, &[("liverc.base_url", "http://127.0.0.1:1/{track}")]).unwrap().liverc;
        assert_eq!((mock.max_in_flight, mock.min_delay), (8, Duration::ZERO));
        let own = Settings::with(Profile::Fast, &[("liverc.max_in_flight", "3")]).unwrap().liverc;
        assert_eq!(own.max_in_flight, 3);
    }

    #[test]
    fn every_value_reads_back() {
        for profile in [Profile::Before, Profile::After, Profile::Fast] {
            let settings = Settings::of(profile).unwrap();
            let own: Vec<_> = settings.resolved().iter().map(|r| (r.name, r.value.as_str())).collect();
            let again = Settings::with(profile, &own).unwrap();
            assert_eq!((again.unit, again.liverc, again.database), (settings.unit, settings.liverc, settings.database));
        }
    }
}
