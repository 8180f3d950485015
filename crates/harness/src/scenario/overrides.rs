//! What flags change in a scenario.

use std::num::NonZeroU32;

use super::error::ScenarioError;
use super::model::{Known, Scenario};
use crate::faults::{Fault, FaultError};
use crate::nearest::UnknownName;
use crate::oracle::OracleName;
use crate::quantity::Span;

/// Changes on top of a scenario. What is not given stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--profile`, as often as wanted; takes the place of the scenario's list.
    pub profiles: Vec<String>,
    /// `--trials`.
    pub trials: Option<NonZeroU32>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--set NAME=VALUE`, as often as wanted.
    pub settings: Vec<(String, String)>,
    /// `--engine`: another engine's command.
    pub command: Option<Vec<String>>,
    /// `--fault` and its shorthands; added to the scenario's own.
    pub faults: Vec<Fault>,
    /// `--database-rtt`.
    pub database_rtt: Option<Span>,
    /// `--liverc-latency`.
    pub liverc_latency: Option<Span>,
}

impl Overrides {
    /// Takes `NAME=VALUE` of `--set`.
    ///
    /// # Errors
    /// When there is no `=` in it.
    pub fn set(&mut self, text: &str) -> Result<(), ScenarioError> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            flag("--set", format!("`{text}` is not of the form NAME=VALUE, for example race_concurrency=16"))
        })?;
        self.settings.push((name.trim().to_owned(), value.trim().to_owned()));
        Ok(())
    }

    /// Takes the value of `--fault`, `--crash-at`, `--drop-network-at` or `--lose-db-at`, with the function that reads it:
    /// `overrides.fault("--crash-at", Fault::crash_at(text))`.
    ///
    /// # Errors
    /// When it is no fault.
    pub fn fault(&mut self, name: &'static str, fault: Result<Fault, FaultError>) -> Result<(), ScenarioError> {
        self.faults.push(fault.map_err(|e| flag(name, e.to_string()))?);
        Ok(())
    }
}

fn flag(flag: &'static str, message: impl Into<String>) -> ScenarioError {
    ScenarioError::Flag { flag, message: message.into() }
}

impl Scenario {
    /// The scenario as the flags have it. A fault brings `durable` along, since that is what it is there to show.
    ///
    /// # Errors
    /// An unknown profile or setting, with the nearest one; or settings for an engine that is not the built-in one.
    pub fn with(mut self, overrides: &Overrides, known: Known<'_>) -> Result<Self, ScenarioError> {
        let Overrides { profiles, trials, seed, settings, command, faults, database_rtt, liverc_latency } = overrides;
        if let Some(command) = command {
            if !command.iter().any(|arg| arg.contains("{event_id}")) {
                return Err(flag(
                    "--engine",
                    "the command does not say which event: put {event_id} among its arguments",
                ));
            }
            self.engine.command = Some(command.clone());
            self.engine.profiles.clear();
            self.engine.settings.clear();
        }
        if self.engine.command.is_some() && !(profiles.is_empty() && settings.is_empty()) {
            let name = if profiles.is_empty() { "--set" } else { "--profile" };
            return Err(flag(
                name,
                "profiles and settings are the built-in engine's; another engine's command has none",
            ));
        }
        for profile in profiles {
            if !known.profiles.contains(&profile.as_str()) {
                return Err(flag("--profile", UnknownName::new("profile", profile, known.profiles).to_string()));
            }
        }
        if !profiles.is_empty() {
            self.engine.profiles.clear();
            for profile in profiles {
                if !self.engine.profiles.contains(profile) {
                    self.engine.profiles.push(profile.clone());
                }
            }
        }
        for (name, value) in settings {
            if !known.settings.contains(&name.as_str()) {
                return Err(flag("--set", UnknownName::new("setting", name, known.settings).to_string()));
            }
            self.engine.settings.insert(name.clone(), value.clone());
        }
        if let Some(trials) = trials {
            self.trials = trials.get();
        }
        if let Some(seed) = seed {
            self.event.seed = *seed;
        }
        if !faults.is_empty() {
            for fault in faults {
                super::load::check_fault(fault, self.load.is_some()).map_err(|why| flag("--fault", why))?;
            }
            self.faults.extend_from_slice(faults);
            if self.load.is_none() && !self.oracles.contains(&OracleName::Durable) {
                self.oracles.push(OracleName::Durable);
            }
        }
        if self.load.is_some() {
            super::load::check(&self).map_err(|why| ScenarioError::Flag { flag: "--profile", message: why })?;
        }
        self.network.database_rtt = database_rtt.or(self.network.database_rtt);
        self.network.liverc_latency = liverc_latency.or(self.network.liverc_latency);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::{KNOWN, parse};
    use super::*;

    fn small() -> Scenario {
        parse("[event]\nsize = \"small\"\n[engine]\nprofiles = [\"after\"]\nsettings = { lap_batch = 500 }").unwrap()
    }

    #[test]
    fn nothing_given_changes_nothing() {
        assert_eq!(small().with(&Overrides::default(), KNOWN).unwrap(), small());
    }

    #[test]
    fn what_is_given_wins_and_reads_back_from_the_resolved_text() {
        let mut overrides = Overrides {
            profiles: vec!["before".into(), "fast".into(), "before".into()],
            trials: NonZeroU32::new(7),
            seed: Some(u64::MAX),
            database_rtt: Some("1ms".parse().unwrap()),
            liverc_latency: Some("50ms".parse().unwrap()),
            ..Overrides::default()
        };
        overrides.set("race_concurrency=16").unwrap();
        overrides.set("lap_batch = 9").unwrap();
        overrides.fault("--crash-at", Fault::crash_at("mid-batch")).unwrap();
        overrides.fault("--fault", "commit#3:sent=db-blackhole:1.5s".parse()).unwrap();
        let scenario = small().with(&overrides, KNOWN).unwrap();
        assert_eq!(scenario.engine.profiles, ["before", "fast"]);
        assert_eq!((scenario.trials, scenario.event.seed, scenario.faults.len()), (7, u64::MAX, 2));
        assert_eq!(scenario.engine.settings["lap_batch"], "9");
        assert!(scenario.oracles.contains(&OracleName::Durable), "a fault is there to show it");
        assert!(scenario.needs_proxy());
        assert_eq!(Scenario::parse("test.toml", &scenario.resolved(), KNOWN).unwrap(), scenario);
    }

    #[test]
    fn another_engine_has_neither_profiles_nor_settings() {
        let command = Some(vec!["./engine".to_owned(), "{track}".to_owned(), "{event_id}".to_owned()]);
        let overrides = Overrides { command, ..Overrides::default() };
        let scenario = small().with(&overrides, KNOWN).unwrap();
        assert!(scenario.engine.profiles.is_empty() && scenario.engine.settings.is_empty());
        assert_eq!(Scenario::parse("test.toml", &scenario.resolved(), KNOWN).unwrap(), scenario);
        let both = Overrides { profiles: vec!["fast".into()], ..overrides };
        assert!(small().with(&both, KNOWN).unwrap_err().to_string().starts_with("--profile: "));
    }

    #[test]
    fn a_typo_on_the_command_line_names_the_flag_and_the_nearest() {
        let error = |overrides: &Overrides| small().with(overrides, KNOWN).unwrap_err().to_string();
        let profile = Overrides { profiles: vec!["fsat".into()], ..Overrides::default() };
        assert_eq!(error(&profile), "--profile: unknown profile `fsat`; did you mean `fast`?");
        let mut setting = Overrides::default();
        setting.set("lap_bacth=5").unwrap();
        assert_eq!(error(&setting), "--set: unknown setting `lap_bacth`; did you mean `lap_batch`?");
        assert!(setting.set("lap_batch").unwrap_err().to_string().contains("NAME=VALUE"));
        let crash = setting.fault("--crash-at", Fault::crash_at("mid-bacth")).unwrap_err().to_string();
        assert_eq!(crash, "--crash-at: unknown step `mid-bacth`; did you mean `mid-batch`?");
    }
}
