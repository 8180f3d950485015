//! What is rendered is what is read: by the engine's own reader, and by json5 as a second opinion on the script.

#![allow(clippy::unwrap_used, reason = "helpers of tests are no test functions to clippy")]

use harness::synth::{self, Form, Size, Synth, Totals};
use ingest::liverc::{entry_list, event_page, parse_race};
use ingest::model;
use proptest::prelude::*;

fn listed(race: &synth::ListedRace) -> model::ListedRace {
    model::ListedRace {
        id: race.id,
        round: race.round.clone(),
        number: Some(race.number),
        class: race.class.clone(),
        label: race.label.clone(),
        completed_at: race.completed_at,
    }
}

fn event(event: &synth::Event) -> model::Event {
    model::Event {
        id: event.id,
        track: event.track.clone(),
        track_name: event.track_name.clone(),
        name: event.name.clone(),
        first_day: Some(event.first_day),
        last_day: Some(event.last_day),
        entries: Some(event.entries),
        drivers: Some(event.drivers),
        total_laps: Some(event.total_laps),
        has_entry_list: event.has_entry_list,
        races: event.races.iter().map(listed).collect(),
    }
}

fn result(result: &synth::RaceResult) -> model::RaceResult {
    model::RaceResult {
        driver_id: result.driver_id,
        name: result.name.clone(),
        nth: result.nth,
        car_number: result.car_number.clone(),
        position: result.position,
        qualifying: result.qualifying,
        grid: result.grid,
        laps_completed: Some(result.laps_completed),
        total_ms: result.total_ms,
        behind: result.behind.clone(),
        fastest_ms: result.derived.fastest_ms,
        fastest_lap: result.derived.fastest_lap,
        average_ms: result.derived.average_ms,
        average_top5_ms: result.derived.top5_ms,
        average_top10_ms: result.derived.top10_ms,
        average_top15_ms: result.derived.top15_ms,
        top3_ms: result.derived.three_consecutive_ms,
        deviation_ms: result.derived.shown_deviation_ms(),
        consistency_bp: result.derived.shown_consistency_bp(),
        laps: result
            .laps
            .iter()
            .map(|lap| model::Lap {
                number: lap.number,
                position: Some(lap.position),
                time_ms: lap.time_ms,
                pace_laps: Some(lap.pace_laps),
                pace_ms: Some(lap.pace_ms),
            })
            .collect(),
    }
}

fn race(race: &synth::Race) -> model::Race {
    model::Race {
        listed: listed(&race.listed),
        length: race.length.clone(),
        results: race.results.iter().map(result).collect(),
        warnings: Vec::new(),
    }
}

fn entries(synth: &Synth) -> Vec<model::Entry> {
    let entry = |e: synth::Entry| model::Entry {
        class: e.class,
        car_number: e.car_number,
        name: e.name,
        transponder: e.transponder,
    };
    synth.entries().into_iter().map(entry).collect()
}

/// Every page of the event in both forms, read by the engine's reader. Races that must fail must.
fn check(synth: &Synth) {
    let truth = synth.event();
    for form in Form::ALL {
        let page = event_page::parse(&synth.event_page(form)).expect("event page").into_event(&truth.track, truth.id);
        assert_eq!(page, event(&truth));
        match synth.entries_page(form) {
            Some(page) => assert_eq!(entry_list::parse(&page).expect("entry list"), entries(synth)),
            None => assert!(!truth.has_entry_list && synth.entries().is_empty()),
        }
        for list in &truth.races {
            let page = synth.race_page(list.id, form).expect("a listed race has a page");
            let read = parse_race(&page, listed(list));
            match synth.expected(list.id) {
                synth::Expected::Written => {
                    assert_eq!(read.expect("race page"), race(&synth.race(list.id).unwrap()), "race {}", list.id);
                }
                synth::Expected::Failed { why } => assert!(read.is_err(), "race {} must fail: {why}", list.id),
            }
            second_opinion(synth, list.id, &page);
        }
    }
}

