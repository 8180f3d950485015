//! Scenarios: what is ingested, how the world behaves, what goes wrong, what must hold. A TOML file each.
//!
//! A file is read by [`Scenario::parse`] into a [`Scenario`], in which nothing is left open; [`load`] finds one by name or
//! path; [`Overrides`] are what flags change; [`Scenario::resolved`] writes it all down again and reads back equal.
//! Whatever is wrong is a [`ScenarioError`] with file, line, column and the nearest name: exit code 2.

mod criteria;
mod error;
mod event;
mod file;
mod library;
mod load;
mod model;
mod overrides;
mod read;
mod write;

pub use error::ScenarioError;
pub use event::{Change, EventError, EventKind, EventSpec, PageForm};
pub use library::{Listed, list, load};
pub use load::{ArrivalKind, Drift, LoadOverrides, LoadSpec, Restart};
pub use model::{Backend, DataPlace, EngineSpec, Expect, Known, LivercSpec, Network, Outcome, PostgresSpec, Scenario};
pub use overrides::Overrides;
