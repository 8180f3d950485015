//! What is ingested: a generated event and its revisions.

use crate::faults::names;
use crate::quantity::as_text;
use crate::synth::{Correction, Form, Size, Synth};

names! {
    /// What sort of event is generated.
    EventKind, "kind of event";
    /// A believable meeting in which nothing is wrong.
    Plain = "plain",
    /// A small meeting in which every race is unusual in a way of its own; two cannot be read. Its size is fixed.
    EdgeCases = "edge-cases",
    /// The same without an entry list, and without a race that cannot be read. Its size is fixed.
    NoEntryList = "no-entry-list",
    /// A believable meeting with one race, in the middle of its list, whose page cannot be read.
    BadRace = "bad-race",
}

names! {
    /// How pages are written.
    PageForm, "form of pages";
    /// As the site serves them.
    Raw = "raw",
    /// As a formatter leaves them.
    Formatted = "formatted",
    /// One raw, one formatted, in turn.
    Mixed = "mixed",
}

names! {
    /// What is different in a later revision of an event.
    Change, "correction";
    /// A lap that was counted by mistake goes.
    LapRemoved = "lap-removed",
    /// A lap time was wrong.
    TimeChanged = "time-changed",
    /// A driver is added to a race.
    DriverAdded = "driver-added",
    /// A driver is disqualified.
    DriverDisqualified = "driver-disqualified",
    /// A race is run again and listed.
    RaceAdded = "race-added",
    /// A race leaves the event page.
    RaceWithdrawn = "race-withdrawn",
    /// A driver's name was misspelt, on every page.
    NameCorrected = "name-corrected",
    /// Every page that could not be read can be read.
    RaceMended = "race-mended",
}

as_text!(EventKind, "a kind of event in quotes: \"plain\"");
as_text!(PageForm, "a form of pages in quotes: \"raw\"");
as_text!(Change, "a correction in quotes: \"lap-removed\"");

impl PageForm {
    /// The form of the `n`-th page, counted from 0.
    #[must_use]
    pub fn of_page(self, n: usize) -> Form {
        match self {
            Self::Raw => Form::Raw,
            Self::Formatted => Form::Formatted,
            Self::Mixed => Form::ALL[n % 2],
        }
    }
}

/// An event and its revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSpec {
    /// What sort of event.
    pub kind: EventKind,
    /// How large; told of kinds with a fixed size as well, and then without effect.
    pub size: Size,
    /// Seed of the generator.
    pub seed: u64,
    /// How its pages are written.
    pub form: PageForm,
    /// What is different in the second revision, the third, …; each builds on the one before.
    pub revisions: Vec<Vec<Change>>,
}

/// An event that cannot be corrected in the way that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("revision {revision}: this event is too small for the correction `{change}`; use a larger size")]
pub struct EventError {
    /// The revision, from 1.
    pub revision: usize,
    /// The correction.
    pub change: Change,
}

impl EventKind {
    /// Whether the event's size is fixed, so that a scenario may give none.
    #[must_use]
    pub fn has_fixed_size(self) -> bool {
        match self {
            Self::EdgeCases | Self::NoEntryList => true,
            Self::Plain | Self::BadRace => false,
        }
    }
}

impl EventSpec {
    /// The event as it was first published, and every revision of it, in order.
    ///
    /// # Errors
    /// When the event has no race or driver that a correction needs.
    pub fn synths(&self) -> Result<Vec<Synth>, EventError> {
        let first = match self.kind {
            EventKind::Plain => Synth::new(self.size, self.seed),
            EventKind::EdgeCases => Synth::edge_cases(self.seed),
            EventKind::NoEntryList => Synth::no_entry_list(self.seed),
            EventKind::BadRace => Synth::bad_race(self.size, self.seed),
        };
        let known = if self.revisions.is_empty() {
            Vec::new()
        } else {
            first.revision(Synth::REVISIONS).corrections().to_vec()
        };
        let mut all = vec![first];
        for (i, changes) in self.revisions.iter().enumerate() {
            let mut next = all[i].clone();
            for &change in changes {
                next = if change == Change::RaceMended {
                    next.mended()
                } else {
                    let correction = known.iter().find(|c| kind_of(c) == change);
                    let correction = correction.ok_or(EventError { revision: i + 2, change })?;
                    next.revise(std::slice::from_ref(correction))
                };
            }
            all.push(next);
        }
        Ok(all)
    }
}

fn kind_of(correction: &Correction) -> Change {
    match correction {
        Correction::LapRemoved { .. } => Change::LapRemoved,
        Correction::TimeChanged { .. } => Change::TimeChanged,
        Correction::DriverAdded { .. } => Change::DriverAdded,
        Correction::Disqualified { .. } => Change::DriverDisqualified,
        Correction::RaceAdded { .. } => Change::RaceAdded,
        Correction::RaceWithdrawn { .. } => Change::RaceWithdrawn,
        Correction::NameCorrected { .. } => Change::NameCorrected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: EventKind, revisions: &[&[Change]]) -> EventSpec {
        let revisions = revisions.iter().map(|r| r.to_vec()).collect();
        EventSpec { kind, size: Size::Small, seed: 7, form: PageForm::Mixed, revisions }
    }

    #[test]
    fn each_correction_alone_changes_some_page() {
        for &change in Change::ALL {
            let kind = if change == Change::RaceMended { EventKind::BadRace } else { EventKind::Plain };
            let synths = spec(kind, &[&[change]]).synths().unwrap();
            assert_eq!(synths.len(), 2);
            let changes = synths[1].changes_since(&synths[0]);
            let (added, withdrawn) = (changes.added.len(), changes.withdrawn.len());
            match change {
                Change::RaceAdded => assert_eq!((added, withdrawn), (1, 0)),
                Change::RaceWithdrawn => assert_eq!((added, withdrawn), (0, 1)),
                _ => assert!(!changes.changed.is_empty() && added + withdrawn == 0, "{change}: {changes:?}"),
            }
        }
    }

    #[test]
    fn revisions_build_on_each_other() {
        let synths = spec(EventKind::Plain, &[&[Change::RaceAdded], &[Change::LapRemoved]]).synths().unwrap();
        assert_eq!(synths[2].corrections().len(), 2);
        assert!(synths[2].changes_since(&synths[1]).added.is_empty());
    }

    #[test]
    fn a_bad_race_is_mended_and_kinds_differ() {
        let synths = spec(EventKind::BadRace, &[&[Change::RaceMended]]).synths().unwrap();
        assert_eq!(synths[0].failing().len(), 1);
        assert!(synths[1].failing().is_empty());
        assert_eq!(spec(EventKind::EdgeCases, &[]).synths().unwrap()[0].failing().len(), 2);
        let none = spec(EventKind::NoEntryList, &[]).synths().unwrap();
        assert!(none[0].entries_page(Form::Raw).is_none());
    }

    #[test]
    fn an_event_that_is_too_small_says_so() {
        let totals = crate::synth::Totals::new(1, 1, 1).unwrap();
        let tiny = EventSpec { size: Size::Custom(totals), ..spec(EventKind::Plain, &[&[Change::LapRemoved]]) };
        let error = tiny.synths().unwrap_err();
        assert_eq!((error.revision, error.change), (2, Change::LapRemoved));
    }

    #[test]
    fn mixed_pages_take_turns() {
        assert_eq!((PageForm::Mixed.of_page(0), PageForm::Mixed.of_page(1)), (Form::Raw, Form::Formatted));
        assert_eq!((PageForm::Raw.of_page(1), PageForm::Formatted.of_page(0)), (Form::Raw, Form::Formatted));
    }
}
