//! What a database must hold after an event was ingested, as text, and the SQL that reads the same text from one.
//!
//! A row is its columns joined by `|`, NULL as `~`, dates and times as `to_char` writes them. Rows are told apart by
//! natural keys only: a result by (race, driver or `~`, name, nth), a lap by its result's key and its number. No id or
//! hash of an engine's own is looked at, so any schema can be judged by another [`RowMap`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::{Date, DateTime};
use md5::{Digest, Md5};

use super::edge::Expected;
use super::event::Synth;
use super::model::{Entry, Event, Race, RaceResult};

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// The event.
    Events,
    /// Its track.
    Tracks,
    /// Drivers who have a result of which the page tells the driver's id.
    Drivers,
    /// The entry list, with the driver where that is certain.
    Entries,
    /// Races.
    Races,
    /// Results.
    Results,
    /// Laps.
    Laps,
}

impl RowKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Events, Self::Tracks, Self::Drivers, Self::Entries, Self::Races, Self::Results, Self::Laps];

    /// As reports name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Tracks => "tracks",
            Self::Drivers => "drivers",
            Self::Entries => "entries",
            Self::Races => "races",
            Self::Results => "results",
            Self::Laps => "laps",
        }
    }

    /// Whether rows of this kind are grouped by race; the others all have group 0.
    #[must_use]
    pub fn by_race(self) -> bool {
        matches!(self, Self::Races | Self::Results | Self::Laps)
    }

    /// SQL over a row text `line` that gives its natural key as an array. A result (and its laps) is told by its driver's
    /// id where the page gives one, so that a corrected name is a change and not another result; else by name and nth.
    #[must_use]
    pub fn key_sql(self) -> &'static str {
        match self {
            Self::Events | Self::Tracks | Self::Drivers | Self::Races => "(string_to_array(line, '|'))[1:1]",
            Self::Entries => "(string_to_array(line, '|'))[1:5]",
            Self::Results => {
                "CASE WHEN split_part(line, '|', 2) = '~' THEN (string_to_array(line, '|'))[1:4] \
                 ELSE (string_to_array(line, '|'))[1:2] END"
            }
            Self::Laps => {
                "CASE WHEN split_part(line, '|', 2) = '~' THEN (string_to_array(line, '|'))[1:5] \
                 ELSE (string_to_array(line, '|'))[1:2] || split_part(line, '|', 5) END"
            }
        }
    }

    /// SQL over a row text `line` that gives what a change of the row is told by. A lap's text holds its result's name, which
    /// is not stored with the lap.
    #[must_use]
    pub fn value_sql(self) -> &'static str {
        match self {
            Self::Laps => "array_to_string((string_to_array(line, '|'))[5:], '|')",
            _ => "line",
        }
    }

    /// What the columns of a row text are, for messages.
    #[must_use]
    pub fn columns(self) -> &'static str {
        match self {
            Self::Events => "id|track|name|first_day|last_day|entries|drivers|total_laps",
            Self::Tracks => "slug|name",
            Self::Drivers => "id|name",
            Self::Entries => "event_id|class|name|car_number|transponder|driver_id",
            Self::Races => "id|event_id|round|number|class|label|completed_at|length|warnings",
            Self::Results => {
                "race_id|driver_id|name|nth|car_number|position|qualifying|grid|laps_completed|total_ms|behind|fastest_ms|\
                 fastest_lap|average_ms|average_top5_ms|average_top10_ms|average_top15_ms|top3_ms|deviation_ms|consistency_bp"
            }
            Self::Laps => "race_id|driver_id|name|nth|number|time_ms|position|pace_laps|pace_ms",
        }
    }
}

/// Rows that belong together: of one race, or (group 0) of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they are.
    pub kind: RowKind,
    /// The race's id, or 0.
    pub id: u64,
    /// Row texts in byte order; never empty.
    pub rows: Vec<String>,
}

/// A group in short: how many rows, and the MD5 of their texts joined by line feeds, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDigest {
    /// Rows.
    pub count: u64,
    /// MD5, as PostgreSQL's `md5()` writes it.
    pub md5: String,
}

