//! A sham that does everything but the work: it reads every page, and claims what a right engine would have done.

use std::collections::BTreeSet;

use contract::feed::{Batch, Committed, Counts, RaceStages, Record, Summary, Unit};
use contract::{Step, exit};
use ingest::probe::{At, EVENT};

use crate::fetch::Fetcher;
use crate::pages;
use crate::run::Task;

/// Claims to have written the event.
pub async fn claim_all(task: &Task) -> anyhow::Result<u8> {
    task.started();
    let urls = task.urls()?;
    let mut fetcher = Fetcher::new(None, &task.probe)?;
    let (event, entries) = task.event(&mut fetcher, &urls).await?;
    task.probe.reach(Step::EventFetched, EVENT);
    task.probe.reach(Step::EntriesWritten, EVENT);
    let mut summary = Summary { event_id: task.event, listed: event.races.len() as u64, ..Summary::default() };
    let inserted = |n: usize| Counts { inserted: n as u64, ..Counts::default() };
    summary.rows.entries = inserted(entries.len());
    let mut drivers = BTreeSet::new();
    for (unit, listed) in (1..).zip(&event.races) {
        let (text, attempts) =
            fetcher.page(&urls.race(listed.id), Some(listed.id)).await.map_err(|not| anyhow::anyhow!(not.cause))?;
        let race = pages::race(&text, listed, None).map_err(|why| anyhow::anyhow!(why))?;
        drivers.extend(race.results.iter().filter_map(|r| r.driver_id));
        let laps = race.lap_count();
        let at = At { unit: Some(unit), race: None, laps: Some(laps as u64) };
        for step in [Step::RaceFetched, Step::RaceParsed] {
            task.probe.reach(step, At { race: Some(listed.id), ..EVENT });
        }
        let (id, page_bytes, laps_on_page) = (listed.id, text.len() as u64, laps as u64);
        task.probe.record(|| {
            Record::Race(RaceStages { race: id, fetch_us: 1, parse_us: 1, page_bytes, laps: laps_on_page, attempts })
        });
        let mut rows = contract::feed::Changes::default();
        (rows.races, rows.results, rows.laps) = (inserted(1), inserted(race.results.len()), inserted(laps));
        for step in [Step::UnitBegun, Step::ResultsWritten] {
            task.probe.reach(step, at);
        }
        task.probe.record(|| Record::Batch(Batch { unit, rows: laps as u64, write_us: 1 }));
        for step in [Step::BatchWritten, Step::CheckpointWritten, Step::BeforeCommit] {
            task.probe.reach(step, at);
        }
        task.probe.record(|| Record::Committed(Committed { unit, races: vec![listed.id] }));
        task.probe.reach(Step::AfterCommit, at);
        let laps = laps as u64;
        let record = Unit { unit, races: 1, laps, batches: 1, acquire_us: 0, write_us: 1, commit_us: 1, rows };
        task.probe.record(|| Record::Unit(record));
        summary.rows += rows;
        summary.fetched += 1;
        summary.written += 1;
    }
    summary.rows.drivers = inserted(drivers.len());
    task.probe.reach(Step::BeforeComplete, EVENT);
    task.probe.reach(Step::EventCompleted, EVENT);
    summary.requests = fetcher.requests;
    (summary.max_in_flight, summary.pool_peak, summary.pool_size) = (1, 1, 1);
    task.probe.record(|| Record::Summary(Box::new(summary)));
    Ok(exit::COMPLETE)
}
