//! Pages in LiveRC's shapes, in both forms in which they are met.

mod chrome;
mod entries;
mod event;
mod page;
mod race;
mod script;
mod text;

pub(super) use entries::entries_page;
pub(super) use event::event_page;
pub(super) use race::{Cut, race_page, race_page_cut};
pub use text::{clock, length, seconds};

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// As the site serves it: tabs, blank lines, single quotes, quoted keys.
    #[default]
    Raw,
    /// As a formatter leaves it: line breaks inside text, double quotes, bare keys, no semicolons.
    Formatted,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Formatted];
}