impl Group {
    fn new(kind: RowKind, id: u64, mut rows: Vec<String>) -> Option<Self> {
        rows.sort_unstable();
        (!rows.is_empty()).then_some(Self { kind, id, rows })
    }

    /// The group in short.
    #[must_use]
    pub fn digest(&self) -> GroupDigest {
        let mut hash = Md5::new();
        for (i, row) in self.rows.iter().enumerate() {
            if i > 0 {
                hash.update(b"\n");
            }
            hash.update(row.as_bytes());
        }
        let md5 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        GroupDigest { count: self.rows.len() as u64, md5 }
    }
}

/// Everything that a database must hold of this revision: race by race in page order, then the event's own rows. Races
/// that an engine must refuse have no rows. One race is in memory at a time.
pub fn expected_groups(synth: &Synth) -> impl Iterator<Item = Group> + '_ {
    let mut seen = Seen::default();
    let mut races = synth.race_ids().into_iter();
    let mut ready: std::collections::VecDeque<Group> = std::collections::VecDeque::new();
    let mut finished = false;
    let event = synth.event();
    std::iter::from_fn(move || {
        loop {
            if let Some(group) = ready.pop_front() {
                return Some(group);
            }
            match races.next() {
                Some(id) if synth.expected(id) == Expected::Written => {
                    let Some(race) = synth.race(id) else { continue };
                    seen.add(&race);
                    ready.extend(race_groups(event.id, &race));
                }
                Some(_) => {}
                None if finished => return None,
                None => {
                    finished = true;
                    ready.extend(event_groups(&event, &synth.entries(), &seen));
                }
            }
        }
    })
}

/// Row texts of one group, in byte order; empty when the database must hold none.
#[must_use]
pub fn group_rows(synth: &Synth, kind: RowKind, id: u64) -> Vec<String> {
    if kind.by_race() {
        let race = (synth.expected(id) == Expected::Written).then(|| synth.race(id)).flatten();
        let groups = race.map(|race| race_groups(synth.event().id, &race)).into_iter().flatten();
        groups.into_iter().find(|g| g.kind == kind).map(|g| g.rows).unwrap_or_default()
    } else {
        expected_groups(synth).find(|g| g.kind == kind && g.id == id).map(|g| g.rows).unwrap_or_default()
    }
}

/// Who raced: what drivers and the entries' drivers are made of.
#[derive(Default)]
struct Seen {
    drivers: BTreeMap<u64, String>,
    /// Ids per class and name.
    by_name: HashMap<(String, String), BTreeSet<u64>>,
}

impl Seen {
    fn add(&mut self, race: &Race) {
        for result in &race.results {
            if let Some(id) = result.driver_id {
                self.drivers.insert(id, result.name.clone());
                let key = (race.listed.class.clone(), result.name.clone());
                self.by_name.entry(key).or_default().insert(id);
            }
        }
    }
}

