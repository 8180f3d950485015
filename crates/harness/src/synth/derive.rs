//! The columns that LiveRC computes from the laps.
//!
//! The formulas were found on the two real race pages; `tests/synth_real_pages.rs` checks them against every driver there.
//!
//! - Fastest: the smallest lap, the first of equals.
//! - Avg Top n: mean of the n fastest laps, empty with fewer. Consecutive n: smallest sum of n laps in a row.
//! - Avg Lap, Std. Deviation, Consistency: over all laps, or over all but lap 1 where the race leaves it out (the real
//!   30-minute main does, the 10-minute one does not). The deviation is that of the population; consistency is
//!   100 × (1 − deviation / average), taken before rounding.
//! - The script shows three decimals; the table's two are rounded from those three (90.4247 → 90.425 → 90.43).
//! - Pace after lap n: the laps it takes to fill the race's length at the average so far, and their time.
//! - Position at the end of lap n: one more than the drivers who ended their lap n earlier.

use super::model::{Derived, Lap, RaceResult};

/// All derived columns of a driver's lap times.
#[must_use]
pub fn derive(times: &[u32], first_lap_counts: bool) -> Derived {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let fastest = sorted.first().copied();
    let top = |n: usize| (sorted.len() >= n).then(|| mean(&sorted[..n])).flatten();
    let row = |n: usize| times.windows(n).map(|w| w.iter().sum()).min();
    let counted = if first_lap_counts { times } else { times.get(1..).unwrap_or_default() };
    let deviation = deviation(counted);
    Derived {
        fastest_ms: fastest,
        fastest_lap: fastest.and_then(|f| times.iter().position(|t| *t == f)).and_then(|at| u32::try_from(at + 1).ok()),
        average_ms: mean(counted),
        top5_ms: top(5),
        top10_ms: top(10),
        top15_ms: top(15),
        two_consecutive_ms: row(2),
        three_consecutive_ms: row(3),
        deviation_ms: deviation.map(|(sd, _)| rounded(sd)),
        consistency_milli: deviation.map(|(sd, average)| rounded(100_000.0 * (1.0 - sd / average))),
    }
}

/// Mean, rounded half up; none of nothing.
fn mean(times: &[u32]) -> Option<u32> {
    let n = times.len() as u64;
    let sum: u64 = times.iter().map(|t| u64::from(*t)).sum();
    if n == 0 { None } else { u32::try_from((2 * sum + n) / (2 * n)).ok() }
}

/// Deviation of the population and the mean, both unrounded.
fn deviation(times: &[u32]) -> Option<(f64, f64)> {
    if times.is_empty() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a race has thousands of laps, not 2^52")]
    let n = times.len() as f64;
    let average = times.iter().map(|t| f64::from(*t)).sum::<f64>() / n;
    let squares = times.iter().map(|t| (f64::from(*t) - average).powi(2)).sum::<f64>();
    Some(((squares / n).sqrt(), average))
}

/// To the nearest whole number, never below 0 (a deviation above the mean would give a negative consistency).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to u32 first")]
fn rounded(value: f64) -> u32 {
    value.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// `pace` after `laps` laps in `total_ms`: how many laps fill `length_ms`, and their time.
#[must_use]
pub fn pace(laps: u32, total_ms: u32, length_ms: u32) -> (u32, u32) {
    let (n, total, length) = (u64::from(laps.max(1)), u64::from(total_ms.max(1)), u64::from(length_ms));
    let count = (length * n).div_ceil(total).max(1);
    let time = (2 * count * total + n) / (2 * n);
    (u32::try_from(count).unwrap_or(u32::MAX), u32::try_from(time).unwrap_or(u32::MAX))
}

/// Computes everything of a race that follows from its lap times: laps' positions and paces, totals, derived columns,
/// order, positions, gaps. `results` come with `laps` whose times alone are trusted.
pub(super) fn settle(results: &mut [RaceResult], length_ms: u32, first_lap_counts: bool) {
    let crossings: Vec<Vec<u64>> = results
        .iter()
        .map(|r| {
            r.laps
                .iter()
                .scan(0_u64, |sum, lap| {
                    *sum += u64::from(lap.time_ms);
                    Some(*sum)
                })
                .collect()
        })
        .collect();
    for (me, result) in results.iter_mut().enumerate() {
        for (i, lap) in result.laps.iter_mut().enumerate() {
            let mine = crossings[me][i];
            let ahead = crossings
                .iter()
                .enumerate()
                .filter(|(other, theirs)| {
                    *other != me && theirs.get(i).is_some_and(|at| *at < mine || (*at == mine && *other < me))
                })
                .count();
            lap.number = u32::try_from(i + 1).unwrap_or(u32::MAX);
            lap.position = u32::try_from(ahead + 1).unwrap_or(u32::MAX);
            (lap.pace_laps, lap.pace_ms) = pace(lap.number, u32::try_from(mine).unwrap_or(u32::MAX), length_ms);
        }
        let times: Vec<u32> = result.laps.iter().map(|lap: &Lap| lap.time_ms).collect();
        result.laps_completed = u32::try_from(times.len()).unwrap_or(u32::MAX);
        result.total_ms = crossings[me].last().map(|ms| u32::try_from(*ms).unwrap_or(u32::MAX));
        result.derived = derive(&times, first_lap_counts);
    }
    order(results);
}

/// Puts results into finishing order and writes positions, gaps and `nth`. Who has a position that is no number (a
/// disqualification) comes last, without a gap.
fn order(results: &mut [RaceResult]) {
    results.sort_by_key(|r| {
        (r.shown.position.is_some(), std::cmp::Reverse(r.laps_completed), r.total_ms, r.qualifying, r.shown.driver)
    });
    let mut ahead: Option<(u32, Option<u32>)> = None;
    for (i, result) in results.iter_mut().enumerate() {
        if result.shown.position.is_some() {
            result.position = None;
            result.behind.clear();
            continue;
        }
        result.position = u32::try_from(i + 1).ok();
        result.behind =
            ahead.map_or_else(String::new, |leader| behind(leader, (result.laps_completed, result.total_ms)));
        ahead = Some((result.laps_completed, result.total_ms));
    }
    number_twins(results);
}

/// Sets `nth`: results without a driver id and of one name, in page order.
pub(super) fn number_twins(results: &mut [RaceResult]) {
    for i in 0..results.len() {
        let twins = results[..i]
            .iter()
            .filter(|r| r.driver_id.is_none() && results[i].driver_id.is_none() && r.name == results[i].name)
            .count();
        results[i].nth = u32::try_from(twins).unwrap_or(u32::MAX);
    }
}

/// Column Behind: the gap to the car directly ahead.
fn behind(ahead: (u32, Option<u32>), me: (u32, Option<u32>)) -> String {
    match ahead.0.saturating_sub(me.0) {
        0 => {
            let gap = me.1.unwrap_or(0).saturating_sub(ahead.1.unwrap_or(0));
            format!("{}.{:03}", gap / 1000, gap % 1000)
        }
        1 => "1 Lap".to_owned(),
        laps => format!("{laps} Laps"),
    }
}
