//! Synthetic LiveRC events: facts and pages, deterministic in a seed.
//!
//! The truth that every engine is judged by comes from here, so this module imports nothing of an engine. It is pure:
//! no file, no clock, no randomness but its seed's. Only a plan is kept of an event; a race is generated when asked for.
//!
//! - [`Synth`]: an event. [`Synth::event`], [`Synth::entries`], [`Synth::race`] give facts, [`Synth::event_page`] and its
//!   siblings pages.
//! - [`Correction`], [`Synth::revise`], [`Synth::revision`]: the same event as LiveRC's officials corrected it.
//! - [`Oddity`], [`Synth::edge_cases`], [`Synth::bad_race`]: pages that an engine must refuse, or must not.
//! - [`rows`]: what a database must hold in the end.

mod base;
mod derive;
mod edge;
mod event;
mod model;
mod people;
mod plan;
pub mod render;
mod revision;
pub mod rows;
mod seed;
mod simulate;
mod size;

pub use derive::{derive, pace};
pub use edge::{Edge, Expected, Oddity};
pub use event::Synth;
pub use model::{Derived, Entry, Event, Lap, ListedRace, Race, RaceResult, Shown};
pub use render::Form;
pub use revision::{Changes, Correction};
pub use size::{Size, Totals, TotalsError, UnknownSize};
