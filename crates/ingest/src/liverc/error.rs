//! What can be wrong with a page.

use thiserror::Error;

/// Why a page could not be read. Each says what was wrong, where, and what to do.
///
/// Nothing is ever left out of a race in silence: where a part cannot be read, the race is an error as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PageError {
    /// The page ends before its end: the transfer was cut, or the site failed while it wrote it.
    #[error("the page is cut short at byte {at}: {missing}; fetch it again")]
    CutShort {
        /// What should have come.
        missing: &'static str,
        /// Byte offset in the page.
        at: usize,
    },
    /// A race page without `table.race_result`.
    #[error(
        "the race page has no result table (table.race_result): the race was withdrawn or LiveRC changed its pages; \
         look at the page"
    )]
    NoResultTable,
    /// A race page with more than one `table.race_result`; which one counts cannot be told.
    #[error("the race page has a second result table (table.race_result) at byte {at}; look at the page")]
    SecondResultTable {
        /// Byte offset in the page.
        at: usize,
    },
    /// An event page without the table `Race Results`.
    #[error("the event page has no table headed Race Results: no race has been run yet, or LiveRC changed its pages")]
    NoRaceTable,
    /// An entry list page without a table of entries.
    #[error("the page has no table of entries (a class header and a column Transponder #); look at the page")]
    NoEntryTable,
    /// A page without something that every page of its kind has.
    #[error("the {kind} has no {what}; look at the page")]
    Missing {
        /// Kind of the page.
        kind: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// JavaScript that does not read as the assignments that LiveRC writes.
    #[error("the script of the page cannot be read at byte {at}: {what}; fetch it again, then look at the page")]
    Script {
        /// What was wrong.
        what: String,
        /// Byte offset in the page.
        at: usize,
    },
    /// A number that cannot be: a minute of 75 seconds, a negative time, more digits than a number of its kind has.
    #[error("{what} of {of} is impossible: {value:?}; look at the page")]
    Impossible {
        /// Which figure.
        what: &'static str,
        /// Whose: a driver's name and id, or a place in the page.
        of: String,
        /// As the page gives it.
        value: String,
    },
    /// A lap number is missing between the first and the last.
    #[error("lap {lap} of {of} is missing: the page has laps after it; fetch it again, then look at the page")]
    LapGap {
        /// Driver's name and id.
        of: String,
        /// First number that is missing.
        lap: u32,
    },
    /// A lap number occurs twice.
    #[error("lap {lap} of {of} occurs twice; which one counts cannot be told; look at the page")]
    LapRepeat {
        /// Driver's name and id.
        of: String,
        /// The number.
        lap: u32,
    },
    /// The result table links to laps that the page does not hold.
    #[error("the result table links to the laps of {of}, but racerLaps has none for that id; fetch the page again")]
    LapsMissing {
        /// Driver's name and id.
        of: String,
    },
    /// Two results, or two sets of laps, of one driver id.
    #[error("driver {id} occurs twice in the {place}; which one counts cannot be told; look at the page")]
    DriverTwice {
        /// LiveRC's driver id.
        id: u64,
        /// Where.
        place: &'static str,
    },
    /// The event page lists one race id twice, and differently.
    #[error("the event page lists race {id} twice, and differently; which one counts cannot be told")]
    RaceTwice {
        /// LiveRC's race id.
        id: u64,
    },
    /// The page is of another race than the one that was asked for.
    #[error("the page is of another race: asked for {asked}, got {got}; fetch it again")]
    OtherRace {
        /// As the event page lists it.
        asked: String,
        /// As the race page calls itself.
        got: String,
    },
    /// Markup that no page of LiveRC has, and that would cost too much to read.
    #[error("the page {what} than any page of LiveRC, seen at byte {at} of the part that is read; fetch it again")]
    Overgrown {
        /// What it has too much of.
        what: &'static str,
        /// Byte offset in the part that is read.
        at: usize,
    },
    /// None of the pages that are known.
    #[error("this is no event page, entry list or race page of LiveRC; look at the page")]
    UnknownKind,
}

impl PageError {
    /// Whether a second look may find the page whole: it was cut, or a part of it is not there or is another's.
    #[must_use]
    pub fn worth_fetching_again(&self) -> bool {
        matches!(
            self,
            Self::CutShort { .. }
                | Self::Script { .. }
                | Self::LapGap { .. }
                | Self::LapsMissing { .. }
                | Self::OtherRace { .. }
                | Self::Overgrown { .. }
        )
    }
}
