//! The cures in the review's order, then what this project adds; and the variants of the engine that they make.

use std::collections::BTreeMap;

/// A change of the reviewed pattern that can be switched by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cure {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Settings that switch it on.
    pub on: &'static [(&'static str, &'static str)],
    /// Settings that switch it off again, from the profile `fast`.
    pub off: &'static [(&'static str, &'static str)],
    /// What the review expected: time saved, per cent from and to. `None`: not the review's.
    pub expected: Option<(u32, u32)>,
    /// What it puts at risk, and what stands against that.
    pub risk: &'static str,
}

/// All of them, each on top of those before it.
pub const CURES: [Cure; 7] = [
    Cure {
        name: "no SELECT",
        does: "no SELECT of existing keys ahead of each lap batch",
        on: &[("select_existing", "false")],
        off: &[("select_existing", "true")],
        expected: Some((30, 50)),
        risk: "a lap written twice, were it not for the primary key and ON CONFLICT",
    },
    Cure {
        name: "batches",
        does: "5,000 laps in a statement in place of 1,000, 20 races in a transaction in place of 10",
        on: &[("lap_batch", "5000"), ("commit_races", "20")],
        off: &[("lap_batch", "1000"), ("commit_races", "10")],
        expected: Some((20, 30)),
        risk: "a crash loses up to twice as many uncommitted races, which are fetched and written again",
    },
    Cure {
        name: "concurrency",
        does: "8 race pages in flight in place of 4",
        on: &[("race_concurrency", "8")],
        off: &[("race_concurrency", "4")],
        expected: Some((50, 80)),
        risk: "pages arrive out of order, and the site is asked harder: units form in page order, and politeness is not a profile's",
    },
    Cure {
        name: "accumulation",
        does: "lap batches go across the races of a transaction",
        on: &[("accumulate_laps", "true")],
        off: &[("accumulate_laps", "false")],
        expected: Some((10, 20)),
        risk: "a bad race fails its neighbours' batch: the unit is then replayed race by race",
    },
    Cure {
        name: "batched rows",
        does: "a statement for all drivers, entries and results of a transaction in place of two for each",
        on: &[("row_writes", "batched")],
        off: &[("row_writes", "one-by-one")],
        expected: None,
        risk: "an id that is computed and not looked up must be the same in every engine",
    },
    Cure {
        name: "COPY",
        does: "laps by binary COPY in place of multi-row INSERT",
        on: &[("write_path", "copy"), ("lap_batch", "auto")],
        off: &[("write_path", "insert"), ("lap_batch", "5000")],
        expected: None,
        risk: "COPY knows no ON CONFLICT: of races that are stored, what differs is found, deleted and copied anew",
    },
    Cure {
        name: "fast",
        does: "two transactions side by side, and unchanged races left out: the profile `fast`",
        on: &[("writers", "2"), ("skip_unchanged", "true")],
        off: &[("writers", "1"), ("skip_unchanged", "false")],
        expected: None,
        risk: "two units could deadlock over a driver that they share: drivers are written sorted, in a transaction ahead",
    },
];

/// An engine between `before` and `fast`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Label in tables.
    pub label: String,
    /// Settings on top of `before`.
    pub settings: BTreeMap<String, String>,
    /// Index of the cure that it stands for in [`CURES`]; `None`: `before` itself.
    pub cure: Option<usize>,
    /// Whether the cures before it are on as well.
    pub cumulative: bool,
}

impl Variant {
    fn of(label: String, cures: &[Cure], cure: Option<usize>, cumulative: bool) -> Self {
        let on = cures.iter().flat_map(|c| c.on).map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self { label, settings: on.collect(), cure, cumulative }
    }
}

/// `before`; each of the review's cures alone; then all of [`CURES`] on top of one another. The first alone is also the first of
/// the stack, and is measured once.
#[must_use]
pub fn variants() -> Vec<Variant> {
    let mut all = vec![Variant::of("before".to_owned(), &[], None, false)];
    for (i, cure) in CURES.iter().enumerate().filter(|(_, c)| c.expected.is_some()) {
        all.push(Variant::of(format!("{} alone", cure.name), &CURES[i..=i], Some(i), i == 0));
    }
    for (i, cure) in CURES.iter().enumerate().skip(1) {
        all.push(Variant::of(format!("+ {}", cure.name), &CURES[..=i], Some(i), true));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(profile: &str, own: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let profile = profile.parse().unwrap();
        let own: Vec<(&str, &str)> = own.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let settings = ingest::settings::Settings::with(profile, &own).unwrap();
        let rows = settings.resolved().iter().filter(|r| r.name != "profile");
        rows.map(|r| (r.name.to_owned(), r.value.clone())).collect()
    }

    #[test]
    fn the_stack_leads_from_before_over_after_to_fast() {
        let all = variants();
        let none = BTreeMap::new();
        let of = |label: &str| &all.iter().find(|v| v.label == label).unwrap().settings;
        assert_eq!(settings("before", of("before")), settings("before", &none));
        assert_eq!(
            settings("before", of("+ accumulation")),
            settings("after", &none),
            "the review's four make `after`"
        );
        assert_eq!(settings("before", of("+ fast")), settings("fast", &none));
    }

    #[test]
    fn every_cure_can_be_switched_off_from_fast_and_each_is_alone_once() {
        let none = BTreeMap::new();
        for cure in CURES {
            let off = cure.off.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_ne!(settings("fast", &off), settings("fast", &none), "{}", cure.name);
        }
        let mut seen: Vec<_> = variants().into_iter().map(|v| v.settings).collect();
        let n = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), n, "nothing is measured twice");
    }
}
