//! The script `racerLaps`.

use std::fmt::Write;

use super::Form;
use super::page::Page;
use super::text::{clock, js_double, js_single, seconds, trimmed};
use crate::synth::model::{Lap, Race, RaceResult};

/// In what order a page writes a driver's laps: by number, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Laps {
    ByNumber,
    /// From the last to the first, lap 0 at the end: legal, for a lap is told by its number.
    Backwards,
    /// The second lap's number is given to the third as well.
    Repeated,
}

/// The scripts's statements for all drivers, in the table's order.
pub(super) fn script(page: &mut Page, race: &Race, laps: Laps) {
    page.line(5, 9, "<script type=\"text/javascript\">");
    let semi = if page.form == Form::Raw { ";" } else { "" };
    for (name, value) in [("racerLaps", "{}"), ("positionData", "[]"), ("driverNames", "[]")] {
        page.line(6, 10, &format!("var {name} = {value}{semi}"));
    }
    for result in race.results.iter().filter(|r| r.shown.scripted) {
        match page.form {
            Form::Raw => raw(&mut page.out, result, laps),
            Form::Formatted => formatted(&mut page.out, result, laps),
        }
    }
    page.line(11, 9, "</script>");
}

/// The scalars of an entry with their values, all strings; empty without laps.
fn scalars(result: &RaceResult) -> [(&'static str, String); 9] {
    let derived = &result.derived;
    let text = |ms: Option<u32>| ms.map(seconds).unwrap_or_default();
    [
        ("fastLap", text(derived.fastest_ms)),
        ("avgLap", text(derived.average_ms)),
        ("avgTop5", text(derived.top5_ms)),
        ("avgTop10", text(derived.top10_ms)),
        ("avgTop15", text(derived.top15_ms)),
        ("top2Consecutive", text(derived.two_consecutive_ms)),
        ("top3Consecutive", text(derived.three_consecutive_ms)),
        ("stdDeviation", text(derived.deviation_ms)),
        ("consistency", text(derived.consistency_milli)),
    ]
}

/// The laps as the page writes them: number, position, time, pace; lap 0 first. None for one who did not start.
fn rows(result: &RaceResult, order: Laps) -> Vec<(u32, u32, String, String)> {
    if result.laps.is_empty() {
        return Vec::new();
    }
    let row = |lap: &Lap| {
        (lap.number, lap.position, trimmed(lap.time_ms), format!("{}/{}", lap.pace_laps, clock(lap.pace_ms)))
    };
    let mut rows = vec![(0, result.grid.unwrap_or(1), "0".to_owned(), "0".to_owned())];
    rows.extend(result.laps.iter().map(row));
    match order {
        Laps::ByNumber => {}
        Laps::Backwards => rows.reverse(),
        Laps::Repeated => {
            if let Some(third) = rows.get_mut(3) {
                third.0 = 2;
            }
        }
    }
    rows
}

/// As the site serves it, to the tab.
fn raw(out: &mut String, result: &RaceResult, order: Laps) {
    const T: &str = "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t";
    let id = result.shown.driver;
    let name = js_single(&result.name);
    let rows = rows(result, order);
    let mut line = |tabs: usize, text: std::fmt::Arguments<'_>| {
        out.push_str(&T[..tabs]);
        // Writing to a String cannot fail.
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(13, format_args!("positionDataDriver = {{}};"));
    line(7, format_args!("positionDataDriver.label = '{name}';"));
    line(7, format_args!("positionDataDriver.data = [];"));
    line(7, format_args!("driverNames.push('{name}');"));
    line(7, format_args!("racerLaps[{id}] = {{"));
    line(8, format_args!("'driverName' : '{name}',"));
    for (key, value) in scalars(result) {
        line(8, format_args!("'{key}' : '{value}',"));
    }
    line(8, format_args!("'laps' : ["));
    for (i, (number, position, time, pace)) in rows.iter().enumerate() {
        line(if i == 0 { 30 } else { 21 }, format_args!("{{"));
        line(12, format_args!("'lapNum' : '{number}',"));
        line(12, format_args!("'pos' : '{position}',"));
        line(12, format_args!("'time' : '{time}',"));
        line(12, format_args!("'pace' : '{pace}',"));
        line(12, format_args!("'segments' : ["));
        line(25, format_args!("]"));
        line(11, format_args!("}},"));
    }
    line(if rows.is_empty() { 17 } else { 27 }, format_args!("]"));
    line(7, format_args!("}};"));
    for (i, (number, position, ..)) in rows.iter().enumerate() {
        line(if i == 0 { 24 } else { 17 }, format_args!("positionDataDriver.data.push([{number}, {position}]);"));
    }
    line(if rows.is_empty() { 14 } else { 22 }, format_args!("positionData.push(positionDataDriver);"));
    line(7, format_args!("console.log(racerLaps[{id}]);"));
}

/// As a formatter leaves it.
fn formatted(out: &mut String, result: &RaceResult, order: Laps) {
    const S: &str = "                                        ";
    let id = result.shown.driver;
    let name = js_double(&result.name);
    let rows = rows(result, order);
    let mut line = |level: usize, text: std::fmt::Arguments<'_>| {
        out.push_str(&S[..level * 2]);
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(10, format_args!("positionDataDriver = {{}}"));
    line(10, format_args!("positionDataDriver.label = \"{name}\""));
    line(10, format_args!("positionDataDriver.data = []"));
    line(10, format_args!("driverNames.push(\"{name}\")"));
    line(10, format_args!("racerLaps[{id}] = {{"));
    line(11, format_args!("driverName: \"{name}\","));
    for (key, value) in scalars(result) {
        line(11, format_args!("{key}: \"{value}\","));
    }
    if rows.is_empty() {
        line(11, format_args!("laps: [],"));
    } else {
        line(11, format_args!("laps: ["));
        for (number, position, time, pace) in &rows {
            line(12, format_args!("{{"));
            line(13, format_args!("lapNum: \"{number}\","));
            line(13, format_args!("pos: \"{position}\","));
            line(13, format_args!("time: \"{time}\","));
            line(13, format_args!("pace: \"{pace}\","));
            line(13, format_args!("segments: [],"));
            line(12, format_args!("}},"));
        }
        line(11, format_args!("],"));
    }
    line(10, format_args!("}}"));
    for (number, position, ..) in &rows {
        line(10, format_args!("positionDataDriver.data.push([{number}, {position}])"));
    }
    line(10, format_args!("positionData.push(positionDataDriver)"));
    line(10, format_args!("console.log(racerLaps[{id}])"));
}