/// The script's objects as json5 reads them.
fn second_opinion(synth: &Synth, id: u64, page: &str) {
    if synth.oddity(id).is_some() {
        return;
    }
    let truth = synth.race(id).unwrap();
    let scripted: Vec<_> = truth.results.iter().filter(|r| r.shown.scripted).collect();
    let objects: Vec<&str> = page.split("racerLaps[").filter(|part| part.contains("] = {")).collect();
    assert_eq!(objects.len(), scripted.len());
    for (text, result) in objects.into_iter().zip(scripted) {
        let (key, rest) = text.split_once("] = ").unwrap();
        assert_eq!(key, result.shown.driver.to_string());
        let end = rest.find("positionData").unwrap();
        let object: serde_json::Value = json5::from_str(rest[..end].trim().trim_end_matches(';')).expect("valid JSON5");
        assert_eq!(object["driverName"], result.name);
        let laps = object["laps"].as_array().unwrap();
        assert_eq!(laps.len(), if result.laps.is_empty() { 0 } else { result.laps.len() + 1 });
        for lap in &result.laps {
            let read = &laps[lap.number as usize];
            assert_eq!(read["lapNum"], lap.number.to_string());
            assert_eq!(read["pos"], lap.position.to_string());
            let seconds: f64 = read["time"].as_str().unwrap().parse().unwrap();
            assert!((seconds * 1000.0 - f64::from(lap.time_ms)).abs() < 0.01);
            assert_eq!(read["segments"], serde_json::json!([]));
        }
    }
}

#[test]
fn an_event_with_everything_reads_back() {
    check(&Synth::new(Size::Large, 7));
}

#[test]
fn every_revision_reads_back() {
    let synth = Synth::new(Size::Small, 5);
    for n in 0..=Synth::REVISIONS {
        check(&synth.revision(n));
    }
}

#[test]
fn edge_cases_read_back_or_fail_as_they_must() {
    for seed in 0..4 {
        let edges = Synth::edge_cases(seed);
        assert_eq!(edges.failing().len(), 2);
        check(&edges);
        check(&edges.mended());
        let bare = Synth::no_entry_list(seed);
        assert!(bare.failing().is_empty());
        check(&bare);
    }
}

#[test]
fn every_damage_is_noticed_by_the_reader() {
    for oddity in [
        synth::Oddity::LapRepeated,
        synth::Oddity::NoTable,
        synth::Oddity::ScriptCut,
        synth::Oddity::PageCut,
        synth::Oddity::LapsBackwards,
    ] {
        let synth = Synth::new(Size::Small, 1);
        let id = synth.race_ids()[0];
        check(&synth.with_oddity(id, oddity));
    }
    let bad = Synth::bad_race(Size::Small, 3);
    assert_eq!(bad.failing().len(), 1);
    check(&bad);
    check(&bad.mended());
}

#[test]
fn an_accent_or_an_apostrophe_is_on_the_pages() {
    let synth = Synth::new(Size::Medium, 2);
    let name = synth.entries().into_iter().map(|e| e.name).find(|n| n.contains('\'')).unwrap();
    let pages =
        |form| synth.race_ids().into_iter().filter_map(move |id| Synth::new(Size::Medium, 2).race_page(id, form));
    let escaped = name.replace('\'', "\\'");
    assert!(pages(Form::Raw).any(|page| page.contains(&format!("'driverName' : '{escaped}'"))));
    assert!(pages(Form::Formatted).any(|page| page.contains(&format!("driverName: \"{name}\""))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_event_reads_back(races in 1_u32..10, per_race in 0_u32..12, laps in 0_u32..300, seed: u64) {
        let results = races * per_race;
        let totals = Totals::new(races, results, if results == 0 { 0 } else { laps }).unwrap();
        let synth = Synth::new(Size::Custom(totals), seed);
        if synth.entries().is_empty() {
            // An entry list without a class has no table; LiveRC shows none then.
            return Ok(());
        }
        check(&synth);
    }
}
