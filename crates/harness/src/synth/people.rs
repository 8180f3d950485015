//! Who races: people with invented names, and the classes that they enter.

use std::collections::HashSet;

use fake::Fake;
use fake::faker::name::raw::{FirstName, LastName};
use fake::locales::{DE_DE, EN, FR_FR, PT_BR};

use super::model::Entry;
use super::seed::Dice;

/// A driver.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// LiveRC's id.
    pub id: u64,
    /// First name, upper case.
    pub first: String,
    /// Last name, upper case.
    pub last: String,
    /// 0 for the quickest, 1 for the slowest.
    pub skill: f64,
}

impl Person {
    /// As the site shows it.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }
}

/// Everybody, and per class who entered it, in seeding order (indices into `people`).
#[derive(Debug)]
pub(super) struct Roster {
    pub people: Vec<Person>,
    pub entrants: Vec<Vec<usize>>,
    /// Persons who share their name with another.
    pub twins: HashSet<usize>,
}

impl Roster {
    /// People for classes of these sizes. About one driver in four enters a second class.
    pub(super) fn new(seed: u64, id_base: u64, class_sizes: &[usize]) -> Self {
        let entries: usize = class_sizes.iter().sum();
        let count = class_sizes.iter().copied().max().unwrap_or(0).max((entries * 77).div_ceil(100));
        let mut people = invent(seed, id_base, count);
        let mut order: Vec<usize> = (0..count).collect();
        Dice::of(seed, "entry order", &[]).shuffle(&mut order);
        // Consecutive stretches of a ring no shorter than any class: nobody is twice in a class.
        let mut at = 0;
        let mut entrants: Vec<Vec<usize>> = Vec::with_capacity(class_sizes.len());
        for size in class_sizes {
            entrants.push((at..at + size).map(|i| order[i % count]).collect());
            at += size;
        }
        let twins = share_names(&mut people, &entrants);
        for (class, list) in entrants.iter_mut().enumerate() {
            Dice::of(seed, "seeding", &[class as u64]).shuffle(list);
            list.sort_by(|a, b| people[*a].skill.total_cmp(&people[*b].skill));
        }
        Self { people, entrants, twins }
    }

    /// The entry list, classes in order; within a class numbered by last name.
    pub(super) fn entries(&self, seed: u64, classes: &[String]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (class, list) in self.entrants.iter().enumerate() {
            let mut sorted: Vec<&usize> = list.iter().collect();
            sorted.sort_by_key(|p| (&self.people[**p].last, &self.people[**p].first, **p));
            for (i, person) in sorted.into_iter().enumerate() {
                let who = &self.people[*person];
                entries.push(Entry {
                    class: classes[class].clone(),
                    car_number: (i + 1).to_string(),
                    name: who.name(),
                    sort_name: format!("{}, {}", who.last, who.first),
                    transponder: transponder(seed, *person, class),
                    driver: who.id,
                });
            }
        }
        entries
    }
}

/// Seven digits as a rule; some are missing, some hold two.
fn transponder(seed: u64, person: usize, class: usize) -> String {
    // Most drivers use one transponder for all classes, some one for each.
    let own = Dice::of(seed, "transponders", &[person as u64]).percent(70);
    let mut dice = Dice::of(seed, "transponder", &[person as u64, if own { 0 } else { class as u64 + 1 }]);
    let number = 1_000_000 + dice.below(8_999_999);
    match dice.below(100) {
        0..4 => String::new(),
        4..7 => format!("{number}/2"),
        _ => number.to_string(),
    }
}

/// `count` people with names of their own.
fn invent(seed: u64, id_base: u64, count: usize) -> Vec<Person> {
    let mut taken = HashSet::new();
    let mut ids: Vec<u64> = (0..count as u64).collect();
    Dice::of(seed, "driver ids", &[]).shuffle(&mut ids);
    (0..count)
        .map(|i| {
            let mut dice = Dice::of(seed, "person", &[i as u64]);
            let (first, mut last) = name(&mut dice, i);
            // Thousands of drivers meet the end of the name lists: a second last name tells them apart.
            while !taken.insert(format!("{first} {last}")) {
                let more: &str = LastName(EN).fake_with_rng(dice.raw());
                last = format!("{last}-{}", more.to_uppercase());
            }
            Person { id: id_base + ids[i], first, last, skill: dice.unit() }
        })
        .collect()
}

