//! A huge event is rendered race by race in bounded memory. Alone in its process, since memory is the process's.

#![allow(clippy::unwrap_used, reason = "helpers of tests are no test functions to clippy")]

use harness::synth::{Form, Size, Synth};

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    procfs::process::Process::myself().unwrap().statm().unwrap().resident * procfs::page_size()
}

#[test]
fn rendering_a_huge_event_keeps_nothing() {
    let synth = Synth::new(Size::Huge, 1);
    let ids = synth.race_ids();
    // Mains come first in the list: their grids need the qualifying orders, which are found once and are small.
    for id in ids.iter().take(400) {
        assert!(synth.race_page(*id, Form::Raw).is_some());
    }
    let warm = resident();
    let mut bytes = 0;
    for id in ids.iter().step_by(4) {
        bytes += synth.race_page(*id, Form::Raw).unwrap().len() as u64;
    }
    let grown = resident().saturating_sub(warm);
    assert!(bytes > 80_000_000, "{bytes} bytes rendered");
    assert!(grown < 8_000_000, "memory grew by {grown} bytes while {bytes} were rendered");
}
