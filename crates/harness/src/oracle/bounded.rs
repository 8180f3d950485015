//! *bounded*: memory and queues stay within the scenario's limits, in every process of every ingestion.

use super::Verdict;
use super::check::{Check, Finding, label, megabytes};
use crate::trial::record::{Limits, TrialRecord};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let Limits { engine_peak_rss_bytes, max_in_flight, connections, attempts_per_page: _ } = &record.limits;
    let attempts = || record.ingestions.iter().flat_map(|i| i.attempts.iter().map(move |a| (label(i), a)));
    let limited: Vec<_> = attempts().filter_map(|(place, a)| Some((place, a.pid, a.memory_limit.as_ref()?))).collect();
    let drifting = super::drift::limits(record);
    if limited.is_empty()
        && drifting.is_none()
        && (engine_peak_rss_bytes, max_in_flight, connections) == (&None, &None, &None)
    {
        // Nothing to judge by. (Attempts per page are for `polite`.)
        let text = "the scenario sets no limit".to_owned();
        return Finding { verdict: Verdict::NotJudged, evidence: vec![text] };
    }
    let mut check = Check::default();
    if let Some(load) = drifting {
        super::drift::judge(&mut check, load);
    }
    for (place, pid, limit) in &limited {
        if let Some(evidence) = &limit.past {
            check.violated(format!("memory of the engine ({place}, process {pid}): {evidence}"));
        }
    }
    if let Some((_, _, limit)) = limited.first()
        && check.found() == 0
    {
        check.held(format!("memory of the engine: it lived under {}", limit.how));
    }
    if let &Some(limit) = engine_peak_rss_bytes {
        let peaks: Vec<_> =
            attempts().map(|(label, a)| (label, a.pid, Some(a.peak_rss_bytes).filter(|&b| b > 0))).collect();
        within(&mut check, "memory of the engine", limit, &peaks, megabytes);
    }
    if let &Some(limit) = max_in_flight {
        let mut peaks = summaries(record, |s| u64::from(s.max_in_flight));
        // What the mock saw is the better witness, and the only one for an engine without a feed.
        if let Some(seen) = &record.liverc {
            peaks.retain(|(_, _, peak)| peak.is_some());
            peaks.push(("the mock".to_owned(), 0, Some(u64::from(seen.max_in_flight))));
        }
        within(&mut check, "requests in flight", u64::from(limit), &peaks, |n| n.to_string());
    }
    if let &Some(limit) = connections {
        let peaks = summaries(record, |s| u64::from(s.pool_peak));
        within(&mut check, "connections of the engine's pool", u64::from(limit), &peaks, |n| n.to_string());
    }
    check.finish()
}

/// Where a peak was seen, in which process, and what it was; `None`: not observed.
type Peak = (String, u32, Option<u64>);

fn summaries(record: &TrialRecord, peak: impl Fn(&contract::feed::Summary) -> u64) -> Vec<Peak> {
    let attempts = record.ingestions.iter().flat_map(|i| i.attempts.iter().map(move |a| (label(i), a)));
    attempts.map(|(label, a)| (label, a.pid, a.summary.as_ref().map(&peak))).collect()
}

