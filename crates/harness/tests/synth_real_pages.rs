//! The formulas of the derived columns, against every driver of the real race pages.

#![allow(clippy::unwrap_used, reason = "helpers of tests are no test functions to clippy")]

mod synth_support;

use harness::synth::{derive, pace};
use ingest::liverc::parse_race;
use ingest::model::{ListedRace, Race};
use synth_support::real_page;

fn read(name: &str, class: &str, label: &str, number: u32) -> Option<Race> {
    let listed = ListedRace {
        id: 1,
        round: "Main Events".to_owned(),
        number: Some(number),
        class: class.to_owned(),
        label: label.to_owned(),
        completed_at: None,
    };
    real_page(name).map(|page| parse_race(&page, listed).expect("a real page is valid"))
}

/// Checks every column of every driver; lap 1 counts for averages or does not.
fn check(race: &Race, first_lap_counts: bool, length_ms: u32) {
    let mut drivers = 0;
    for result in race.results.iter().filter(|r| !r.laps.is_empty()) {
        let times: Vec<u32> = result.laps.iter().map(|lap| lap.time_ms).collect();
        let mine = derive(&times, first_lap_counts);
        let page = [
            result.fastest_ms,
            result.fastest_lap,
            result.average_ms,
            result.average_top5_ms,
            result.average_top10_ms,
            result.average_top15_ms,
            result.top3_ms,
            result.deviation_ms,
            result.consistency_bp,
        ];
        let ours = [
            mine.fastest_ms,
            mine.fastest_lap,
            mine.average_ms,
            mine.top5_ms,
            mine.top10_ms,
            mine.top15_ms,
            mine.three_consecutive_ms,
            mine.shown_deviation_ms(),
            mine.shown_consistency_bp(),
        ];
        assert_eq!(ours, page, "a driver with {} laps", times.len());

        let mut crossed = 0;
        for lap in &result.laps {
            crossed += lap.time_ms;
            // LiveRC reckons in fractions of a millisecond, of which pages show nothing: a millisecond a lap of pace.
            let (laps, ms) = pace(lap.number, crossed, length_ms);
            assert_eq!(Some(laps), lap.pace_laps, "lap {}", lap.number);
            assert!(ms.abs_diff(lap.pace_ms.unwrap()) <= 2, "lap {}: {ms} against {:?}", lap.number, lap.pace_ms);
            let earlier = race.results.iter().filter(|other| {
                let n = lap.number as usize;
                other.laps.len() >= n && other.laps[..n].iter().map(|l| l.time_ms).sum::<u32>() < crossed
            });
            assert_eq!(lap.position, u32::try_from(earlier.count() + 1).ok(), "lap {}", lap.number);
        }
        drivers += 1;
    }
    assert!(drivers >= 7);
}

#[test]
fn the_ten_minute_main_counts_lap_one() {
    if let Some(race) = read("race-6304822.html", "1/8 Electric Buggy", "1/8 Electric Buggy A3-Main", 13) {
        check(&race, true, 600_000);
    }
}

#[test]
fn the_thirty_minute_main_leaves_lap_one_out() {
    if let Some(race) = read("race-6304829.html", "1/8 Nitro Buggy", "1/8 Nitro Buggy A-Main", 14) {
        check(&race, false, 1_800_000);
    }
}
