//! *polite*: `Retry-After` honoured, attempts and concurrency bounded, no page fetched twice without cause.
//!
//! A page has been fetched without cause when the same process had it whole already; when an earlier process of the same
//! ingestion had its race's commit acknowledged; and when an unfinished event is gone on with and its checkpoint said that
//! the race is there. A process that finds the event finished reads every page again: its site may have changed. A race that
//! cannot be read may be tried again, within the bound on attempts; and one whose acknowledged rows a fault took away (a
//! failover to a standby that lagged) must be.

use std::collections::BTreeSet;

use super::check::{Check, Finding, count, figure};
use super::durable::{WRITTEN, lost_meanwhile};
use super::stored::{LAPS_FULL, must_fail};
use crate::trial::record::{Ingestion, LivercObservation, PageRequests, TrialRecord};

/// Requests for one page that one process may make when the scenario sets no bound.
const ATTEMPTS_PER_PAGE: u32 = 10;

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    let Some(seen) = &record.liverc else {
        check.missing("requests were not recorded");
        return check.finish();
    };
    if !seen.early_after_retry_after.is_empty() {
        let earliest = seen.early_after_retry_after.iter().max().copied().unwrap_or_default();
        check.violated(format!(
            "{} came before Retry-After allowed it, the earliest {} ms too early",
            count(seen.early_after_retry_after.len() as u64, "request"),
            figure(earliest / 1_000)
        ));
    }
    if let Some(limit) = record.limits.max_in_flight.filter(|&limit| seen.max_in_flight > limit) {
        check.violated(format!("{} requests in flight at once, {limit} are allowed", seen.max_in_flight));
    }
    pages(&mut check, record, seen);
    if check.found() == 0 && seen.requests > 0 {
        let most = seen.pages.iter().map(|p| p.requests).max().unwrap_or(0);
        check.held(format!(
            "{}, at most {} in flight and {most} per page and process, none without cause or before its time",
            count(seen.requests, "request"),
            seen.max_in_flight
        ));
    }
    check.finish()
}

fn pages(check: &mut Check, record: &TrialRecord, seen: &LivercObservation) {
    let limit = record.limits.attempts_per_page.unwrap_or(ATTEMPTS_PER_PAGE);
    for page in &seen.pages {
        let path = &page.path;
        if page.requests > limit {
            check.violated(format!(
                "{path}: {} requests by one process, {limit} are allowed",
                figure(page.requests.into())
            ));
        }
        let index = page.ingestion as usize;
        let Some(ingestion) = record.ingestions.get(index) else {
            check.missing(format!("{path}: requested in ingestion {index}, of which nothing is recorded"));
            continue;
        };
        let race = race_of(path);
        let unreadable = race.is_some_and(|race| {
            must_fail(ingestion).contains(&race)
                || ingestion.attempts.iter().flat_map(|a| &a.failed).any(|f| f.race == race)
        });
        if page.whole > 1 && !unreadable {
            check.violated(format!("{path}: fetched {} times by one process though it had come whole", page.whole));
        }
        if let Some(why) = race.and_then(|race| without_cause(record, ingestion, page, race)) {
            check.violated(format!("{path}: fetched although {why}"));
        }
    }
}

/// Why a race was known to be there when its page was asked for.
fn without_cause(record: &TrialRecord, ingestion: &Ingestion, page: &PageRequests, race: u64) -> Option<String> {
    let index = page.ingestion as usize;
    // One that had stalled may go on after the asking process had begun.
    let begun_us = ingestion.attempts.get(page.attempt as usize).map_or(u64::MAX, |a| a.started_us);
    let earlier_processes = ingestion.attempts.iter().take(page.attempt as usize);
    let acknowledged = earlier_processes.flat_map(|a| &a.committed).filter(|&&(_, at_us)| at_us < begun_us);
    let done: BTreeSet<u64> = acknowledged.map(|&(race, _)| race).collect();
    let taken_away = lost_meanwhile(ingestion).iter().any(|(_, races)| races.contains(&race));
    if done.contains(&race)
        && !taken_away
        && !must_fail(ingestion).contains(&race)
        && !found_finished(ingestion, page.attempt)
    {
        return Some("an earlier process had its commit acknowledged".to_owned());
    }
    let before = record.ingestions[..index].iter().rev().find(|e| e.event_id == ingestion.event_id)?;
    let unfinished = before.observed.ingest_depth.as_deref() != Some(LAPS_FULL);
    let checkpointed = before.observed.checkpoints.get(&race).is_some_and(|c| c.state == WRITTEN);
    (unfinished && checkpointed)
        .then(|| "the event was unfinished and the race's checkpoint said that it is there".to_owned())
}

/// Whether the event was `laps_full` when a process of an ingestion (from 0) began: the one before died after the last COMMIT.
fn found_finished(ingestion: &Ingestion, process: u32) -> bool {
    let Some(began) = ingestion.attempts.get(process as usize).map(|a| a.started_us) else { return false };
    let last = ingestion.interludes.iter().rev().find(|i| i.at_us <= began);
    last.is_some_and(|i| i.ingest_depth.as_deref() == Some(LAPS_FULL))
}

