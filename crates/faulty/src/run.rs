//! The order of work: event page, entry list, races two by two, completion.

use std::sync::Arc;
use std::time::Instant;

use contract::feed::{Failed, RaceStages, Record, Started, Summary};
use contract::{Step, exit};
use ingest::liverc::{LivercUrls, entry_list, event_page};
use ingest::model::{Entry, Event, ListedRace};
use ingest::probe::{At, Probe, micros};
use tokio::sync::Notify;

use crate::bug::{Bug, Sham};
use crate::fetch::Fetcher;
use crate::pages;
use crate::writer::{Prepared, Writer};

/// Races in a commit unit.
const UNIT: usize = 2;

/// What a process is to do, and by what it tells of it.
pub struct Task {
    /// The track's host label.
    pub track: String,
    /// LiveRC's id of the event.
    pub event: u64,
    /// URL of the database. Holds a password.
    pub database: String,
    /// Base URL pattern of LiveRC.
    pub liverc: String,
    /// Feed and arming.
    pub probe: Arc<Probe>,
    /// Whether the event's lock is taken and its fence looked at.
    pub guarded: bool,
    /// What is waited for after the first unit, so that another worker is certainly at the event meanwhile.
    pub meeting: Option<Arc<Notify>>,
}

impl Task {
    /// Tells that it has started. It promises to leave rows alone that stay as they are.
    pub fn started(&self) {
        let settings = [("skip_unchanged", "true"), ("commit_races", "2")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let profile = "faulty".to_owned();
        self.probe.record(|| Record::Started(Started { event_id: self.event, profile, settings }));
    }

    /// The URLs of its pages.
    pub fn urls(&self) -> anyhow::Result<LivercUrls> {
        Ok(LivercUrls::new(&self.liverc, &self.track)?)
    }

    /// Reads the event page and the entry list.
    pub async fn event(&self, fetcher: &mut Fetcher<'_>, urls: &LivercUrls) -> anyhow::Result<(Event, Vec<Entry>)> {
        let had = |not: crate::fetch::NotHad| anyhow::anyhow!(not.cause);
        let (text, _) = fetcher.page(&urls.event(self.event), None).await.map_err(had)?;
        let event = event_page::parse(&text)?.into_event(&self.track, self.event);
        let entries = match event.has_entry_list {
            true => entry_list::parse(&fetcher.page(&urls.entry_list(self.event), None).await.map_err(had)?.0)?,
            false => Vec::new(),
        };
        Ok((event, entries))
    }
}

struct Run<'a> {
    task: &'a Task,
    bug: Option<Bug>,
    urls: LivercUrls,
    fetcher: Fetcher<'a>,
    writer: Writer<'a>,
    summary: Summary,
    kept: Vec<String>,
}

/// Ingests the event. Returns the exit code.
pub async fn run(task: &Task, bug: Option<Bug>, sham: Option<Sham>) -> u8 {
    u8::try_from(summary(task, bug, sham).await.exit).unwrap_or(exit::FAILED)
}

/// Ingests the event. Returns the summary, which the feed tells as well.
pub async fn summary(task: &Task, bug: Option<Bug>, sham: Option<Sham>) -> Summary {
    let begun = Instant::now();
    task.started();
    let run = || -> anyhow::Result<Run<'_>> {
        Ok(Run {
            task,
            bug,
            urls: task.urls()?,
            fetcher: Fetcher::new(bug, &task.probe)?,
            writer: Writer::new(task, bug, sham)?,
            summary: Summary { event_id: task.event, ..Summary::default() },
            kept: Vec::new(),
        })
    };
    let mut run = match run() {
        Ok(run) => run,
        Err(error) => {
            eprintln!("faulty: {error:#}");
            let (event_id, error) = (task.event, Some(format!("{error:#}")));
            return Summary { event_id, exit: exit::USAGE.into(), error, ..Summary::default() };
        }
    };
    let done = run.ingest().await;
    run.writer.end().await;
    let mut summary = run.summary;
    let mut code = match &done {
        Err(_) => exit::RETRY,
        Ok(()) if summary.failed.is_empty() => exit::COMPLETE,
        Ok(()) if summary.failed.iter().any(|f| f.retry) => exit::RETRY,
        Ok(()) => exit::FAILED,
    };
    if bug == Some(Bug::ExitZero) {
        code = exit::COMPLETE;
    }
    summary.exit = code.into();
    summary.error = done.err().map(|e| format!("{e:#}"));
    if let Some(error) = &summary.error {
        eprintln!("faulty: {error}");
    }
    summary.rows = run.writer.rows;
    if bug == Some(Bug::WrongCounts) {
        let laps = &mut summary.rows.laps;
        (laps.inserted, laps.updated) = (laps.updated, laps.inserted);
    }
    summary.total_us = micros(begun.elapsed());
    summary.requests = run.fetcher.requests;
    (summary.max_in_flight, summary.pool_peak, summary.pool_size) = (1, 1, 1);
    task.probe.record(|| Record::Summary(Box::new(summary.clone())));
    drop(run.kept);
    summary
}

