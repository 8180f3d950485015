//! What an event consists of: classes, rounds, and per race its field, its laps and its time, with exact totals.
//!
//! A plan is small (a few words a race) and is all that is kept of an event; races are generated from it on demand.

use jiff::ToSpan;
use jiff::civil::DateTime;

use super::seed::Dice;
use super::size::Totals;

/// What sort of round a race belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Practice,
    Seeding,
    Qualifier(u32),
    Mains,
}

impl Round {
    /// As the page heads it.
    pub(super) fn title(self) -> String {
        match self {
            Self::Practice => "Practice".to_owned(),
            Self::Seeding => "Seeding".to_owned(),
            Self::Qualifier(n) => format!("Qualifier Round {n}"),
            Self::Mains => "Main Events".to_owned(),
        }
    }

    /// `M1` of `[M1 Race #14]`.
    pub(super) fn code(self) -> String {
        match self {
            Self::Practice => "P1".to_owned(),
            Self::Seeding => "S1".to_owned(),
            Self::Qualifier(n) => format!("Q{n}"),
            Self::Mains => "M1".to_owned(),
        }
    }
}

/// A race to come.
#[derive(Debug, Clone)]
pub(super) struct PlannedRace {
    pub id: u64,
    pub round: Round,
    pub number: u32,
    pub class: usize,
    /// Which of the class's groups: heat, or main (0 is the A-Main).
    pub group: usize,
    /// Leg of a triple main.
    pub leg: Option<u32>,
    /// Rows of its table.
    pub field: usize,
    /// Laps of all its drivers.
    pub laps: u64,
    pub completed: DateTime,
}

/// The whole event, chronologically.
#[derive(Debug)]
pub(super) struct Plan {
    pub classes: Vec<String>,
    /// Sizes of each class's groups.
    pub groups: Vec<Vec<usize>>,
    pub races: Vec<PlannedRace>,
    pub start: DateTime,
    pub end: DateTime,
}

const VEHICLES: [&str; 6] =
    ["1/8 Nitro Buggy", "1/8 Electric Buggy", "1/10 2WD Buggy", "Nitro Truggy", "Stadium Truck & SCT", "E-Truggy"];
const LEVELS: [&str; 6] = ["", "Spt. ", "40+ ", "Int. ", "50+ ", "Pro "];

impl Plan {
    pub(super) fn new(totals: Totals, seed: u64, id_base: u64) -> Self {
        let races = totals.races() as usize;
        let rounds = match races {
            0..4 => 1,
            4..12 => 3,
            12..24 => 4,
            24..400 => 5,
            _ => 10,
        };
        // A few races are left over for the legs of triple mains and for practice.
        let group_count = (races * 92 / 100 / rounds).max(1);
        let class_count = ((group_count + 1) * 2 / 5).max(group_count.min(2)).min(VEHICLES.len() * LEVELS.len());
        let groups_of: Vec<usize> =
            (0..class_count).map(|c| group_count / class_count + usize::from(c < group_count % class_count)).collect();
        let slots = slots(races, rounds, &groups_of);
        let fields = fields(totals.results() as usize, &slots, seed);
        let laps = laps(u64::from(totals.laps()), &slots, &fields);

        let mut groups: Vec<Vec<usize>> = groups_of.iter().map(|n| vec![0; *n]).collect();
        for (slot, field) in slots.iter().zip(&fields) {
            let size = &mut groups[slot.class][slot.group];
            *size = (*size).max(*field);
        }
        let start = first_morning(seed);
        let (planned, end) = schedule(&slots, &fields, &laps, start, id_base);
        Self { classes: class_names(class_count, seed), groups, races: planned, start, end }
    }

    /// How many heats or mains a class has.
    pub(super) fn group_count(&self, class: usize) -> usize {
        self.groups[class].len()
    }
}

/// `A`, `B`, … `Z`, `AA`, …
pub(super) fn letter(group: usize) -> String {
    let last = char::from(b'A' + u8::try_from(group % 26).unwrap_or(0));
    if group < 26 { last.to_string() } else { format!("{}{last}", letter(group / 26 - 1)) }
}

/// A race before its size is known.
struct Slot {
    round: Round,
    number: u32,
    class: usize,
    group: usize,
    leg: Option<u32>,
}

/// All races in chronological order.
fn slots(races: usize, rounds: usize, groups_of: &[usize]) -> Vec<Slot> {
    let per_round: usize = groups_of.iter().sum();
    let spare = races.saturating_sub(rounds * per_round);
    let triples = if races == 0 { 0 } else { (spare / 2).min(groups_of.len()) };
    let practice = spare - 2 * triples;
    let mut kinds = Vec::new();
    if rounds >= 4 {
        kinds.push(Round::Seeding);
    }
    let qualifiers = rounds.saturating_sub(1 + kinds.len());
    kinds.extend((1..=qualifiers).filter_map(|n| u32::try_from(n).ok()).map(Round::Qualifier));
    let all: Vec<(usize, usize)> =
        groups_of.iter().enumerate().flat_map(|(class, n)| (0..*n).map(move |group| (class, group))).collect();

    let mut slots = Vec::with_capacity(races);
    let mut add = |round: Round, list: Vec<(usize, usize, Option<u32>)>| {
        for ((class, group, leg), number) in list.into_iter().zip(1..) {
            slots.push(Slot { round, number, class, group, leg });
        }
    };
    add(Round::Practice, (0..practice).map(|i| (all[i % all.len()].0, all[i % all.len()].1, None)).collect());
    for kind in kinds {
        add(kind, all.iter().map(|(class, group)| (*class, *group, None)).collect());
    }
    // Lower mains first; then the legs of the triple A-Mains; the single A-Mains last.
    let mut mains = Vec::new();
    mains.extend(all.iter().rev().filter(|(_, group)| *group > 0).map(|(class, group)| (*class, *group, None)));
    for leg in 1..=3 {
        mains.extend((0..triples).map(|class| (class, 0, Some(leg))));
    }
    mains.extend((triples..groups_of.len()).map(|class| (class, 0, None)));
    add(Round::Mains, mains);
    slots.truncate(races);
    slots
}