/// The race of `/results/?p=view_race_result&id=6587413`.
fn race_of(path: &str) -> Option<u64> {
    let (_, query) = path.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let is_race = pairs.clone().any(|pair| pair == ("p", "view_race_result"));
    pairs.find(|(key, _)| *key == "id").filter(|_| is_race).and_then(|(_, id)| id.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::oracle::Verdict;

    fn seen(record: &mut TrialRecord) -> &mut LivercObservation {
        record.liverc.as_mut().unwrap()
    }

    fn page(record: &mut TrialRecord, ingestion: u32, race: u64) -> &mut PageRequests {
        let path = fixture::race_path(race);
        seen(record).pages.iter_mut().find(|p| p.ingestion == ingestion && p.path == path).unwrap()
    }

    #[test]
    fn impatience_crowding_storms_and_needless_fetches_are_violated() {
        let finding = check(&fixture::healthy());
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence[0].starts_with("10 requests, at most 3 in flight and 1 per page"), "{finding:?}");
        let spoils: [fn(&mut TrialRecord); 5] = [
            |r| seen(r).early_after_retry_after.push(250_000),
            |r| seen(r).max_in_flight = 9,
            |r| page(r, 0, 101).requests = 11,
            |r| page(r, 0, 101).whole = 2,
            |r| {
                r.limits.attempts_per_page = Some(2);
                page(r, 1, 103).requests = 3;
            },
        ];
        for (n, spoil) in spoils.into_iter().enumerate() {
            let mut record = fixture::healthy();
            spoil(&mut record);
            assert_eq!(check(&record).verdict, Verdict::Violated, "spoil {n}");
        }
    }

    #[test]
    fn retries_of_pages_that_did_not_come_or_cannot_be_read_are_not_flagged() {
        let mut record = fixture::healthy();
        page(&mut record, 0, 101).requests = 4;
        assert_eq!(check(&record).verdict, Verdict::Held);
        let mut partial = fixture::partial(103);
        page(&mut partial, 0, 103).requests = 3;
        page(&mut partial, 0, 103).whole = 3;
        assert_eq!(check(&partial).verdict, Verdict::Held);
        let mut unlimited = fixture::healthy();
        unlimited.limits.max_in_flight = None;
        seen(&mut unlimited).max_in_flight = 64;
        assert_eq!(check(&unlimited).verdict, Verdict::Held);
    }

    #[test]
    fn a_restart_fetches_only_what_is_left() {
        // Race 101 was acknowledged by the killed process, 102 was not.
        let mut record = fixture::crashed();
        let again =
            |race| PageRequests { ingestion: 0, attempt: 1, path: fixture::race_path(race), requests: 1, whole: 1 };
        seen(&mut record).pages.push(again(102));
        assert_eq!(check(&record).verdict, Verdict::Held);
        seen(&mut record).pages.push(again(101));
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Violated);
        assert!(finding.evidence[0].contains("acknowledged"), "{finding:?}");
        // Unless it was seen to be gone.
        let mut gone = record.clone();
        gone.ingestions[0].interludes[0].laps_stored.remove(&101);
        assert_eq!(check(&gone).verdict, Verdict::Held);
        // A stalled process that acknowledged it after the second had begun tells nothing of what the second could know.
        record.ingestions[0].attempts[0].committed = vec![(101, 3_200)];
        assert_eq!(check(&record).verdict, Verdict::Held);
    }

    #[test]
    fn an_unfinished_event_is_gone_on_with_where_its_checkpoints_end() {
        let mut record = fixture::partial(103);
        let mut mended = fixture::healthy().ingestions.remove(0);
        mended.attempts[0].committed.clear();
        record.ingestions.push(mended);
        let index = u32::try_from(record.ingestions.len() - 1).unwrap();
        let fetch =
            |race| PageRequests { ingestion: index, attempt: 0, path: fixture::race_path(race), requests: 1, whole: 1 };
        seen(&mut record).pages.push(fetch(103));
        assert_eq!(check(&record).verdict, Verdict::Held);
        seen(&mut record).pages.push(fetch(101));
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn without_a_recording_it_is_unknown() {
        let mut record = fixture::healthy();
        record.liverc = None;
        assert_eq!(check(&record).verdict, Verdict::Unknown);
        record.liverc = Some(LivercObservation::default());
        assert_eq!(check(&record).verdict, Verdict::Unknown, "no request was seen");
        let mut stray = fixture::healthy();
        seen(&mut stray).pages[0].ingestion = 7;
        assert_eq!(check(&stray).verdict, Verdict::Unknown);
    }

    #[test]
    fn races_are_read_from_paths() {
        assert_eq!(race_of("/results/?p=view_race_result&id=6587413"), Some(6_587_413));
        assert_eq!(race_of("/results/?id=7&p=view_race_result"), Some(7));
        assert_eq!(race_of("/results/?p=view_event&id=7"), None);
        assert_eq!(race_of("/events"), None);
    }

    #[test]
    fn a_process_that_finds_the_event_finished_may_read_it_all_again() {
        let mut record = fixture::crashed();
        page(&mut record, 0, 101).attempt = 1;
        assert_eq!(check(&record).verdict, Verdict::Violated, "its commit was acknowledged");
        record.ingestions[0].interludes[0].ingest_depth = Some(LAPS_FULL.into());
        assert_eq!(check(&record).verdict, Verdict::Held);
    }
}
