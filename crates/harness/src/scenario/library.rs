//! The scenarios that come with the harness, and those in `./scenarios`, which win.

use std::path::Path;

use super::error::ScenarioError;
use super::model::{Known, Scenario};
use super::read::first_comment;
use crate::nearest::UnknownName;

/// Folder that is looked into first, below the current one.
const FOLDER: &str = "scenarios";

macro_rules! shipped {
    ($($name:literal)+) => {
        /// The scenarios that are part of the binary: name and text.
        const SHIPPED: &[(&str, &str)] = &[
            $(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/", $name, ".toml"))),)+
        ];
    };
}

shipped! {
    "small-event"
    "medium-event"
    "large-event"
    "very-large-event"
    "week-event"
    "huge-event"
    "small-machine"
    "event-corrected"
    "edge-cases"
    "no-entry-list"
    "bad-race"
    "bad-race-then-fixed"
    "crash-mid-batch"
    "crash-mid-unit"
    "crash-before-commit"
    "crash-after-commit"
    "crash-before-complete"
    "ambiguous-commit"
    "db-restart"
    "db-kill"
    "db-connection-loss"
    "db-failover"
    "db-failover-async"
    "db-disk-full"
    "db-contention"
    "network-drop"
    "network-slow"
    "liverc-rate-limited"
    "liverc-outage"
    "liverc-truncated"
    "liverc-bad-pages"
    "stalled-worker"
    "event-corrected-crash"
    "bad-day"
    "gate"
    "phases"
    "load-steady"
    "load-spike"
    "load-soak"
    "worker-killed"
    "server-killed"
    "lost-response"
    "two-workers-one-event"
    "poison-event"
}

/// A scenario that can be run by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name.
    pub name: String,
    /// First comment of its file; empty where it has none.
    pub description: String,
    /// Where it comes from: its path, or `built in`.
    pub source: String,
}

/// Finds a scenario: a path (it holds a slash or ends in `.toml`) is read as it is; a name is looked for in `./scenarios`
/// first, then among the built-in ones.
///
/// # Errors
/// When there is none, with the nearest name; or what is wrong in its file.
pub fn load(name_or_path: &str, known: Known<'_>) -> Result<Scenario, ScenarioError> {
    load_from(Path::new(FOLDER), name_or_path, known)
}

/// All scenarios that [`load`] knows by name: the built-in ones in their order, then the others of `./scenarios` by name.
#[must_use]
pub fn list() -> Vec<Listed> {
    list_from(Path::new(FOLDER))
}

fn load_from(folder: &Path, name_or_path: &str, known: Known<'_>) -> Result<Scenario, ScenarioError> {
    if name_or_path.contains('/') || Path::new(name_or_path).extension().is_some_and(|e| e == "toml") {
        return Scenario::parse(name_or_path, &read(name_or_path)?, known);
    }
    let path = folder.join(name_or_path).with_extension("toml");
    if path.is_file() {
        let path = path.display().to_string();
        return Scenario::parse(&path, &read(&path)?, known);
    }
    if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
        return Scenario::parse(&format!("{FOLDER}/{name}.toml"), text, known);
    }
    let listed = list_from(folder);
    let names: Vec<_> = listed.iter().map(|l| l.name.as_str()).collect();
    Err(ScenarioError::NoSuch(UnknownName::new("scenario", name_or_path, &names)))
}

fn read(path: &str) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path)
        .map_err(|e| ScenarioError::Unreadable { path: path.to_owned(), reason: e.to_string() })
}