/// Rows per race: about the mean, the same for a group in all rounds as far as the total allows.
fn fields(results: usize, slots: &[Slot], seed: u64) -> Vec<usize> {
    if slots.is_empty() {
        return Vec::new();
    }
    let mean = results / slots.len();
    let mut fields: Vec<usize> = slots
        .iter()
        .map(|slot| {
            let mut dice = Dice::of(seed, "field", &[slot.class as u64, slot.group as u64]);
            let vary = if mean >= 6 { dice.index(5) } else { 2 };
            (mean + vary).saturating_sub(2)
        })
        .collect();
    let mut sum: usize = fields.iter().sum();
    let floor = usize::from(results >= slots.len());
    let mut at = Dice::of(seed, "field spread", &[]).index(slots.len());
    while sum != results {
        let field = &mut fields[at % slots.len()];
        if sum < results {
            *field += 1;
            sum += 1;
        } else if *field > floor {
            *field -= 1;
            sum -= 1;
        }
        at += 1;
    }
    fields
}

/// Laps per race in proportion to its field and its round's length, exact in sum (largest remainders).
fn laps(total: u64, slots: &[Slot], fields: &[usize]) -> Vec<u64> {
    let weights: Vec<u64> = slots
        .iter()
        .zip(fields)
        .map(|(slot, field)| {
            *field as u64
                * match (slot.round, slot.group, slot.leg) {
                    (Round::Practice | Round::Seeding, ..) => 7,
                    (Round::Qualifier(_), ..) => 10,
                    (Round::Mains, 0, None) => 24,
                    (Round::Mains, 0, Some(_)) => 16,
                    (Round::Mains, ..) => 14,
                }
        })
        .collect();
    let sum: u64 = weights.iter().sum();
    if sum == 0 {
        return vec![0; slots.len()];
    }
    let mut laps: Vec<u64> = weights.iter().map(|w| total * w / sum).collect();
    let mut rest: Vec<usize> = (0..slots.len()).filter(|i| weights[*i] > 0).collect();
    rest.sort_by_key(|i| std::cmp::Reverse(total * weights[*i] % sum));
    let missing = total - laps.iter().sum::<u64>();
    for i in rest.into_iter().take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        laps[i] += 1;
    }
    laps
}

/// Eight in the morning of a day in 2025.
fn first_morning(seed: u64) -> DateTime {
    let days = Dice::of(seed, "first day", &[]).below(330);
    let epoch = jiff::civil::datetime(2025, 1, 4, 8, 0, 0, 0);
    epoch.saturating_add(i64::try_from(days).unwrap_or(0).days())
}

/// One race after the other from eight to ten, day after day; ids in chronological order with a gap between rounds.
fn schedule(
    slots: &[Slot],
    fields: &[usize],
    laps: &[u64],
    start: DateTime,
    id_base: u64,
) -> (Vec<PlannedRace>, DateTime) {
    let mut clock = start;
    let mut id = id_base;
    let mut last_round = None;
    let mut planned = Vec::with_capacity(slots.len());
    for ((slot, field), laps) in slots.iter().zip(fields).zip(laps) {
        let minutes = i64::try_from(4 + laps / (*field).max(1) as u64 * 7 / 10).unwrap_or(4);
        clock = clock.saturating_add(minutes.minutes());
        if clock.hour() >= 22 || clock.hour() < 8 {
            clock = clock.date().at(8, 0, 0, 0).saturating_add(if clock.hour() >= 22 { 1.day() } else { 0.days() });
            clock = clock.saturating_add(minutes.minutes());
        }
        id += if last_round.is_some_and(|r| r != slot.round) { 7 } else { 1 };
        last_round = Some(slot.round);
        planned.push(PlannedRace {
            id,
            round: slot.round,
            number: slot.number,
            class: slot.class,
            group: slot.group,
            leg: slot.leg,
            field: *field,
            laps: *laps,
            completed: clock,
        });
    }
    (planned, clock)
}

/// Distinct class names, beginning somewhere in the list.
fn class_names(count: usize, seed: u64) -> Vec<String> {
    let offset = Dice::of(seed, "classes", &[]).index(VEHICLES.len());
    (0..count)
        .map(|i| format!("{}{}", LEVELS[i / VEHICLES.len() % LEVELS.len()], VEHICLES[(i + offset) % VEHICLES.len()]))
        .collect()
}
