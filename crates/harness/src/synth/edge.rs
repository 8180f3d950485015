//! Pages that an engine must refuse, and unusual ones that it must not.

use std::collections::BTreeMap;

use super::base::{Base, Generated, id_base};
use super::derive::{number_twins, settle};
use super::event::Synth;
use super::model::{Derived, Entry, Event, Race, RaceResult, Shown};
use super::people::new_name;
use super::render::{Cut, Form, length, race_page_cut};
use super::seed::Dice;
use super::simulate::lap;
use super::size::{Size, Totals};

/// What an engine must make of a race's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Its rows are written.
    Written,
    /// The race is recorded as failed, nothing of it is written, and the event stays incomplete.
    Failed {
        /// What is wrong with the page.
        why: &'static str,
    },
}

/// Something unusual about a page, apart from its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// The script writes laps from the last to the first. Legal: a lap is told by its number.
    LapsBackwards,
    /// The script gives one lap number twice, so that another is missing.
    LapRepeated,
    /// There is no result table.
    NoTable,
    /// The script is cut in the middle of a lap.
    ScriptCut,
    /// The page ends in the middle of the table.
    PageCut,
}

impl Oddity {
    /// What an engine must make of it.
    #[must_use]
    pub fn expected(self) -> Expected {
        match self {
            Self::LapsBackwards => Expected::Written,
            Self::LapRepeated => Expected::Failed { why: "a lap number is given twice" },
            Self::NoTable => Expected::Failed { why: "there is no result table" },
            Self::ScriptCut => Expected::Failed { why: "the script is cut short" },
            Self::PageCut => Expected::Failed { why: "the page is cut short" },
        }
    }

    pub(super) fn page(self, event: &Event, race: &Race, form: Form) -> String {
        let cut = match self {
            Self::LapsBackwards => Cut::LapsBackwards,
            Self::LapRepeated => Cut::LapRepeated,
            Self::NoTable => Cut::NoTable,
            Self::ScriptCut => Cut::Script,
            Self::PageCut => Cut::Page,
        };
        race_page_cut(event, race, form, cut)
    }
}

impl Synth {
    /// An event of small races, each unusual in a way of its own: see [`Edge`]. Two of them must be refused.
    #[must_use]
    pub fn edge_cases(seed: u64) -> Self {
        drawn(seed, true)
    }

    /// The same kind of event (another id, other drivers), without an entry list and without a race to refuse.
    #[must_use]
    pub fn no_entry_list(seed: u64) -> Self {
        drawn(seed ^ 0x6e6f_2d65_6e74_7279, false)
    }

    /// An event with one race that cannot be read, in the middle of its list.
    #[must_use]
    pub fn bad_race(size: Size, seed: u64) -> Self {
        let synth = Self::new(size, seed);
        let ids = synth.race_ids();
        match ids.get(ids.len() / 2) {
            Some(id) => synth.with_oddity(*id, Oddity::ScriptCut),
            None => synth,
        }
    }

    /// This event with something unusual about the page of one race.
    #[must_use]
    pub fn with_oddity(mut self, race: u64, oddity: Oddity) -> Self {
        self.oddities.insert(race, oddity);
        self
    }

    /// This event with every page as it should be: the revision that mends a bad race.
    #[must_use]
    pub fn mended(&self) -> Self {
        Self { oddities: BTreeMap::new(), ..self.clone() }
    }

    /// What is unusual about a race's page.
    #[must_use]
    pub fn oddity(&self, race: u64) -> Option<Oddity> {
        self.oddities.get(&race).copied()
    }

    /// Races that an engine must refuse, with the reason, in page order.
    #[must_use]
    pub fn failing(&self) -> Vec<(u64, &'static str)> {
        let failed = |id| match self.expected(id) {
            Expected::Failed { why } => Some((id, why)),
            Expected::Written => None,
        };
        self.race_ids().into_iter().filter_map(failed).collect()
    }
}

/// The unusual races of [`Synth::edge_cases`], in the event page's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// A table without rows.
    EmptyRace,
    /// [`Oddity::NoTable`].
    NoTable,
    /// The event page gives no completion time.
    NoCompletionTime,
    /// A race of more than an hour: `58/1:02:30.1`.
    OverAnHour,
    /// Positions `DQ`, `DNF` and `--`.
    PositionsNotNumbers,
    /// A driver who is in no entry list.
    NotEntered,
    /// Two drivers of one name, both without link and script entry: nothing tells their ids.
    EqualNames,
    /// [`Oddity::LapsBackwards`].
    LapsBackwards,
    /// [`Oddity::LapRepeated`].
    LapRepeated,
    /// A consistency above 100 %, as the site has shown.
    ConsistencyOver100,
    /// The qualifying number stands before every name.
    NumberBeforeName,
    /// Nobody started.
    NobodyStarted,
}

impl Edge {
    /// All, in the order of the races.
    pub const ALL: [Self; 12] = [
        Self::EmptyRace,
        Self::NoTable,
        Self::NoCompletionTime,
        Self::OverAnHour,
        Self::PositionsNotNumbers,
        Self::NotEntered,
        Self::EqualNames,
        Self::LapsBackwards,
        Self::LapRepeated,
        Self::ConsistencyOver100,
        Self::NumberBeforeName,
        Self::NobodyStarted,
    ];

    fn oddity(self) -> Option<Oddity> {
        match self {
            Self::NoTable => Some(Oddity::NoTable),
            Self::LapsBackwards => Some(Oddity::LapsBackwards),
            Self::LapRepeated => Some(Oddity::LapRepeated),
            _ => None,
        }
    }
}

