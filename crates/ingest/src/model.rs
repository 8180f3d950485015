//! The facts of a race meeting as they go from the pages to the database: validated, free of HTML and of SQL.
//!
//! Times are whole milliseconds, as LiveRC publishes three decimals; percentages are basis points (hundredths of a
//! percent), as it publishes two. A value that a page does not give is `None`, never a made-up zero.

use jiff::civil::{Date, DateTime};
use serde::Serialize;

/// What an event page says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// LiveRC's id.
    pub id: u64,
    /// Host label of the track: `canberra` in `canberra.liverc.com`.
    pub track: String,
    /// The track's name.
    pub track_name: String,
    /// The event's name.
    pub name: String,
    /// First day.
    pub first_day: Option<Date>,
    /// Last day; equals the first for a meeting of one day.
    pub last_day: Option<Date>,
    /// `Entries: 71` of the row Registrations.
    pub entries: Option<u32>,
    /// `Drivers: 60` of the row Registrations.
    pub drivers: Option<u32>,
    /// Total Race Laps.
    pub total_laps: Option<u32>,
    /// Whether the page links to an entry list.
    pub has_entry_list: bool,
    /// The races, in the page's order (newest first).
    pub races: Vec<ListedRace>,
}

/// A race as the event page lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedRace {
    /// LiveRC's id: the only thing that is unique.
    pub id: u64,
    /// `Main Events`, `Qualifier Round 3`.
    pub round: String,
    /// `14` of `Race 14`; restarts in every round.
    pub number: Option<u32>,
    /// Class name.
    pub class: String,
    /// `CLASS A-Main`, `CLASS (Heat 3/3)`, or empty.
    pub label: String,
    /// Time completed, in the track's own unnamed zone.
    pub completed_at: Option<DateTime>,
}

/// A row of the entry list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Entry {
    /// Class name.
    pub class: String,
    /// Column `#`.
    pub car_number: String,
    /// Shown name, `FIRST LAST`.
    pub name: String,
    /// As shown; may be empty or hold two.
    pub transponder: String,
}

/// A validated race: what the event page and the race page say of it together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Race {
    /// As listed on the event page.
    pub listed: ListedRace,
    /// `30:00 Timed`, as shown, or empty.
    pub length: String,
    /// One per row of the result table, in its order.
    pub results: Vec<RaceResult>,
    /// What was odd but loses nothing; stored with the race. Deterministic in the page.
    pub warnings: Vec<String>,
}

impl Race {
    /// Laps of all results.
    #[must_use]
    pub fn lap_count(&self) -> usize {
        self.results.iter().map(|r| r.laps.len()).sum()
    }
}

/// A driver's result in a race.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RaceResult {
    /// LiveRC's driver id; absent only when the driver has neither a link nor a racerLaps of that name.
    pub driver_id: Option<u64>,
    /// Shown name, without a qualifying number before it.
    pub name: String,
    /// Tells results apart that have no driver id and one name: 0, 1, … in page order. 0 for all others.
    pub nth: u32,
    /// `span.car_num`.
    pub car_number: String,
    /// Column Pos where it is a number.
    pub position: Option<u32>,
    /// Column Qual.
    pub qualifying: Option<u32>,
    /// Place on the grid: `pos` of lap 0.
    pub grid: Option<u32>,
    /// `47` of `47/30:31.382`; 0 for one who did not start.
    pub laps_completed: Option<u32>,
    /// `30:31.382`.
    pub total_ms: Option<u32>,
    /// Column Behind as shown: `12.052`, `1 Lap`, or empty.
    pub behind: String,
    /// Fastest Lap without its superscript.
    pub fastest_ms: Option<u32>,
    /// Its superscript: the number of the fastest lap.
    pub fastest_lap: Option<u32>,
    /// Avg Lap.
    pub average_ms: Option<u32>,
    /// Avg Top 5.
    pub average_top5_ms: Option<u32>,
    /// Avg Top 10.
    pub average_top10_ms: Option<u32>,
    /// Avg Top 15.
    pub average_top15_ms: Option<u32>,
    /// Top 3 Consecutive.
    pub top3_ms: Option<u32>,
    /// Std. Deviation, as the table shows it (two decimals).
    pub deviation_ms: Option<u32>,
    /// Consistency, basis points (92.82 % = 9282); above 10,000 occurs.
    pub consistency_bp: Option<u32>,
    /// The laps, lap 0 left out, by number from 1.
    pub laps: Vec<Lap>,
}

/// One lap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lap {
    /// From 1, without gaps.
    pub number: u32,
    /// Position at its end.
    pub position: Option<u32>,
    /// Lap time.
    pub time_ms: u32,
    /// Laps of `pace` (`48/30:32.160`).
    pub pace_laps: Option<u32>,
    /// Time of `pace`.
    pub pace_ms: Option<u32>,
}
