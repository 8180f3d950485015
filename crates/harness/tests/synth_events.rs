//! The generator keeps its word: exact totals, determinism, believable races.

#![allow(clippy::unwrap_used, reason = "helpers of tests are no test functions to clippy")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use harness::synth::{Form, Size, Synth, Totals};
use proptest::prelude::*;

/// Races, results and laps of an event, by generating all of it.
fn count(synth: &Synth) -> (u32, u32, u32) {
    let mut sum = (0, 0, 0);
    for id in synth.race_ids() {
        let race = synth.race(id).expect("a listed race exists");
        sum.0 += 1;
        sum.1 += u32::try_from(race.results.len()).unwrap();
        sum.2 += u32::try_from(race.lap_count()).unwrap();
    }
    sum
}

fn expected(size: Size) -> (u32, u32, u32) {
    let totals = size.totals();
    (totals.races(), totals.results(), totals.laps())
}

#[test]
fn named_sizes_are_exact_for_every_seed() {
    assert_eq!(expected(Size::Large), (40, 480, 10_000));
    for size in [Size::Small, Size::Medium, Size::Large] {
        for seed in 0..12 {
            assert_eq!(count(&Synth::new(size, seed)), expected(size), "{} with seed {seed}", size.name());
        }
    }
    assert_eq!(count(&Synth::new(Size::VeryLarge, 1)), expected(Size::VeryLarge));
}

#[test]
fn huge_is_exact_and_its_pages_come_one_by_one() {
    let synth = Synth::new(Size::Huge, 1);
    assert_eq!(count(&synth), expected(Size::Huge));
    assert_eq!(synth.event().total_laps, 1_000_000);
}

#[test]
fn a_believable_event_has_what_real_ones_have() {
    let synth = Synth::new(Size::Large, 7);
    let event = synth.event();
    let rounds: BTreeSet<&str> = event.races.iter().map(|r| r.round.as_str()).collect();
    for round in ["Main Events", "Qualifier Round 1", "Seeding"] {
        assert!(rounds.contains(round), "no {round} in {rounds:?}");
    }
    assert_eq!(event.races[0].round, "Main Events", "newest first");
    for end in ["A-Main", "A3-Main", "B-Main", "(Heat 1/3)"] {
        assert!(event.races.iter().any(|r| r.label.ends_with(end)), "no {end}");
    }
    let entries = synth.entries();
    assert_eq!(usize::try_from(event.entries).unwrap(), entries.len());
    assert!(event.drivers < event.entries, "some drivers are in several classes");
    for (what, found) in [
        ("an apostrophe", entries.iter().any(|e| e.name.contains('\''))),
        ("an accent", entries.iter().any(|e| !e.name.is_ascii())),
        ("an empty transponder", entries.iter().any(|e| e.transponder.is_empty())),
        ("a double transponder", entries.iter().any(|e| e.transponder.contains('/'))),
        ("upper case only", entries.iter().all(|e| e.name == e.name.to_uppercase())),
    ] {
        assert!(found, "entries: {what}");
    }
    let mut per_class: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for entry in &entries {
        *per_class.entry((&entry.class, &entry.name)).or_default() += 1;
    }
    assert!(per_class.values().any(|n| *n == 2), "two of one name in one class");

    let (mut dns, mut linkless, mut silent, mut retired, mut outliers) = (0, 0, 0, 0, 0);
    let mut names: BTreeMap<u64, HashSet<String>> = BTreeMap::new();
    for id in synth.race_ids() {
        let race = synth.race(id).unwrap();
        let most = race.results.iter().map(|r| r.laps.len()).max().unwrap_or(0);
        for result in &race.results {
            names.entry(result.shown.driver).or_default().insert(result.name.clone());
            dns += usize::from(result.laps.is_empty());
            linkless += usize::from(!result.shown.link && result.shown.scripted);
            silent += usize::from(result.driver_id.is_none());
            retired += usize::from(!result.laps.is_empty() && result.laps.len() * 3 < most * 2);
            let average = result.derived.average_ms.unwrap_or(0);
            outliers += result.laps.iter().filter(|lap| lap.time_ms * 2 > average * 3).count();
        }
    }
    assert!(dns > 5 && linkless > 2 && silent > 0 && retired > 5, "{dns} {linkless} {silent} {retired}");
    assert!(outliers > 20, "{outliers} outliers");
    assert!(names.values().all(|n| n.len() == 1), "one name a driver within a revision");
    let all: Vec<&String> = names.values().flatten().collect();
    assert!(all.iter().collect::<HashSet<_>>().len() + 2 <= all.len(), "two pairs of drivers share a name");
}

