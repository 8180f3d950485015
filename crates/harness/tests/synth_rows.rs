//! Revisions change what they say and nothing else; expected rows are what a database must hold.

#![allow(clippy::unwrap_used, reason = "helpers of tests are no test functions to clippy")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use harness::synth::rows::{Group, RowKind, RowMap, expected_groups};
use harness::synth::{Changes, Correction, Expected, Form, Size, Synth};

fn groups(synth: &Synth) -> BTreeMap<(RowKind, u64), Group> {
    let groups: Vec<Group> = expected_groups(synth).collect();
    let count = groups.len();
    let map: BTreeMap<_, _> = groups.into_iter().map(|g| ((g.kind, g.id), g)).collect();
    assert_eq!(map.len(), count, "a group comes once");
    map
}

fn total(groups: &BTreeMap<(RowKind, u64), Group>, kind: RowKind) -> usize {
    groups.iter().filter(|((k, _), _)| *k == kind).map(|(_, g)| g.rows.len()).sum()
}

#[test]
fn rows_are_counted_by_the_size_and_told_apart() {
    let synth = Synth::new(Size::Medium, 4);
    let groups = groups(&synth);
    for (kind, count) in [
        (RowKind::Events, 1),
        (RowKind::Tracks, 1),
        (RowKind::Races, 16),
        (RowKind::Results, 160),
        (RowKind::Laps, 3_000),
    ] {
        assert_eq!(total(&groups, kind), count, "{}", kind.name());
    }
    assert_eq!(total(&groups, RowKind::Entries), synth.entries().len());
    for group in groups.values() {
        assert!(
            group.rows.windows(2).all(|w| w[0] < w[1]),
            "{} of {}: sorted, no row twice",
            group.kind.name(),
            group.id
        );
        let columns = group.kind.columns().matches('|').count();
        assert!(group.rows.iter().all(|row| row.matches('|').count() == columns), "{}", group.kind.name());
        assert_eq!(group.kind.by_race(), group.id != 0);
    }
}

#[test]
fn an_entry_has_a_driver_only_where_that_is_certain() {
    let synth = Synth::new(Size::Large, 7);
    let groups = groups(&synth);
    let mut raced: HashMap<(String, String), BTreeSet<u64>> = HashMap::new();
    for id in synth.race_ids() {
        let race = synth.race(id).unwrap();
        for result in race.results {
            if let Some(driver) = result.driver_id {
                raced.entry((race.listed.class.clone(), result.name)).or_default().insert(driver);
            }
        }
    }
    let (mut certain, mut not) = (0, 0);
    for row in &groups[&(RowKind::Entries, 0)].rows {
        let columns: Vec<&str> = row.split('|').collect();
        let ids = raced.get(&(columns[1].to_owned(), columns[2].to_owned())).cloned().unwrap_or_default();
        if columns[5] == "~" {
            assert_ne!(ids.len(), 1, "{row}");
            not += 1;
        } else {
            assert_eq!(ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>(), [columns[5]]);
            certain += 1;
        }
    }
    assert!(certain > 50 && not >= 2, "{certain} certain, {not} not");
}

#[test]
fn a_row_reads_as_documented() {
    let synth = Synth::new(Size::Small, 1);
    let event = synth.event();
    let groups = groups(&synth);
    let race = &event.races[0];
    let at = race.completed_at.unwrap();
    let row = &groups[&(RowKind::Races, race.id)].rows[0];
    let day = at.date();
    let start = format!("{}|{}|Main Events|{}|{}|{}|", race.id, event.id, race.number, race.class, race.label);
    let stamp = format!("{:04}-{:02}-{:02}T{:02}:{:02}:00", day.year(), day.month(), day.day(), at.hour(), at.minute());
    assert!(row.starts_with(&format!("{start}{stamp}|")), "{row}");
    assert!(row.ends_with(" Timed|"), "no warnings: {row}");
    let laps = &groups[&(RowKind::Laps, race.id)];
    let winner = &synth.race(race.id).unwrap().results[0];
    let lap = winner.laps[0];
    let text = format!(
        "{}|{}|{}|0|1|{}|{}|{}|{}",
        race.id, winner.shown.driver, winner.name, lap.time_ms, lap.position, lap.pace_laps, lap.pace_ms
    );
    assert!(laps.rows.contains(&text), "{text}");
}

#[test]
fn digests_are_postgres_md5_of_joined_rows() {
    let group = Group { kind: RowKind::Tracks, id: 0, rows: vec!["a|b".to_owned(), "c|d".to_owned()] };
    let digest = group.digest();
    // SELECT md5(E'a|b\nc|d')
    assert_eq!((digest.count, digest.md5.as_str()), (2, "9391fbb70de4ff93684f3b3de02b2f77"));
}

