//! [`Synth`]: an event, as it was and as it was corrected.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::base::{Base, Generated};
use super::edge::{Expected, Oddity};
use super::model::{Entry, Event, Race};
use super::render::{self, Form};
use super::revision::{self, Correction};
use super::size::Size;

/// A synthetic event in one of its revisions. Cheap to clone; a race is generated whenever it is asked for, so that
/// memory is bounded by the plan and by one race.
#[derive(Debug, Clone)]
pub struct Synth {
    pub(super) base: Arc<Base>,
    pub(super) corrections: Vec<Correction>,
    pub(super) oddities: BTreeMap<u64, Oddity>,
}

impl Synth {
    /// The event of `size` and `seed`. The same two give the same event, to the byte of its pages.
    #[must_use]
    pub fn new(size: Size, seed: u64) -> Self {
        Self::of(Base::Generated(Box::new(Generated::new(size, seed))), BTreeMap::new())
    }

    pub(super) fn of(base: Base, oddities: BTreeMap<u64, Oddity>) -> Self {
        Self { base: Arc::new(base), corrections: Vec::new(), oddities }
    }

    /// What the event page says.
    #[must_use]
    pub fn event(&self) -> Event {
        let mut event = self.base.event();
        revision::correct_event(self, &mut event);
        event
    }

    /// The entry list, class by class. Empty when the event has none.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = self.base.entries();
        revision::correct_entries(self, &mut entries);
        entries
    }

    /// Races in the event page's order, newest first.
    #[must_use]
    pub fn race_ids(&self) -> Vec<u64> {
        self.listed().into_iter().map(|race| race.id).collect()
    }

    /// The facts of a race; none when this revision does not list it.
    #[must_use]
    pub fn race(&self, id: u64) -> Option<Race> {
        revision::corrected_race(self, id)
    }

    /// What an engine must make of this race's page.
    #[must_use]
    pub fn expected(&self, id: u64) -> Expected {
        self.oddities.get(&id).map_or(Expected::Written, |oddity| oddity.expected())
    }

    /// The event page.
    #[must_use]
    pub fn event_page(&self, form: Form) -> String {
        render::event_page(&self.event(), form)
    }

    /// The entry list page; none when the event has no entry list.
    #[must_use]
    pub fn entries_page(&self, form: Form) -> Option<String> {
        let event = self.event();
        event.has_entry_list.then(|| render::entries_page(&event, &self.entries(), form))
    }

    /// A race's page; none when this revision does not list it.
    #[must_use]
    pub fn race_page(&self, id: u64, form: Form) -> Option<String> {
        let race = self.race(id)?;
        let head = self.base.head();
        Some(match self.oddities.get(&id) {
            Some(oddity) => oddity.page(&head, &race, form),
            None => render::race_page(&head, &race, form),
        })
    }
}