#[test]
fn mains_are_filled_and_lined_up_by_qualifying() {
    let synth = Synth::new(Size::Large, 3);
    let event = synth.event();
    let main = event.races.iter().find(|r| r.label.ends_with("A1-Main")).expect("a triple A-Main");
    let mut best: BTreeMap<u64, (std::cmp::Reverse<u32>, u32)> = BTreeMap::new();
    for race in event.races.iter().filter(|r| r.class == main.class && r.round.starts_with("Qualifier")) {
        for result in synth.race(race.id).unwrap().results {
            let mine = (std::cmp::Reverse(result.laps_completed), result.total_ms.unwrap_or(0));
            let known = best.entry(result.shown.driver).or_insert(mine);
            *known = mine.min(*known);
        }
    }
    let mut grid = synth.race(main.id).unwrap().results;
    grid.sort_by_key(|r| r.qualifying);
    let order: Vec<_> = grid.iter().filter_map(|r| best.get(&r.shown.driver)).collect();
    assert!(order.len() > 3 && order.is_sorted(), "{order:?}");
}

#[test]
fn a_race_is_consistent_in_itself() {
    let synth = Synth::new(Size::Medium, 11);
    for id in synth.race_ids() {
        let race = synth.race(id).unwrap();
        for (i, result) in race.results.iter().enumerate() {
            assert_eq!(result.position, u32::try_from(i + 1).ok());
            assert_eq!(result.laps_completed as usize, result.laps.len());
            let sum: u32 = result.laps.iter().map(|lap| lap.time_ms).sum();
            assert_eq!(result.total_ms.unwrap_or(0), sum);
            assert!(result.laps.iter().zip(1..).all(|(lap, n)| lap.number == n));
            // A timed race: nobody but a retired driver stops before the time is up.
            if i == 0 {
                assert!(sum + 60_000 > race.length_ms, "race {id}: {sum} of {}", race.length_ms);
            }
        }
        assert!(race.results.windows(2).all(|w| w[0].laps_completed >= w[1].laps_completed));
    }
}

#[test]
fn sizes_have_names() {
    for size in Size::NAMED {
        assert_eq!(size.name().parse::<Size>(), Ok(size));
    }
    let message = "gigantic".parse::<Size>().unwrap_err().to_string();
    assert!(message.contains("gigantic") && message.contains("very-large"), "{message}");
    assert!(Totals::new(0, 1, 0).is_err() && Totals::new(1, 0, 1).is_err());
    assert!(Totals::new(0, 0, 0).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_totals_are_exact(races in 1_u32..60, per_race in 0_u32..14, extra in 0_u32..9, laps in 0_u32..900, seed: u64) {
        let results = races * per_race + extra;
        let totals = Totals::new(races, results, if results == 0 { 0 } else { laps }).unwrap();
        prop_assert_eq!(count(&Synth::new(Size::Custom(totals), seed)), expected(Size::Custom(totals)));
    }

    #[test]
    fn a_seed_gives_the_same_pages_and_another_seed_others(seed: u64) {
        let (one, two) = (Synth::new(Size::Small, seed), Synth::new(Size::Small, seed));
        prop_assert_eq!(one.event(), two.event());
        for form in Form::ALL {
            prop_assert_eq!(one.event_page(form), two.event_page(form));
            prop_assert_eq!(one.entries_page(form), two.entries_page(form));
            // Backwards: no race depends on those asked for before it.
            for id in one.race_ids().into_iter().rev() {
                prop_assert_eq!(one.race_page(id, form), two.race_page(id, form));
            }
        }
        let other = Synth::new(Size::Small, seed.wrapping_add(1));
        prop_assert_ne!(one.event_page(Form::Raw), other.event_page(Form::Raw));
    }
}