impl Run<'_> {
    async fn ingest(&mut self) -> anyhow::Result<()> {
        let (event, entries) = self.task.event(&mut self.fetcher, &self.urls).await?;
        self.writer.reach(Step::EventFetched);
        self.summary.listed = event.races.len() as u64;
        let recorded = self.writer.record(&event, &entries).await?;
        self.writer.reach(Step::EntriesWritten);
        self.summary.removed = recorded.removed;
        let blind = self.bug == Some(Bug::PlainInsert) && !recorded.was_full;
        if self.bug == Some(Bug::Crowding) {
            self.fetcher.all_at_once(event.races.iter().map(|race| self.urls.race(race.id))).await;
        }
        let mut unit = Vec::new();
        for listed in &event.races {
            let stored = recorded.stored.get(&listed.id);
            // A finished event is read again, of an unfinished one what is left.
            if !recorded.was_full && !blind && stored.is_some_and(|s| s.written) {
                self.summary.skipped += 1;
                continue;
            }
            let Some(race) = self.race(listed).await? else { continue };
            if recorded.was_full && self.bug == Some(Bug::DriversDoubled) {
                self.writer.double_drivers(&race).await?;
            }
            if stored.is_some_and(|s| s.equals(&race)) && !blind && self.bug != Some(Bug::Rewrites) {
                self.summary.skipped += 1;
                continue;
            }
            unit.push(race);
            if unit.len() == UNIT {
                self.write(&mut unit).await?;
            }
        }
        self.write(&mut unit).await?;
        let whole = self.summary.failed.is_empty();
        if whole {
            self.writer.reach(Step::BeforeComplete);
        }
        let full = self.writer.complete(&event, whole).await?;
        anyhow::ensure!(full || !whole, "every page was written, yet not every race is there");
        if full {
            self.writer.reach(Step::EventCompleted);
        }
        Ok(())
    }

    async fn write(&mut self, unit: &mut Vec<Prepared>) -> anyhow::Result<()> {
        if !unit.is_empty() {
            self.writer.write(unit).await?;
            let first = self.summary.written == 0;
            self.summary.written += unit.len() as u64;
            unit.clear();
            if let Some(meeting) = self.task.meeting.as_ref().filter(|_| first) {
                meeting.notified().await;
            }
        }
        Ok(())
    }

    /// Reads a race; `None`: it was given up.
    async fn race(&mut self, listed: &ListedRace) -> anyhow::Result<Option<Prepared>> {
        let (id, probe, url) = (listed.id, &self.task.probe, self.urls.race(listed.id));
        let at = At { unit: None, race: Some(id), laps: None };
        let begun = Instant::now();
        let (text, attempts) = match self.fetcher.page(&url, Some(id)).await {
            Ok(had) => had,
            Err(not) => return self.give_up(id, url, not.cause, not.retry).await,
        };
        let fetch_us = micros(begun.elapsed());
        probe.reach(Step::RaceFetched, at);
        let parsing = Instant::now();
        let race = match pages::race(&text, listed, self.bug) {
            Ok(race) => race,
            Err(cause) => return self.give_up(id, url, cause, false).await,
        };
        let (parse_us, page_bytes) = (micros(parsing.elapsed()), text.len() as u64);
        let laps = race.lap_count() as u64;
        self.summary.fetched += 1;
        probe.record(|| Record::Race(RaceStages { race: id, fetch_us, parse_us, page_bytes, laps, attempts }));
        probe.reach(Step::RaceParsed, at);
        if self.bug == Some(Bug::UnboundedMemory) {
            self.kept.extend((0..laps).map(|_| text.repeat(4)));
        }
        Ok(Some(Prepared::new(race)))
    }

    async fn give_up(
        &mut self,
        race: u64,
        url: String,
        cause: String,
        retry: bool,
    ) -> anyhow::Result<Option<Prepared>> {
        let failed = Failed { race, url, cause, retry };
        self.writer.give_up(&failed).await?;
        self.task.probe.record(|| Record::Failed(failed.clone()));
        self.summary.failed.push(failed);
        Ok(None)
    }
}
