//! An event before any correction: generated from a plan, or drawn by hand.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::derive;
use super::model::{Entry, Event, ListedRace, Race};
use super::people::Roster;
use super::plan::{Plan, PlannedRace, Round, letter};
use super::seed::Dice;
use super::simulate::{self, Starter};
use super::size::{Size, Totals};

/// From this length on LiveRC leaves lap 1 out of averages (inferred from the two real pages: 10 minutes in, 30 out).
const LONG_RACE_MS: u32 = 20 * 60_000;

/// Events get ids in blocks, so that two seeds share neither races nor drivers, and all ids stay below 2^32.
const IDS_PER_EVENT: u64 = 10_000;

/// A track: host label and name. Invented.
const TRACKS: [(&str, &str); 6] = [
    ("kestrelhollow", "Kestrel Hollow RC Raceway"),
    ("saltpan", "Salt Pan Off Road Park"),
    ("ironbark", "Ironbark Model Car Club"),
    ("tidewater", "Tidewater Indoor Clay"),
    ("quarrylane", "Quarry Lane Buggy Track"),
    ("northmoor", "Northmoor Radio Car Circuit"),
];

const MEETINGS: [&str; 6] = [
    "Founder's Cup",
    "Clay & Carpet Challenge",
    "Autumn Classic, Round 2",
    "Night Race Nº 7",
    "Spring Warm-up",
    "Regional Championship",
];

/// What an event is made of.
#[derive(Debug)]
pub(super) enum Base {
    /// From a seed; races are made when asked for.
    Generated(Box<Generated>),
    /// By hand: small, kept whole.
    Drawn { event: Event, entries: Vec<Entry>, races: Vec<Race> },
}

/// A generated event: its plan, its people, and the qualifying orders found so far.
#[derive(Debug)]
pub(super) struct Generated {
    seed: u64,
    totals: Totals,
    id: u64,
    plan: Plan,
    roster: Roster,
    orders: Vec<OnceLock<Vec<usize>>>,
}

/// The id of the event that `label` and `seed` name.
pub(super) fn event_id(seed: u64, label: &str) -> u64 {
    100_000 + Dice::of(seed, label, &[]).below(300_000)
}

/// First id of the event's races and drivers.
pub(super) fn id_base(event: u64) -> u64 {
    event * IDS_PER_EVENT
}

/// The track of a seed, as (host label, name).
pub(super) fn track(seed: u64) -> (String, String) {
    let (slug, name) = TRACKS[Dice::of(seed, "track", &[]).index(TRACKS.len())];
    (slug.to_owned(), name.to_owned())
}

impl Generated {
    pub(super) fn new(size: Size, seed: u64) -> Self {
        let totals = size.totals();
        let label = format!("event {} {} {}", totals.races(), totals.results(), totals.laps());
        let id = event_id(seed, &label);
        let plan = Plan::new(totals, seed, id_base(id));
        let class_sizes: Vec<usize> = plan.groups.iter().map(|g| g.iter().sum()).collect();
        let roster = Roster::new(seed, id_base(id), &class_sizes);
        let orders = plan.classes.iter().map(|_| OnceLock::new()).collect();
        Self { seed, totals, id, plan, roster, orders }
    }

    fn event(&self) -> Event {
        Event { races: self.listed(), ..self.head() }
    }

    fn head(&self) -> Event {
        let (track, track_name) = track(self.seed);
        let meeting = MEETINGS[Dice::of(self.seed, "meeting", &[]).index(MEETINGS.len())];
        let entered: HashSet<usize> = self.roster.entrants.iter().flatten().copied().collect();
        Event {
            id: self.id,
            name: format!("{} {meeting}", self.plan.start.year()),
            track,
            track_name,
            first_day: self.plan.start.date(),
            last_day: self.plan.end.date(),
            entries: count(self.roster.entrants.iter().map(Vec::len).sum()),
            drivers: count(entered.len()),
            total_laps: self.totals.laps(),
            has_entry_list: true,
            races: Vec::new(),
        }
    }

    /// Newest round first, within a round the highest number first.
    fn listed(&self) -> Vec<ListedRace> {
        self.plan.races.iter().rev().map(|race| self.list(race)).collect()
    }

    fn list(&self, planned: &PlannedRace) -> ListedRace {
        let class = &self.plan.classes[planned.class];
        let label = match planned.round {
            Round::Practice => String::new(),
            Round::Seeding | Round::Qualifier(_) => {
                format!("{class} (Heat {}/{})", planned.group + 1, self.plan.group_count(planned.class))
            }
            Round::Mains => {
                let leg = planned.leg.map_or_else(String::new, |leg| leg.to_string());
                format!("{class} {}{leg}-Main", letter(planned.group))
            }
        };
        ListedRace {
            id: planned.id,
            round: planned.round.title(),
            number: planned.number,
            class: class.clone(),
            label,
            completed_at: Some(planned.completed),
        }
    }

    fn planned(&self, id: u64) -> Option<&PlannedRace> {
        // Ids grow with time.
        let at = self.plan.races.binary_search_by_key(&id, |race| race.id).ok()?;
        self.plan.races.get(at)
    }