#[test]
fn refused_races_have_no_rows() {
    let bad = Synth::bad_race(Size::Small, 2);
    let failing = bad.failing();
    assert_eq!(failing.len(), 1);
    let (with, without) = (groups(&bad.mended()), groups(&bad));
    assert_eq!(total(&without, RowKind::Races), total(&with, RowKind::Races) - 1);
    assert!(without.keys().all(|(_, id)| *id != failing[0].0));
    let changes = bad.mended().changes_since(&bad);
    assert_eq!(changes, Changes { changed: vec![failing[0].0], ..Changes::default() });
    assert_ne!(bad.race_page(failing[0].0, Form::Raw), bad.mended().race_page(failing[0].0, Form::Raw));
}

#[test]
fn every_correction_changes_exactly_its_races() {
    for (size, seed) in [(Size::Large, 1), (Size::Large, 2), (Size::Medium, 3)] {
        let synth = Synth::new(size, seed);
        let kinds = synth.revision(Synth::REVISIONS);
        assert_eq!(kinds.corrections().len(), Synth::REVISIONS);
        for n in 1..=Synth::REVISIONS {
            let (before, after) = (synth.revision(n - 1), synth.revision(n));
            let correction = after.corrections().last().cloned().unwrap();
            let changes = after.changes_since(&before);
            // The truth by brute force: pages of all races.
            let (old, new): (BTreeSet<u64>, BTreeSet<u64>) =
                (before.race_ids().into_iter().collect(), after.race_ids().into_iter().collect());
            let differs = |id: &u64| before.race_page(*id, Form::Raw) != after.race_page(*id, Form::Raw);
            let changed: Vec<u64> = after.race_ids().into_iter().filter(|id| old.contains(id) && differs(id)).collect();
            assert_eq!(changes.changed, changed, "{correction:?}");
            assert_eq!(changes.added, new.difference(&old).copied().collect::<Vec<_>>());
            assert_eq!(changes.withdrawn, old.difference(&new).copied().collect::<Vec<_>>());
            effect(&before, &after, &correction, &changes);
            // Facts agree: the event's total is the sum of its races'.
            let laps: usize = after.race_ids().into_iter().filter_map(|id| after.race(id)).map(|r| r.lap_count()).sum();
            assert_eq!(after.event().total_laps as usize, laps, "{correction:?}");
        }
    }
}

/// What a correction must have done.
fn effect(before: &Synth, after: &Synth, correction: &Correction, changes: &Changes) {
    let laps = |synth: &Synth, id: &u64| synth.race(*id).unwrap().lap_count();
    match correction {
        Correction::LapRemoved { race, driver, .. } => {
            assert_eq!(changes.changed, [*race]);
            assert_eq!(laps(after, race) + 1, laps(before, race));
            let result = after.race(*race).unwrap().results.into_iter().find(|r| r.shown.driver == *driver).unwrap();
            assert!(result.laps.iter().zip(1..).all(|(lap, n)| lap.number == n), "later laps move up");
        }
        Correction::TimeChanged { race, driver, lap, time_ms } => {
            assert_eq!(changes.changed, [*race]);
            let total = |synth: &Synth| {
                let results = synth.race(*race).unwrap().results;
                results.into_iter().find(|r| r.shown.driver == *driver).unwrap()
            };
            let (was, is) = (total(before), total(after));
            assert_eq!(is.laps[*lap as usize - 1].time_ms, *time_ms);
            assert_eq!(is.total_ms.unwrap(), was.total_ms.unwrap() + 2_345);
            assert_ne!(is.derived, was.derived);
        }
        Correction::DriverAdded { race, driver, name } => {
            assert_eq!(changes.changed, [*race]);
            let results = after.race(*race).unwrap().results;
            assert!(results.iter().any(|r| r.shown.driver == *driver && r.name == *name && !r.laps.is_empty()));
            assert_eq!(results.len(), before.race(*race).unwrap().results.len() + 1);
        }
        Correction::Disqualified { race, driver } => {
            assert_eq!(changes.changed, [*race]);
            let results = after.race(*race).unwrap().results;
            let last = results.last().unwrap();
            assert_eq!((last.shown.driver, last.position, last.behind.as_str()), (*driver, None, ""));
            assert!(!last.laps.is_empty(), "the laps stay");
            assert_eq!((results[0].position, results[0].behind.as_str()), (Some(1), ""));
        }
        Correction::RaceAdded { race, like } => {
            assert_eq!((changes.added.as_slice(), changes.changed.len()), ([*race].as_slice(), 0));
            let (new, old) = (after.race(*race).unwrap(), after.race(*like).unwrap());
            assert_eq!(new.results.len(), old.results.len());
            assert_ne!(new.results[0].total_ms, old.results[0].total_ms);
        }
        Correction::RaceWithdrawn { race } => {
            assert_eq!((changes.withdrawn.as_slice(), changes.changed.len()), ([*race].as_slice(), 0));
            assert_eq!(after.race(*race), None);
            assert_eq!(after.race_page(*race, Form::Raw), None);
        }
        Correction::NameCorrected { driver, name } => {
            assert!(!changes.changed.is_empty());
            assert!(after.entries().iter().filter(|e| e.driver == *driver).all(|e| e.name == *name));
            for id in after.race_ids() {
                let results = after.race(id).unwrap().results;
                assert!(results.iter().filter(|r| r.shown.driver == *driver).all(|r| r.name == *name));
            }
        }
    }
}

