//! Fuzzing of the page readers on stable: pages that are mutated along their structure, from a seed.
//!
//! An input is a function of (seed, number, seed pages), so that one that was found is made again by its number.

#![allow(dead_code, reason = "the test does not use all of what the example does")]

pub mod memory;
pub mod mutate;
pub mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingest::liverc::{describe, entry_list, event_page, parse_race, racer_laps};
use ingest::model::{ListedRace, Race};
use ingest::store::UnitRace;
use nix::time::{ClockId, clock_gettime};

use mutate::Mutator;

/// The fixture pages: true to LiveRC's shapes, in the raw form and the formatted one.
const PAGES: [(&str, &str); 6] = [
    ("race-raw", include_str!("../../fixtures/pages/race-raw.html")),
    ("race-formatted", include_str!("../../fixtures/pages/race-formatted.html")),
    ("event-raw", include_str!("../../fixtures/pages/event-raw.html")),
    ("event-formatted", include_str!("../../fixtures/pages/event-formatted.html")),
    ("entry-list-raw", include_str!("../../fixtures/pages/entry-list-raw.html")),
    ("entry-list-formatted", include_str!("../../fixtures/pages/entry-list-formatted.html")),
];

/// CPU time that one input may take. The readers take some ms for each MB, in a debug build some tens.
const MOST_CPU: Duration = Duration::from_secs(10);
/// Memory that the readers may hold at once: so many bytes for each byte of the input, and a fixed part. A node of a
/// parsed page takes 200 bytes and more, and the shortest tag has three.
const MOST_MEMORY: (usize, usize) = (400, 32 << 20);

/// Pages to mutate: those of the fixtures, and those of some folders.
pub fn seed_pages(folders: &[PathBuf]) -> std::io::Result<Vec<(String, String)>> {
    let mut pages: Vec<_> = PAGES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    for folder in folders {
        let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        files.sort_by_key(std::fs::DirEntry::file_name);
        for file in files.iter().map(std::fs::DirEntry::path).filter(|p| p.extension().is_some_and(|e| e == "html")) {
            let text = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
            pages.push((file.display().to_string(), text));
        }
    }
    Ok(pages)
}

/// The real pages in the folder beside the workspace, where they are.
pub fn real_pages() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    workspace.ancestors().skip(1).map(|up| up.join("shared/liverc/pages")).find(|p| p.is_dir())
}

/// What inputs came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub inputs: u64,
    pub bytes: u64,
    /// Inputs of which a reader read something.
    pub read: u64,
    pub slowest: (Duration, u64),
    /// Most memory at once, its input, and that input's size.
    pub largest: (usize, u64, usize),
}

/// What is wrong with an input.
#[derive(Debug)]
pub struct Found {
    pub input: u64,
    pub what: String,
    pub text: String,
}

/// Makes an input and reads it with every reader.
pub fn one(mutator: &Mutator, number: u64, tally: &mut Tally) -> Result<(), Box<Found>> {
    let text = mutator.input(number);
    let found = |what: String| Box::new(Found { input: number, what, text: text.clone() });
    let held = memory::now();
    memory::reset_peak();
    let begun = cpu();
    let read = catch_unwind(AssertUnwindSafe(|| read(&text)));
    let took = cpu().saturating_sub(begun);
    let peak = memory::peak().saturating_sub(held);
    tally.inputs += 1;
    tally.bytes += text.len() as u64;
    tally.slowest = tally.slowest.max((took, number));
    tally.largest = tally.largest.max((peak, number, text.len()));
    match read {
        Err(panic) => return Err(found(format!("panic: {}", message(&*panic)))),
        Ok(Err(wrong)) => return Err(found(wrong)),
        Ok(Ok(any)) => tally.read += u64::from(any),
    }
    if took > MOST_CPU {
        return Err(found(format!("took {took:?} of CPU time for {} bytes", text.len())));
    }
    let (each, fixed) = MOST_MEMORY;
    if peak > text.len() * each + fixed {
        return Err(found(format!("held {peak} bytes for an input of {}", text.len())));
    }
    Ok(())
}

/// Reads a text with every reader. Whether one of them read something; an error is a result that cannot be.
fn read(text: &str) -> Result<bool, String> {
    let race = parse_race(text, ListedRace { id: 1, ..listed() });
    let mut any = false;
    if let Ok(race) = race {
        any = true;
        sound(&race)?;
        if parse_race(text, race.listed.clone()).as_ref() != Ok(&race) {
            return Err("read twice, it reads differently".to_owned());
        }
        if let Ok(unit) = UnitRace::new(race, false) {
            let _ = unit.hash();
        }
    }
    if let Ok(event) = event_page::parse(text) {
        any = true;
        let ids: std::collections::HashSet<_> = event.races.iter().map(|r| r.id).collect();
        if ids.len() != event.races.len() {
            return Err("a race id occurs twice".to_owned());
        }
    }
    any |= entry_list::parse(text).is_ok();
    any |= racer_laps::in_page(text).is_ok_and(|all| !all.is_empty());
    let mut all = Vec::new();
    let _ = racer_laps::in_script(text, 0, &mut all);
    any |= describe(text).is_ok_and(|value| !value.to_string().is_empty());
    Ok(any)
}

fn listed() -> ListedRace {
    let none = String::new;
    ListedRace { id: 0, round: none(), number: None, class: none(), label: none(), completed_at: None }
}

/// What must hold of every race that was read: laps from 1 without a gap, no driver twice.
fn sound(race: &Race) -> Result<(), String> {
    for result in &race.results {
        if !result.laps.iter().zip(1..).all(|(lap, n)| lap.number == n) {
            return Err(format!("laps of {:?} are not 1, 2, 3, …", result.name));
        }
    }
    let mut ids: Vec<_> = race.results.iter().filter_map(|r| r.driver_id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() == all { Ok(()) } else { Err("a driver id occurs twice".to_owned()) }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

/// CPU time of this thread: what other processes do makes no difference to it.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Runs work on a thread with the stack that the engine's readers have.
pub fn on_a_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, work);
        match thread.map(|t| t.join()) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(e) => panic!("no thread: {e}"),
        }
    })
}