    fn race(&self, planned: &PlannedRace) -> Race {
        let outcome = self.simulate(planned);
        let first_lap_counts = outcome.length_ms < LONG_RACE_MS;
        let mut results = outcome.results;
        derive::settle(&mut results, outcome.length_ms, first_lap_counts);
        Race {
            listed: self.list(planned),
            length: super::render::length(outcome.length_ms),
            length_ms: outcome.length_ms,
            first_lap_counts,
            number_before_name: Dice::of(self.seed, "number before name", &[planned.id]).percent(12),
            round_code: planned.round.code(),
            results,
        }
    }

    fn simulate(&self, planned: &PlannedRace) -> simulate::Outcome {
        let people = self.grid(planned);
        let starters: Vec<Starter<'_>> = people
            .iter()
            .map(|p| Starter { person: &self.roster.people[*p], twin: self.roster.twins.contains(p) })
            .collect();
        simulate::race(&mut Dice::of(self.seed, "race", &[planned.id]), &starters, planned.laps)
    }

    /// Who is on the page, in grid order: mains by qualifying, all else by seeding.
    fn grid(&self, planned: &PlannedRace) -> Vec<usize> {
        let sizes = &self.plan.groups[planned.class];
        let mut grid: Vec<usize> = if planned.round == Round::Mains {
            let before: usize = sizes[..planned.group].iter().sum();
            self.qualified(planned.class).iter().skip(before).take(sizes[planned.group]).copied().collect()
        } else {
            self.heat(planned.class, planned.group)
        };
        let mut dice = Dice::of(self.seed, "absent", &[planned.id]);
        while grid.len() > planned.field {
            let absent = dice.index(grid.len());
            grid.remove(absent);
        }
        grid
    }

    /// The entrants of one heat: dealt in turn, so that each heat has quick and slow ones.
    fn heat(&self, class: usize, group: usize) -> Vec<usize> {
        let mut left = self.plan.groups[class].clone();
        let mut next = 0;
        let mut heat = Vec::new();
        for person in &self.roster.entrants[class] {
            let Some(to) = (0..left.len()).map(|i| (next + i) % left.len()).find(|i| left[*i] > 0) else { break };
            left[to] -= 1;
            next = to + 1;
            if to == group {
                heat.push(*person);
            }
        }
        heat
    }

    /// A class's qualifying order: by each driver's best qualifier, most laps first, then the least time. Who has none
    /// follows in seeding order. Found once per class: mains need it, and it costs the class's qualifiers.
    fn qualified(&self, class: usize) -> &[usize] {
        self.orders[class].get_or_init(|| {
            let mut best: std::collections::HashMap<u64, (std::cmp::Reverse<usize>, u64)> =
                std::collections::HashMap::new();
            let qualifiers =
                self.plan.races.iter().filter(|r| r.class == class && matches!(r.round, Round::Qualifier(_)));
            for planned in qualifiers {
                for result in self.simulate(planned).results {
                    let time = result.laps.iter().map(|lap| u64::from(lap.time_ms)).sum();
                    let mine = (std::cmp::Reverse(result.laps.len()), time);
                    let known = best.entry(result.shown.driver).or_insert(mine);
                    *known = mine.min(*known);
                }
            }
            let mut order = self.roster.entrants[class].clone();
            order.sort_by_key(|p| {
                let id = self.roster.people[*p].id;
                best.get(&id).copied().unwrap_or((std::cmp::Reverse(0), u64::MAX))
            });
            order
        })
    }
}

/// A length as a page counts it.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Base {
    pub(super) fn seed(&self) -> u64 {
        match self {
            Self::Generated(g) => g.seed,
            Self::Drawn { event, .. } => event.id,
        }
    }

    pub(super) fn event(&self) -> Event {
        match self {
            Self::Generated(g) => g.event(),
            Self::Drawn { event, .. } => event.clone(),
        }
    }

    /// The event without its races: all that a race page says of it.
    pub(super) fn head(&self) -> Event {
        match self {
            Self::Generated(g) => g.head(),
            Self::Drawn { event, .. } => Event { races: Vec::new(), ..event.clone() },
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        match self {
            Self::Generated(g) => g.roster.entries(g.seed, &g.plan.classes),
            Self::Drawn { entries, .. } => entries.clone(),
        }
    }

    pub(super) fn race(&self, id: u64) -> Option<Race> {
        match self {
            Self::Generated(g) => g.planned(id).map(|planned| g.race(planned)),
            Self::Drawn { races, .. } => races.iter().find(|race| race.listed.id == id).cloned(),
        }
    }

    /// Ids of the drivers on a race's page, without generating its laps.
    pub(super) fn drivers_of(&self, id: u64) -> Vec<u64> {
        match self {
            Self::Generated(g) => g
                .planned(id)
                .map(|planned| g.grid(planned).iter().map(|p| g.roster.people[*p].id).collect())
                .unwrap_or_default(),
            Self::Drawn { races, .. } => races
                .iter()
                .filter(|race| race.listed.id == id)
                .flat_map(|race| race.results.iter().map(|r| r.shown.driver))
                .collect(),
        }
    }
}
