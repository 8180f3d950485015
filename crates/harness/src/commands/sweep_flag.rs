//! `--sweep NAME=V1,V2,…`, and the check of every setting before anything is started.

use std::collections::BTreeSet;

use super::Failure;
use crate::nearest::UnknownName;
use crate::scenario::Scenario;

/// One setting and the values that it takes, in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The setting.
    pub name: String,
    /// Its values, in the order given.
    pub values: Vec<String>,
}

impl Sweep {
    /// Reads `NAME=V1,V2,…`.
    ///
    /// # Errors
    /// What is wrong with the text; names and values are looked at by [`check`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, values) = text.split_once('=').ok_or_else(|| {
            format!("`{text}` is not of the form NAME=VALUE,VALUE, for example race_concurrency=1,2,4,8,16")
        })?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut seen = BTreeSet::new();
        for value in &values {
            if value.is_empty() {
                return Err(format!("`{text}` has an empty value"));
            }
            if !seen.insert(value) {
                return Err(format!("`{text}` has the value {value} twice; --trials repeats all of them"));
            }
        }
        Ok(Self { name: name.trim().to_owned(), values })
    }
}

/// Refuses what an engine would refuse later: settings that do not exist, values that they cannot have, and settings that are
/// the harness's to make. `set` names those that came by `--set`.
///
/// # Errors
/// The first that is wrong, by the flag or scenario that it came from.
pub fn check(scenario: &Scenario, set: &BTreeSet<String>, sweep: Option<&Sweep>) -> Result<(), Failure> {
    for (name, value) in &scenario.engine.settings {
        let from = if set.contains(name) { "--set".to_owned() } else { format!("scenario {}", scenario.name) };
        setting(name, value).map_err(|why| Failure::usage(format!("{from}: {why}")))?;
    }
    let Some(sweep) = sweep else { return Ok(()) };
    let refuse = |why: String| Failure::usage(format!("--sweep: {why}"));
    if scenario.engine.command.is_some() {
        return Err(refuse("settings are the built-in engine's; another engine's command has none".to_owned()));
    }
    if set.contains(&sweep.name) {
        return Err(refuse(format!("{} is given by --set as well; leave one of them out", sweep.name)));
    }
    for value in &sweep.values {
        setting(&sweep.name, value).map_err(refuse)?;
    }
    Ok(())
}

/// Refuses a setting that does not exist, a value that it cannot have, and what is the harness's to set.
///
/// # Errors
/// What is wrong, and what it should be.
pub fn setting(name: &str, value: &str) -> Result<(), String> {
    match name {
        "profile" => Err("the profile is chosen by --profile, which may be given several times".to_owned()),
        "liverc.base_url" => Err("liverc.base_url is the harness's to set: it serves the pages itself".to_owned()),
        _ => {
            let known = ingest::cli::setting_names();
            if !known.contains(&name) {
                return Err(UnknownName::new("setting", name, &known).to_string());
            }
            ingest::cli::check_setting(name, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order() {
        let sweep = Sweep::parse("race_concurrency = 16, 1,4").unwrap();
        assert_eq!(
            (sweep.name.as_str(), sweep.values),
            ("race_concurrency", vec!["16".into(), "1".into(), "4".into()])
        );
    }

    #[test]
    fn what_is_no_sweep_says_so() {
        for (text, part) in [
            ("race_concurrency", "NAME=VALUE,VALUE"),
            ("race_concurrency=1,,2", "empty"),
            ("race_concurrency=", "empty"),
            ("race_concurrency=2,2", "twice"),
        ] {
            assert!(Sweep::parse(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn settings_are_refused_with_what_they_should_be() {
        for (name, value, part) in [
            ("race_concurency", "4", "race_concurrency"),
            ("race_concurrency", "0", "whole number from 1"),
            ("write_path", "cpoy", "copy"),
            ("profile", "fast", "--profile"),
            ("liverc.base_url", "https://example.org", "harness"),
        ] {
            let why = setting(name, value).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(setting("race_concurrency", "16"), Ok(()));
        assert_eq!(setting("liverc.min_delay", "10ms"), Ok(()));
    }
}