fn list_from(folder: &Path) -> Vec<Listed> {
    let mut all: Vec<Listed> = SHIPPED
        .iter()
        .map(|(name, text)| Listed {
            name: (*name).to_owned(),
            description: first_comment(text),
            source: "built in".into(),
        })
        .collect();
    // A folder that is not there, or a file that cannot be read, is no scenario; running it says why.
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut own: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    own.sort();
    for path in own {
        let (Some(name), Ok(text)) = (path.file_stem().and_then(|s| s.to_str()), std::fs::read_to_string(&path)) else {
            continue;
        };
        let found =
            Listed { name: name.to_owned(), description: first_comment(&text), source: path.display().to_string() };
        match all.iter_mut().find(|listed| listed.name == name) {
            Some(listed) => *listed = found,
            None => all.push(found),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::event::EventKind;
    use super::super::read::tests::KNOWN;
    use super::*;
    use crate::oracle::OracleName;

    fn shipped() -> impl Iterator<Item = Scenario> {
        let (profiles, settings) = (ingest::cli::profile_names(), ingest::cli::setting_names());
        // A folder that is not there: what is found is what the binary holds.
        SHIPPED.iter().map(move |(name, _)| {
            let known = Known { profiles: &profiles, settings: &settings };
            load_from(Path::new("/nowhere"), name, known).unwrap_or_else(|e| panic!("{e}"))
        })
    }

    #[test]
    fn every_file_in_the_folder_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let files = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path());
        let mut names: Vec<_> = files.map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        let mut built_in: Vec<_> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        built_in.sort();
        assert_eq!(names, built_in);
    }

    #[test]
    fn every_shipped_scenario_reads_says_what_it_shows_and_writes_back_equal() {
        for scenario in shipped() {
            assert!(scenario.description.len() > 40, "{}: {}", scenario.name, scenario.description);
            let (profiles, settings) = (ingest::cli::profile_names(), ingest::cli::setting_names());
            let known = Known { profiles: &profiles, settings: &settings };
            let again = Scenario::parse(&format!("{}.toml", scenario.name), &scenario.resolved(), known);
            assert_eq!(again.as_ref(), Ok(&scenario), "{}", scenario.resolved());
            let load = scenario.load.is_some();
            let needs_no_fault = OracleName::ALL.iter().filter(|o| o.applies(load) && **o != OracleName::Durable);
            assert!(needs_no_fault.into_iter().all(|o| scenario.oracles.contains(o)), "{}", scenario.name);
        }
    }

    #[test]
    fn the_sizes_are_those_of_the_main_job() {
        for (name, totals) in [
            ("small-event", (8, 80, 800)),
            ("medium-event", (16, 160, 3_000)),
            ("large-event", (40, 480, 10_000)),
            ("very-large-event", (100, 1_000, 50_000)),
            ("huge-event", (2_000, 24_000, 1_000_000)),
        ] {
            let scenario = load_from(Path::new("/nowhere"), name, KNOWN).unwrap();
            let size = scenario.event.size.totals();
            assert_eq!((size.races(), size.results(), size.laps()), totals, "{name}");
        }
        let huge = load_from(Path::new("/nowhere"), "huge-event", KNOWN).unwrap();
        assert_eq!(huge.limits.engine_peak_rss_bytes, Some(150_000_000));
    }

    #[test]
    fn the_races_that_must_fail_are_those_that_cannot_be_read_in_every_revision() {
        for scenario in shipped().filter(|s| s.event.kind != EventKind::Plain || !s.event.revisions.is_empty()) {
            for (i, synth) in scenario.event.synths().unwrap().iter().enumerate() {
                let ids = synth.race_ids();
                let failing: Vec<u32> = synth
                    .failing()
                    .iter()
                    .map(|(id, _)| u32::try_from(ids.iter().position(|i| i == id).unwrap()).unwrap() + 1)
                    .collect();
                assert_eq!(scenario.must_fail(i + 1), failing, "{}, revision {}", scenario.name, i + 1);
            }
        }
    }

    #[test]
    fn own_files_win_and_are_listed_with_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let text = "# Mine.\n[event]\nsize = \"medium\"\n";
        std::fs::write(folder.path().join("small-event.toml"), text).unwrap();
        std::fs::write(folder.path().join("my-own.toml"), text).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a scenario").unwrap();
        let own = load_from(folder.path(), "small-event", KNOWN).unwrap();
        assert_eq!((own.name.as_str(), own.description.as_str()), ("small-event", "Mine."));
        assert_eq!(own.event.size, crate::synth::Size::Medium);
        let listed = list_from(folder.path());
        assert_eq!(listed.len(), SHIPPED.len() + 1);
        assert_eq!(listed[0].description, "Mine.");
        assert_eq!(listed.last().unwrap().name, "my-own");
        let path = folder.path().join("my-own.toml").display().to_string();
        assert_eq!(load_from(Path::new("/nowhere"), &path, KNOWN).unwrap().name, "my-own");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_and_a_path_the_systems_reason() {
        let error = load_from(Path::new("/nowhere"), "large-evnet", KNOWN).unwrap_err().to_string();
        assert!(error.starts_with("unknown scenario `large-evnet`; did you mean `large-event`?"), "{error}");
        let error = load_from(Path::new("/nowhere"), "./absent.toml", KNOWN).unwrap_err().to_string();
        assert!(error.starts_with("cannot read ./absent.toml: "), "{error}");
    }
}
