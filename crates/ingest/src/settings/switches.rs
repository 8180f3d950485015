//! Roll-out flags and kill switches: what an operator says over everybody's head, for each cure by itself.
//!
//! `INGEST_ROLLOUT=write_path,lap_batch=5000` switches cures on, whatever file, environment and flags say: to the value of
//! `fast`, or to one that is named. `INGEST_KILL=write_path` switches them off: to the value of `before`. `all` stands for
//! every cure. A kill switch wins over a roll-out flag.

use super::{KEYS, Key, Layers, SettingsError, Source, nearest};

/// Variable of the roll-out flags.
pub const ROLLOUT: &str = "INGEST_ROLLOUT";
/// Variable of the kill switches.
pub const KILL: &str = "INGEST_KILL";

/// The cures: every setting that is part of a profile.
pub fn cures() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| !key.of_cure("before").is_empty())
}

impl Key {
    /// Its value under a profile; empty where it is not part of any.
    fn of_cure(&self, profile: &str) -> &'static str {
        let [before, _, fast] = self.profiles;
        if profile == "before" { before } else { fast }
    }
}

impl Layers {
    /// Reads roll-out flags.
    ///
    /// # Errors
    /// One that names no cure.
    pub(super) fn read_rollout(&mut self, text: &str) -> Result<(), SettingsError> {
        self.switch(text, &Source::Rollout, "fast")
    }

    /// Reads kill switches.
    ///
    /// # Errors
    /// One that names no cure, or has a value.
    pub(super) fn read_kill(&mut self, text: &str) -> Result<(), SettingsError> {
        self.switch(text, &Source::Kill, "before")
    }

    fn switch(&mut self, text: &str, source: &Source, profile: &str) -> Result<(), SettingsError> {
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "all" {
                for key in cures() {
                    self.set(key.name, key.of_cure(profile), source.clone())?;
                }
                continue;
            }
            let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n.trim(), Some(v.trim())));
            let Some(key) = cures().find(|key| key.name == name) else { return Err(no_cure(source, name)) };
            let value = match value {
                None => key.of_cure(profile),
                Some(value) if *source == Source::Rollout => value,
                Some(value) => {
                    let expected = "a kill switch has no value: it brings back that of `before`".to_owned();
                    let (source_of, value) = (source.clone(), value.to_owned());
                    return Err(SettingsError::Value { source_of, name: key.name, value, expected });
                }
            };
            self.set(key.name, value, source.clone())?;
        }
        Ok(())
    }
}

fn no_cure(source: &Source, name: &str) -> SettingsError {
    let names: Vec<_> = cures().map(|key| key.name).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!(" (did you mean `{near}`?)"),
        None => format!(" (it switches: {}, or all)", names.join(", ")),
    };
    SettingsError::Unknown { source_of: source.clone(), name: name.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{LapBatch, RowWrites, Settings, WritePath};

    fn layers(variables: &[(&str, &str)]) -> Result<Layers, SettingsError> {
        let mut layers = Layers::default();
        layers.read_environment(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))?;
        Ok(layers)
    }

    fn source(settings: &Settings, name: &str) -> String {
        settings.resolved().iter().find(|r| r.name == name).unwrap().source.to_string()
    }

    #[test]
    fn a_roll_out_flag_wins_over_a_flag_and_a_kill_switch_over_both() {
        let mut layers =
            layers(&[(KILL, "skip_unchanged"), (ROLLOUT, "write_path, lap_batch=700, skip_unchanged")]).unwrap();
        let flag = |name: &str| Source::Flag(name.to_owned());
        layers.set("profile", "before", flag("profile")).unwrap();
        layers.set("write_path", "unnest", flag("write-path")).unwrap();
        layers.set("skip_unchanged", "true", flag("skip-unchanged")).unwrap();
        let settings = layers.resolve().unwrap();
        assert_eq!(settings.unit.write_path, WritePath::Copy);
        assert_eq!(settings.unit.lap_batch, LapBatch::Rows(700));
        assert!(!settings.unit.skip_unchanged);
        assert_eq!(settings.unit.row_writes, RowWrites::OneByOne, "what is not named stays");
        assert_eq!(source(&settings, "write_path"), "roll-out flag INGEST_ROLLOUT");
        assert_eq!(source(&settings, "skip_unchanged"), "kill switch INGEST_KILL");
        assert_eq!(source(&settings, "row_writes"), "profile");
    }

    #[test]
    fn all_cures_are_killed_at_once() {
        let killed = layers(&[(KILL, "all"), (ROLLOUT, "all")]).unwrap().resolve().unwrap();
        let before = Settings::of(crate::settings::Profile::Before).unwrap();
        assert_eq!((killed.unit, killed.writers), (before.unit, before.writers));
        assert_eq!(killed.race_concurrency, before.race_concurrency);
    }

    #[test]
    fn what_is_no_cure_is_refused() {
        for (variable, text, part) in [
            (KILL, "write_paht", "did you mean `write_path`?"),
            (KILL, "lock_wait", "it switches: select_existing"),
            (ROLLOUT, "copy", "it switches: select_existing"),
            (KILL, "write_path=copy", "a kill switch has no value"),
        ] {
            let error = layers(&[(variable, text)]).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(variable), "{error}");
        }
        let error = layers(&[(ROLLOUT, "write_path=cpoy")]).unwrap().resolve().unwrap_err().to_string();
        assert!(error.contains("roll-out flag INGEST_ROLLOUT: write_path = `cpoy`"), "{error}");
    }
}