fn within(check: &mut Check, what: &str, limit: u64, peaks: &[Peak], text: impl Fn(u64) -> String) {
    let before = check.found();
    for (place, pid, peak) in peaks {
        let who = if *pid > 0 { format!("{place}, process {pid}") } else { place.clone() };
        match peak {
            Some(peak) if *peak > limit => {
                check.violated(format!("{what}: {} ({who}), the limit is {}", text(*peak), text(limit)));
            }
            Some(_) => {}
            None => check.missing(format!("{what}: not observed ({who})")),
        }
    }
    match peaks.iter().filter_map(|(.., peak)| *peak).max() {
        Some(highest) if check.found() == before => {
            check.held(format!("{what}: at most {}, the limit is {}", text(highest), text(limit)));
        }
        None if peaks.is_empty() => check.missing(format!("{what}: no engine process ran")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn each_limit_is_judged_in_each_process() {
        let finding = check(&fixture::healthy());
        assert_eq!(finding.verdict, Verdict::Held);
        assert_eq!(finding.evidence[0], "memory of the engine: at most 40.0 MB, the limit is 150.0 MB");
        for ingestion in 0..2 {
            let spoils: [fn(&mut crate::trial::record::Attempt); 3] = [
                |a| a.peak_rss_bytes = 150_000_001,
                |a| a.summary.as_mut().unwrap().max_in_flight = 9,
                |a| a.summary.as_mut().unwrap().pool_peak = 22,
            ];
            for (n, spoil) in spoils.into_iter().enumerate() {
                let mut record = fixture::healthy();
                spoil(&mut record.ingestions[ingestion].attempts[0]);
                assert_eq!(check(&record).verdict, Verdict::Violated, "spoil {n}");
            }
        }
        let mut crowded = fixture::healthy();
        crowded.liverc.as_mut().unwrap().max_in_flight = 9;
        assert_eq!(check(&crowded).verdict, Verdict::Violated, "the mock saw what the engine did not say");
    }

    #[test]
    fn an_engine_that_went_past_the_memory_it_had_is_told_with_what_shows_it() {
        use crate::trial::record::MemoryLimited;
        let mut record = fixture::healthy();
        record.limits = Limits::default();
        let how = "a control group's limit (cgroup v2) of 256MiB".to_owned();
        for ingestion in &mut record.ingestions {
            ingestion.attempts[0].memory_limit = Some(MemoryLimited { how: how.clone(), past: None });
        }
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Held);
        assert_eq!(finding.evidence, [format!("memory of the engine: it lived under {how}")]);
        record.ingestions[1].attempts[0].memory_limit.as_mut().unwrap().past = Some("killed once".to_owned());
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Violated);
        assert!(finding.evidence.iter().any(|e| e.contains("killed once")), "{finding:?}");
    }

    #[test]
    fn a_limit_that_is_just_met_holds_and_one_that_is_not_set_is_not_judged() {
        let mut record = fixture::healthy();
        record.ingestions[0].attempts[0].peak_rss_bytes = 150_000_000;
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.limits = Limits::default();
        assert_eq!(check(&record).verdict, Verdict::NotJudged);
    }

    #[test]
    fn who_went_past_a_limit_is_told_and_nothing_is_told_to_hold_that_was_not_seen() {
        let mut record = fixture::healthy();
        record.limits.connections = None;
        record.ingestions[0].attempts[0].peak_rss_bytes = 151_000_000;
        record.liverc.as_mut().unwrap().max_in_flight = 9;
        let pid = record.ingestions[0].attempts[0].pid;
        let says = [
            format!("memory of the engine: 151.0 MB (revision 1, process {pid}), the limit is 150.0 MB"),
            "requests in flight: 9 (the mock), the limit is 8".to_owned(),
        ];
        assert_eq!(check(&record).evidence, says);

        let mut unmeasured = fixture::healthy();
        unmeasured.limits = Limits { engine_peak_rss_bytes: Some(150_000_000), ..Limits::default() };
        unmeasured.ingestions[0].attempts[0].peak_rss_bytes = 0;
        let says = [format!("memory of the engine: not observed (revision 1, process {pid})")];
        assert_eq!(check(&unmeasured).evidence, says, "the second ingestion's peak holds nothing by itself");
        unmeasured.ingestions.truncate(1);
        assert_eq!(check(&unmeasured).evidence, says);
        unmeasured.ingestions[0].attempts.clear();
        assert_eq!(check(&unmeasured).evidence, ["memory of the engine: no engine process ran"]);
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let mut unmeasured = fixture::healthy();
        unmeasured.ingestions[1].attempts[0].peak_rss_bytes = 0;
        let mut silent = fixture::healthy();
        silent.ingestions[0].attempts[0].summary = None;
        let mut unseen = silent.clone();
        unseen.limits.connections = None;
        unseen.liverc = None;
        for record in [unmeasured, silent.clone(), unseen] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
        // The mock's word suffices for requests in flight.
        silent.limits.connections = None;
        assert_eq!(check(&silent).verdict, Verdict::Held);
    }
}
