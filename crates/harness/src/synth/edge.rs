//! Pages that an engine must refuse, or must not.

use super::model::{Event, Race};
use super::render::{Cut, Form, race_page_cut};

/// What an engine must make of a race's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Its rows are written.
    Written,
    /// The race is recorded as failed and the event stays incomplete.
    Failed {
        /// What is wrong with the page.
        why: &'static str,
    },
}

/// Something unusual about a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// The script writes laps from the last to the first. Legal.
    LapsBackwards,
    /// The script gives one lap number twice, so that another is missing.
    LapRepeated,
    /// No result table.
    NoTable,
    /// The script is never closed.
    ScriptCut,
    /// The page ends in the middle of the table.
    PageCut,
}

impl Oddity {
    /// What an engine must make of it.
    #[must_use]
    pub fn expected(self) -> Expected {
        match self {
            Self::LapsBackwards => Expected::Written,
            Self::LapRepeated => Expected::Failed { why: "a lap number is given twice" },
            Self::NoTable => Expected::Failed { why: "there is no result table" },
            Self::ScriptCut => Expected::Failed { why: "the script is cut short" },
            Self::PageCut => Expected::Failed { why: "the page is cut short" },
        }
    }

    pub(super) fn page(self, event: &Event, race: &Race, form: Form) -> String {
        let cut = match self {
            Self::LapsBackwards => Cut::LapsBackwards,
            Self::LapRepeated => Cut::LapRepeated,
            Self::NoTable => Cut::NoTable,
            Self::ScriptCut => Cut::Script,
            Self::PageCut => Cut::Page,
        };
        race_page_cut(event, race, form, cut)
    }
}
