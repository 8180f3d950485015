//! The generator's own truth: what an event's pages say.
//!
//! The harness judges any engine by it, so it borrows nothing from one. Times are whole milliseconds, percentages basis
//! points. [`Shown`] tells how a page shows
//! a result; it reaches no database.

use jiff::civil::{Date, DateTime};

/// What the event page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// LiveRC's id.
    pub id: u64,
    /// Host label of the track.
    pub track: String,
    /// The track's name, `h1`.
    pub track_name: String,
    /// The event's name, `h3`.
    pub name: String,
    /// First day.
    pub first_day: Date,
    /// Last day; equals the first for a meeting of one day.
    pub last_day: Date,
    /// `Entries: 71`.
    pub entries: u32,
    /// `Drivers: 60`.
    pub drivers: u32,
    /// Total Race Laps.
    pub total_laps: u32,
    /// Whether the page links to an entry list, and the entry list exists.
    pub has_entry_list: bool,
    /// The races, in the page's order (newest first).
    pub races: Vec<ListedRace>,
}

/// A race as the event page lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRace {
    /// LiveRC's id.
    pub id: u64,
    /// `Main Events`, `Qualifier Round 3`.
    pub round: String,
    /// `14` of `Race 14`; restarts in every round.
    pub number: u32,
    /// Class name.
    pub class: String,
    /// `CLASS A-Main`, `CLASS (Heat 3/3)`, or empty.
    pub label: String,
    /// Time completed, to the minute, in the track's own zone.
    pub completed_at: Option<DateTime>,
}

/// A row of the entry list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Class name.
    pub class: String,
    /// Column `#`.
    pub car_number: String,
    /// Shown name.
    pub name: String,
    /// `LAST, FIRST`, the hidden text that the page sorts by.
    pub sort_name: String,
    /// As shown; may be empty or hold two.
    pub transponder: String,
    /// Who it is: the driver's id, which the page does not tell.
    pub driver: u64,
}

/// A race page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Race {
    /// As listed on the event page.
    pub listed: ListedRace,
    /// `30:00 Timed`, as shown, or empty.
    pub length: String,
    /// Nominal length, ms; what `pace` extrapolates to.
    pub length_ms: u32,
    /// Whether averages, deviation and consistency include lap 1 (LiveRC leaves it out of some races).
    pub first_lap_counts: bool,
    /// Whether the page puts the qualifying number before the name (`1 ANNA EXAMPLE`).
    pub number_before_name: bool,
    /// `M1` of the heading's `[M1 Race #14]`.
    pub round_code: String,
    /// One per row of the result table, in its order.
    pub results: Vec<RaceResult>,
}

impl Race {
    /// Laps of all results.
    #[must_use]
    pub fn lap_count(&self) -> usize {
        self.results.iter().map(|r| r.laps.len()).sum()
    }
}

/// How a page shows a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// LiveRC's id of the driver, whether or not the page tells it.
    pub driver: u64,
    /// The row has a link `View Laps`, which tells the id.
    pub link: bool,
    /// The script has an entry, which tells the id.
    pub scripted: bool,
    /// Column Pos when it is no number (`DQ`).
    pub position: Option<String>,
}

/// A driver's result in a race.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaceResult {
    /// LiveRC's driver id; absent when the page tells it nowhere.
    pub driver_id: Option<u64>,
    /// Shown name.
    pub name: String,
    /// Tells results apart that have no driver id and one name: 0, 1, … in page order. 0 for all others.
    pub nth: u32,
    /// `span.car_num`.
    pub car_number: String,
    /// Column Pos where it is a number.
    pub position: Option<u32>,
    /// Column Qual.
    pub qualifying: Option<u32>,
    /// Place on the grid: `pos` of lap 0; unknown for one without laps, since lap 0 is not written then.
    pub grid: Option<u32>,
    /// `47` of `47/30:31.382`; 0 for one who did not start.
    pub laps_completed: u32,
    /// `30:31.382`.
    pub total_ms: Option<u32>,
    /// Column Behind as shown.
    pub behind: String,
    /// What is computed from the laps.
    pub derived: Derived,
    /// The laps by number from 1.
    pub laps: Vec<Lap>,
    /// How the page shows it.
    pub shown: Shown,
}

/// Columns that are computed from the laps; formulas in `derive.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Derived {
    /// Fastest Lap.
    pub fastest_ms: Option<u32>,
    /// Its number.
    pub fastest_lap: Option<u32>,
    /// Avg Lap.
    pub average_ms: Option<u32>,
    /// Avg Top 5.
    pub top5_ms: Option<u32>,
    /// Avg Top 10.
    pub top10_ms: Option<u32>,
    /// Avg Top 15.
    pub top15_ms: Option<u32>,
    /// `top2Consecutive`, which only the script has.
    pub two_consecutive_ms: Option<u32>,
    /// Top 3 Consecutive.
    pub three_consecutive_ms: Option<u32>,
    /// `stdDeviation`, three decimals.
    pub deviation_ms: Option<u32>,
    /// `consistency`, thousandths of a percent.
    pub consistency_milli: Option<u32>,
}

impl Derived {
    /// Std. Deviation as the table shows it, ms: the script's three decimals rounded half up to two.
    #[must_use]
    pub fn shown_deviation_ms(&self) -> Option<u32> {
        self.deviation_ms.map(|ms| (ms + 5) / 10 * 10)
    }

    /// Consistency as the table shows it, basis points: the script's three decimals rounded half up to two.
    #[must_use]
    pub fn shown_consistency_bp(&self) -> Option<u32> {
        self.consistency_milli.map(|milli| (milli + 5) / 10)
    }
}

/// One lap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lap {
    /// From 1.
    pub number: u32,
    /// Position at its end.
    pub position: u32,
    /// Lap time.
    pub time_ms: u32,
    /// Laps of `pace`.
    pub pace_laps: u32,
    /// Time of `pace`.
    pub pace_ms: u32,
}