/// A name for somebody who is not in the roster, or whose name was wrong.
pub(super) fn new_name(dice: &mut Dice) -> String {
    let (first, last) = name(dice, usize::MAX);
    format!("{first} {last}")
}

/// First and last name. The first few people have an apostrophe and accents for certain, so that every event has some.
fn name(dice: &mut Dice, i: usize) -> (String, String) {
    let kind = match i {
        0 => 0,
        1 => 10,
        _ => dice.below(100),
    };
    let (first, last): (&str, String) = match kind {
        0..8 => {
            let last: &str = LastName(EN).fake_with_rng(dice.raw());
            let prefix = if dice.percent(70) { "O'" } else { "D'" };
            (FirstName(EN).fake_with_rng(dice.raw()), format!("{prefix}{last}"))
        }
        8..20 => {
            let first = FirstName(FR_FR).fake_with_rng(dice.raw());
            let last: &str = LastName(FR_FR).fake_with_rng(dice.raw());
            (first, accented(last))
        }
        20..25 => {
            let last: &str = LastName(DE_DE).fake_with_rng(dice.raw());
            (FirstName(DE_DE).fake_with_rng(dice.raw()), last.to_owned())
        }
        25..30 => {
            let last: &str = LastName(PT_BR).fake_with_rng(dice.raw());
            (FirstName(PT_BR).fake_with_rng(dice.raw()), last.to_owned())
        }
        _ => {
            let last: &str = LastName(EN).fake_with_rng(dice.raw());
            (FirstName(EN).fake_with_rng(dice.raw()), last.to_owned())
        }
    };
    (tidy(first), tidy(&last))
}

/// The last `e` or `a` of a name with an accent, where it has none yet.
fn accented(name: &str) -> String {
    if !name.is_ascii() {
        return name.to_owned();
    }
    match name.rfind(['e', 'a']) {
        Some(at) if at > 0 => {
            let accent = if name[at..].starts_with('e') { 'é' } else { 'ä' };
            format!("{}{accent}{}", &name[..at], &name[at + 1..])
        }
        _ => format!("{name}é"),
    }
}

/// Upper case, single spaces.
fn tidy(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase()
}

/// Gives two pairs of drivers one name each: two in one class, and two who never meet in a class.
fn share_names(people: &mut [Person], entrants: &[Vec<usize>]) -> HashSet<usize> {
    let mut twins = HashSet::new();
    let mut share = |people: &mut [Person], from: usize, to: usize| {
        (people[to].first, people[to].last) = (people[from].first.clone(), people[from].last.clone());
        twins.extend([from, to]);
    };
    if let Some(largest) = entrants.iter().max_by_key(|list| list.len()).filter(|list| list.len() >= 4) {
        // Not the first two people, whose names have an apostrophe and an accent.
        let mut pair = largest.iter().copied().filter(|p| *p > 1);
        if let (Some(from), Some(to)) = (pair.next(), pair.next()) {
            share(people, from, to);
        }
    }
    let classes_of = |person: usize| entrants.iter().map(|list| list.contains(&person)).collect::<Vec<_>>();
    let apart = |a: usize, b: usize| classes_of(a).iter().zip(classes_of(b)).all(|(x, y)| !(*x && y));
    if let (Some(first), Some(last)) = (entrants.first(), entrants.last()) {
        let pair = first.iter().rev().find_map(|a| {
            let free = |p: usize| p > 1 && !twins_contains(people, p);
            (free(*a)).then(|| last.iter().rev().find(|b| free(**b) && apart(*a, **b)).map(|b| (*a, *b))).flatten()
        });
        if let Some((from, to)) = pair {
            share(people, from, to);
        }
    }
    twins
}

/// Whether somebody else has this person's name.
fn twins_contains(people: &[Person], person: usize) -> bool {
    let me = &people[person];
    people.iter().enumerate().any(|(i, other)| i != person && other.first == me.first && other.last == me.last)
}