#[test]
fn a_correction_of_what_is_not_there_changes_nothing() {
    let synth = Synth::new(Size::Small, 9);
    let id = synth.race_ids()[0];
    let none = synth.revise(&[
        Correction::LapRemoved { race: 1, driver: 2, lap: 3 },
        Correction::TimeChanged { race: id, driver: 2, lap: 3, time_ms: 4 },
        Correction::Disqualified { race: id, driver: 2 },
        Correction::RaceAdded { race: 5, like: 6 },
        Correction::RaceWithdrawn { race: 7 },
        Correction::NameCorrected { driver: 8, name: "NO BODY".to_owned() },
    ]);
    assert_eq!(none.changes_since(&synth), Changes::default());
    assert_eq!(groups(&none), groups(&synth));
}

#[test]
fn edge_cases_hold_what_they_are_named_for() {
    let synth = Synth::edge_cases(1);
    let event = synth.event();
    let races: Vec<_> = event.races.iter().map(|r| synth.race(r.id).unwrap()).collect();
    assert!(races.iter().any(|r| r.results.is_empty()), "an empty race");
    assert!(event.races.iter().any(|r| r.completed_at.is_none()), "a missing time");
    assert!(event.races.iter().any(|r| r.class.ends_with("(17.5T)")), "parentheses in a class");
    assert!(races.iter().any(|r| r.results.iter().any(|r| r.total_ms > Some(3_600_000))), "over an hour");
    assert!(races.iter().any(|r| r.results.iter().any(|r| r.nth == 1)), "equal names without ids");
    let shown: BTreeSet<String> =
        races.iter().flat_map(|r| &r.results).filter_map(|r| r.shown.position.clone()).collect();
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), ["--", "DNF", "DQ"]);
    let entered: BTreeSet<String> = synth.entries().into_iter().map(|e| e.name).collect();
    let strangers = races.iter().flat_map(|r| &r.results).filter(|r| !r.laps.is_empty() && !entered.contains(&r.name));
    assert_eq!(strangers.count(), 1, "a driver in no entry list");
    let mut twins: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in synth.entries() {
        *twins.entry((entry.class, entry.name)).or_default() += 1;
    }
    assert!(twins.values().any(|n| *n == 2), "equal names in one class");
    let why: Vec<&str> = synth.failing().into_iter().map(|(_, why)| why).collect();
    assert_eq!(why, ["there is no result table", "a lap number is given twice"]);
    assert!(event.races.iter().any(|r| synth.oddity(r.id).is_some() && synth.expected(r.id) == Expected::Written));
    assert_eq!(Synth::edge_cases(1).event(), event, "deterministic");
    let bare = Synth::no_entry_list(1).event();
    assert!(!bare.has_entry_list && bare.id != event.id);
    assert!(!Synth::no_entry_list(1).event_page(Form::Raw).contains("view_entry_list"));
}

#[test]
fn every_kind_has_its_sql() {
    let map = RowMap::default();
    for kind in RowKind::ALL {
        for sql in [map.rows_sql(kind), map.group_sql(kind), map.digest_sql(kind)] {
            let sql = sql.expect("a query");
            assert!(sql.contains("$1") && sql.contains("AS line"), "{sql}");
        }
        let columns = kind.columns().matches('|').count() + 1;
        assert_eq!(map.rows_sql(kind).unwrap().matches("coalesce(").count(), columns, "{}", kind.name());
    }
}