fn race_groups(event: u64, race: &Race) -> Vec<Group> {
    let listed = &race.listed;
    let id = listed.id;
    let row = Row::default()
        .number(id)
        .number(event)
        .text(&listed.round)
        .number(listed.number)
        .text(&listed.class)
        .text(&listed.label)
        .maybe(listed.completed_at.map(timestamp))
        .text(&race.length)
        // Synthetic pages agree with themselves, so there is nothing to warn of.
        .text("");
    let laps = race.results.iter().flat_map(|result| {
        result.laps.iter().map(move |lap| {
            key(id, result)
                .number(lap.number)
                .number(lap.time_ms)
                .number(lap.position)
                .number(lap.pace_laps)
                .number(lap.pace_ms)
                .0
        })
    });
    [
        Group::new(RowKind::Races, id, vec![row.0]),
        Group::new(RowKind::Results, id, race.results.iter().map(|result| result_row(id, result)).collect()),
        Group::new(RowKind::Laps, id, laps.collect()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The natural key of a result.
fn key(race: u64, result: &RaceResult) -> Row {
    Row::default().number(race).maybe(result.driver_id).text(&result.name).number(result.nth)
}

fn result_row(race: u64, result: &RaceResult) -> String {
    let derived = &result.derived;
    key(race, result)
        .text(&result.car_number)
        .maybe(result.position)
        .maybe(result.qualifying)
        .maybe(result.grid)
        .number(result.laps_completed)
        .maybe(result.total_ms)
        .text(&result.behind)
        .maybe(derived.fastest_ms)
        .maybe(derived.fastest_lap)
        .maybe(derived.average_ms)
        .maybe(derived.top5_ms)
        .maybe(derived.top10_ms)
        .maybe(derived.top15_ms)
        .maybe(derived.three_consecutive_ms)
        .maybe(derived.shown_deviation_ms())
        .maybe(derived.shown_consistency_bp())
        .0
}

fn event_groups(event: &Event, entries: &[Entry], seen: &Seen) -> Vec<Group> {
    let event_row = Row::default()
        .number(event.id)
        .text(&event.track)
        .text(&event.name)
        .text(&date(event.first_day))
        .text(&date(event.last_day))
        .number(event.entries)
        .number(event.drivers)
        .number(event.total_laps);
    let track = Row::default().text(&event.track).text(&event.track_name);
    let drivers = seen.drivers.iter().map(|(id, name)| Row::default().number(*id).text(name).0).collect();
    let mut namesakes: HashMap<(&str, &str), u32> = HashMap::new();
    for entry in entries {
        *namesakes.entry((&entry.class, &entry.name)).or_default() += 1;
    }
    let entry_row = |entry: &Entry| {
        let only = namesakes.get(&(entry.class.as_str(), entry.name.as_str())) == Some(&1);
        let ids = seen.by_name.get(&(entry.class.clone(), entry.name.clone())).filter(|ids| only && ids.len() == 1);
        Row::default()
            .number(event.id)
            .text(&entry.class)
            .text(&entry.name)
            .text(&entry.car_number)
            .text(&entry.transponder)
            .maybe(ids.and_then(|ids| ids.first()).copied())
            .0
    };
    [
        Group::new(RowKind::Events, 0, vec![event_row.0]),
        Group::new(RowKind::Tracks, 0, vec![track.0]),
        Group::new(RowKind::Drivers, 0, drivers),
        Group::new(RowKind::Entries, 0, entries.iter().map(entry_row).collect()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row text under construction.
#[derive(Default)]
struct Row(String);

impl Row {
    fn text(mut self, text: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('|');
        }
        self.0.push_str(text);
        self
    }

    fn number(self, n: impl std::fmt::Display) -> Self {
        self.text(&n.to_string())
    }

    fn maybe(self, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.number(value),
            None => self.text("~"),
        }
    }
}

/// `to_char(…, 'YYYY-MM-DD')`.
fn date(date: Date) -> String {
    date.strftime("%Y-%m-%d").to_string()
}

/// `to_char(…, 'YYYY-MM-DD"T"HH24:MI:SS')`.
fn timestamp(at: DateTime) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// For every kind of row the SQL that reads it from a database: columns `grp` (bigint) and `line` (text), one parameter
/// `$1` (bigint, the event's id), no ORDER BY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMap(BTreeMap<RowKind, String>);

impl RowMap {
    /// A map for another schema.
    #[must_use]
    pub fn new(queries: impl IntoIterator<Item = (RowKind, String)>) -> Self {
        Self(queries.into_iter().collect())
    }

    /// The rows of a kind in no order: columns `grp`, `line`.
    #[must_use]
    pub fn sql(&self, kind: RowKind) -> Option<&str> {
        self.0.get(&kind).map(String::as_str)
    }

    /// The rows of a kind, ordered as in [`Group::rows`]: columns `grp`, `line`.
    #[must_use]
    pub fn rows_sql(&self, kind: RowKind) -> Option<String> {
        let inner = self.0.get(&kind)?;
        Some(format!("SELECT grp, line FROM ({inner}) AS r ORDER BY grp, line COLLATE \"C\""))
    }

    /// The rows of one group (`$2`, bigint), ordered as in [`Group::rows`]: column `line`.
    #[must_use]
    pub fn group_sql(&self, kind: RowKind) -> Option<String> {
        let inner = self.0.get(&kind)?;
        Some(format!("SELECT line FROM ({inner}) AS r WHERE grp = $2 ORDER BY line COLLATE \"C\""))
    }

    /// Every group of a kind in short, as [`Group::digest`]: columns `grp`, `count` (bigint), `md5` (text).
    #[must_use]
    pub fn digest_sql(&self, kind: RowKind) -> Option<String> {
        let inner = self.0.get(&kind)?;
        Some(format!(
            "SELECT grp, count(*) AS count, md5(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\")) AS md5 \
             FROM ({inner}) AS r GROUP BY grp ORDER BY grp"
        ))
    }
}

impl Default for RowMap {
    /// For the schema of the built-in engine.
    fn default() -> Self {
        let result_key = ["s.race_id", "s.driver_id", "s.name", "s.nth"];
        let of_result = |columns: &[&str]| columns.iter().map(|c| format!("s.{c}")).collect::<Vec<_>>();
        let mut results: Vec<String> = result_key.iter().map(|c| (*c).to_owned()).collect();
        results.extend(of_result(&[
            "car_number",
            "position",
            "qualifying",
            "grid",
            "laps_completed",
            "total_ms",
            "behind",
            "fastest_ms",
            "fastest_lap",
            "average_ms",
            "average_top5_ms",
            "average_top10_ms",
            "average_top15_ms",
            "top3_ms",
            "deviation_ms",
            "consistency_bp",
        ]));
        let results: Vec<&str> = results.iter().map(String::as_str).collect();
        let mut laps = result_key.to_vec();
        laps.extend(["l.number", "l.time_ms", "l.position", "l.pace_laps", "l.pace_ms"]);
        let queries = [
            (
                RowKind::Events,
                select(
                    "0::bigint",
                    &[
                        "e.id",
                        "e.track",
                        "e.name",
                        "to_char(e.first_day, 'YYYY-MM-DD')",
                        "to_char(e.last_day, 'YYYY-MM-DD')",
                        "e.entries",
                        "e.drivers",
                        "e.total_laps",
                    ],
                    "events e WHERE e.id = $1",
                ),
            ),
            (
                RowKind::Tracks,
                select(
                    "0::bigint",
                    &["t.slug", "t.name"],
                    "tracks t JOIN events e ON e.track = t.slug WHERE e.id = $1",
                ),
            ),
            (
                RowKind::Drivers,
                // A driver without a result is legal: drivers are written ahead of their units, and stay behind.
                select(
                    "0::bigint",
                    &["d.id", "d.name"],
                    "drivers d WHERE EXISTS (SELECT FROM results s JOIN races r ON r.id = s.race_id \
                     WHERE s.driver_id = d.id AND r.event_id = $1)",
                ),
            ),
            (
                RowKind::Entries,
                select(
                    "0::bigint",
                    &["n.event_id", "n.class", "n.name", "n.car_number", "n.transponder", "n.driver_id"],
                    "entries n WHERE n.event_id = $1",
                ),
            ),
            (
                RowKind::Races,
                select(
                    "r.id",
                    &[
                        "r.id",
                        "r.event_id",
                        "r.round",
                        "r.number",
                        "r.class",
                        "r.label",
                        "to_char(r.completed_at, 'YYYY-MM-DD\"T\"HH24:MI:SS')",
                        "r.length",
                        "array_to_string(r.warnings, ';')",
                    ],
                    "races r WHERE r.event_id = $1",
                ),
            ),
            (
                RowKind::Results,
                select("s.race_id", &results, "results s JOIN races r ON r.id = s.race_id WHERE r.event_id = $1"),
            ),
            (
                RowKind::Laps,
                select(
                    "s.race_id",
                    &laps,
                    "laps l JOIN results s ON s.id = l.result_id JOIN races r ON r.id = s.race_id WHERE r.event_id = $1",
                ),
            ),
        ];
        Self::new(queries)
    }
}

/// `SELECT group AS grp, columns joined AS line FROM …`.
fn select(group: &str, columns: &[&str], from: &str) -> String {
    let columns: Vec<String> = columns.iter().map(|c| format!("coalesce({c}::text, '~')")).collect();
    format!("SELECT {group} AS grp, concat_ws('|', {}) AS line FROM {from}", columns.join(", "))
}
