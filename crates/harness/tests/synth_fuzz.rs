//! The engine's fuzzer (`docs/fuzzing.md`) on rendered pages, those that an engine must refuse among them. It stands here, since the
//! engine knows nothing of this crate.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "../../ingest/tests/fuzz/mod.rs"]
mod fuzz;

use fuzz::mutate::Mutator;
use fuzz::watch::Watch;
use fuzz::{Tally, memory, on_a_small_stack, one};
use harness::synth::{Expected, Form, Synth};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const SEED: u64 = 1;
const LARGEST: usize = 32 << 10;

/// More for a longer run: `FUZZ_INPUTS=20000`.
fn inputs() -> u64 {
    std::env::var("FUZZ_INPUTS").map_or(100, |text| text.parse().unwrap())
}

fn pages() -> Vec<String> {
    let synth = Synth::edge_cases(7);
    let mut pages = vec![synth.event_page(Form::Formatted)];
    pages.extend(synth.entries_page(Form::Raw));
    // Two plain races, and those that an engine must refuse.
    let ids = (0..).zip(synth.race_ids()).filter(|&(nth, id)| nth < 2 || synth.expected(id) != Expected::Written);
    pages.extend(ids.filter_map(|(_, id)| synth.race_page(id, Form::Raw)));
    pages
}

// The only test of this program: the allocator counts for all threads.
#[test]
fn mutated_rendered_pages_are_read_or_refused() {
    let pages = pages();
    assert!(pages.len() >= 5, "{}", pages.len());
    let (mutator, inputs) = (Mutator::new(SEED, LARGEST, pages.iter().map(String::as_str)), inputs());
    let watch = Watch::start();
    let tally = on_a_small_stack(|| {
        let mut tally = Tally::default();
        for input in 0..inputs {
            watch.at(input);
            if let Err(found) = one(&mutator, input, &mut tally) {
                panic!("input {} of seed {SEED}: {}", found.input, found.what);
            }
        }
        tally
    });
    println!("{tally:?}");
    assert_eq!(tally.inputs, inputs);
    // Mutations that no reader gets past would prove nothing.
    assert!(tally.read > inputs / 10 && tally.read < inputs, "{tally:?}");
}