/// A generated event of twice as many races as edges, with the edges worked into the newest ones.
fn drawn(seed: u64, complete: bool) -> Synth {
    let races = u32::try_from(2 * Edge::ALL.len()).unwrap_or(24);
    let totals = Totals::new(races, races * 8, races * 64).map_or(Size::Small, Size::Custom);
    let source = Base::Generated(Box::new(Generated::new(totals, seed)));
    let mut event = source.event();
    let mut entries = source.entries();
    let mut all: Vec<Race> = event.races.iter().filter_map(|listed| source.race(listed.id)).collect();

    let mut dice = Dice::of(seed, "edges", &[]);
    let mut oddities = BTreeMap::new();
    let kinds = Edge::ALL.into_iter().filter(|e| complete || !matches!(e, Edge::NoTable | Edge::LapRepeated));
    for (race, edge) in all.iter_mut().zip(kinds) {
        apply(&mut dice, race, edge, id_base(event.id) + 9_000);
        if let Some(oddity) = edge.oddity() {
            oddities.insert(race.listed.id, oddity);
        }
    }
    parentheses(&mut all, &mut entries);

    event.has_entry_list = complete;
    if !complete {
        entries.clear();
    }
    event.total_laps = u32::try_from(all.iter().map(Race::lap_count).sum::<usize>()).unwrap_or(u32::MAX);
    event.races = all.iter().map(|race| race.listed.clone()).collect();
    Synth::of(Base::Drawn { event, entries, races: all }, oddities)
}

/// Gives the oldest race's class a name with parentheses, everywhere.
fn parentheses(races: &mut [Race], entries: &mut [Entry]) {
    let Some(old) = races.last().map(|race| race.listed.class.clone()) else { return };
    let new = format!("{old} (17.5T)");
    for race in races.iter_mut().filter(|race| race.listed.class == old) {
        // A race without label would read as `CLASS (LABEL)`, with `17.5T` as its label.
        let label = if race.listed.label.is_empty() { format!("{old} Group") } else { race.listed.label.clone() };
        race.listed.label = label.replacen(&old, &new, 1);
        race.listed.class.clone_from(&new);
    }
    for entry in entries.iter_mut().filter(|entry| entry.class == old) {
        entry.class.clone_from(&new);
    }
}

/// Makes a race unusual. `new_ids` is the first id that belongs to nobody.
fn apply(dice: &mut Dice, race: &mut Race, edge: Edge, new_ids: u64) {
    let mut resettle = true;
    match edge {
        Edge::EmptyRace => race.results.clear(),
        Edge::NoCompletionTime => race.listed.completed_at = None,
        Edge::OverAnHour => {
            race.length_ms = 62 * 60_000;
            race.length = length(race.length_ms);
            race.first_lap_counts = false;
            for result in &mut race.results {
                let enough =
                    |laps: &[super::model::Lap]| laps.iter().map(|l| u64::from(l.time_ms)).sum::<u64>() >= 3_720_000;
                while !result.laps.is_empty() && !enough(&result.laps) {
                    result.laps.push(lap(39_500.0 * dice.spread(0.03)));
                }
            }
        }
        Edge::PositionsNotNumbers => {
            for (result, shown) in race.results.iter_mut().zip(["DQ", "DNF", "--"]) {
                result.shown.position = Some(shown.to_owned());
            }
        }
        Edge::NotEntered => race.results.push(stranger(dice, race, new_ids, true)),
        Edge::EqualNames => {
            let (one, mut two) = (stranger(dice, race, new_ids + 1, false), stranger(dice, race, new_ids + 2, false));
            two.name.clone_from(&one.name);
            two.car_number = "98".to_owned();
            race.results.extend([one, two]);
        }
        Edge::ConsistencyOver100 => {
            settle(&mut race.results, race.length_ms, race.first_lap_counts);
            if let Some(result) = race.results.first_mut() {
                result.derived.consistency_milli = Some(104_250);
            }
            resettle = false;
        }
        Edge::NumberBeforeName => race.number_before_name = true,
        Edge::NobodyStarted => {
            for result in &mut race.results {
                result.laps.clear();
                result.grid = None;
                (result.shown.link, result.shown.scripted) = (false, true);
                result.driver_id = Some(result.shown.driver);
            }
        }
        Edge::NoTable | Edge::LapsBackwards | Edge::LapRepeated => resettle = false,
    }
    if resettle {
        settle(&mut race.results, race.length_ms, race.first_lap_counts);
    } else {
        number_twins(&mut race.results);
    }
}

/// Somebody who is in no entry list: with a lap or so less than the winner, or not started and without any id.
fn stranger(dice: &mut Dice, race: &Race, id: u64, started: bool) -> RaceResult {
    let name = new_name(dice);
    let winner = race.results.first().map(|r| r.laps.as_slice()).unwrap_or_default();
    let laps: Vec<_> = if started { winner.iter().skip(1).copied().collect() } else { Vec::new() };
    RaceResult {
        driver_id: started.then_some(id),
        name,
        nth: 0,
        car_number: "99".to_owned(),
        position: None,
        qualifying: None,
        grid: (!laps.is_empty()).then_some(99),
        laps_completed: 0,
        total_ms: None,
        behind: String::new(),
        derived: Derived::default(),
        laps,
        shown: Shown { driver: id, link: started, scripted: started, position: None },
    }
}
