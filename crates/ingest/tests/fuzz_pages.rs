//! A short run of the fuzzer (`docs/fuzzing.md`), and what longer ones found.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod fuzz;

use fuzz::mutate::{Mutator, tokens};
use fuzz::watch::Watch;
use fuzz::{Tally, memory, on_a_small_stack, one, seed_pages};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const SEED: u64 = 1;
const INPUTS: u64 = 200;
const LARGEST: usize = 32 << 10;

// The only test of this program that reads pages: the allocator counts for all threads.
#[test]
fn mutated_pages_are_read_or_refused() {
    let pages = seed_pages(&[]).unwrap();
    let mutator = Mutator::new(SEED, LARGEST, pages.iter().map(|(_, text)| text.as_str()));
    for (name, text) in &pages {
        assert_eq!(&tokens(text).concat(), text, "{name} is put together as it was");
    }
    assert_eq!(mutator.input(5), mutator.input(5));
    let watch = Watch::start();
    let tally = on_a_small_stack(|| {
        let mut tally = Tally::default();
        for input in 0..INPUTS {
            watch.at(input);
            if let Err(found) = one(&mutator, input, &mut tally) {
                panic!("input {} of seed {SEED}: {}", found.input, found.what);
            }
        }
        tally
    });
    assert_eq!(tally.inputs, INPUTS);
    // Mutations that no reader gets past would prove nothing.
    assert!(tally.read > INPUTS / 10 && tally.read < INPUTS, "{tally:?}");
}
