//! *exit*: the exit code and the database agree. Code 0 says that the event is complete; any other that it is not.

use super::check::{Check, Finding, count, label};
use super::stored::{Holdings, LAPS_FULL, holdings};
use crate::trial::record::{Exit, Ingestion, TrialRecord};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    let disturbed = record.broken.is_some() || record.faults.iter().any(|f| f.fired.is_some());
    for ingestion in &record.ingestions {
        judge(&mut check, ingestion, disturbed);
    }
    check.finish()
}

fn judge(check: &mut Check, ingestion: &Ingestion, disturbed: bool) {
    let label = label(ingestion);
    let Some(last) = ingestion.attempts.last() else {
        check.missing(format!("{label}: no engine process ran"));
        return;
    };
    for attempt in &ingestion.attempts {
        if let (Exit::Code(code), Some(summary)) = (attempt.exit, &attempt.summary)
            && summary.exit != code
        {
            check.violated(format!(
                "{label}: process {} said exit code {} and ended with {code}",
                attempt.pid, summary.exit
            ));
        }
    }
    let code = match last.exit {
        Exit::Code(code) => code,
        // Where the harness hurt it, an end without an exit code shows nothing about the engine.
        Exit::Signal(signal) if disturbed => {
            check.missing(format!("{label}: the last process was ended by signal {signal} and left no exit code"));
            return;
        }
        Exit::Signal(signal) => {
            check
                .violated(format!("{label}: the last process was ended by signal {signal}, and no fault asked for it"));
            return;
        }
        Exit::TimedOut if disturbed => {
            check.missing(format!("{label}: the last process did not end in its time and left no exit code"));
            return;
        }
        Exit::TimedOut => {
            check.violated(format!("{label}: the last process did not end in its time, and no fault held it up"));
            return;
        }
    };
    let full = ingestion.observed.ingest_depth.as_deref() == Some(LAPS_FULL);
    match (holdings(ingestion), code) {
        (Holdings::Unread(kinds), _) => check.missing(format!("{label}: {} were not read", kinds.join(", "))),
        (Holdings::All(n), 0) if full => {
            check.held(format!("{label}: exit code 0, laps_full, and all {} are there", count(n, "race")));
        }
        (Holdings::All(_), 0) => check.violated(format!("{label}: exit code 0, but the event is not laps_full")),
        (Holdings::Lacking(what), 0) => {
            what.iter().for_each(|text| check.violated(format!("{label}: exit code 0, but {text}")));
        }
        (Holdings::All(_), code) if full => {
            check.violated(format!("{label}: exit code {code}, but the event is complete"));
        }
        (_, code) => check.held(format!("{label}: exit code {code}, and the event is not complete")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Damage};
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::{FaultRecord, Fired, RowKind};

    fn with_exit(exit: Exit) -> TrialRecord {
        let mut record = fixture::healthy();
        let attempt = &mut record.ingestions[0].attempts[0];
        attempt.exit = exit;
        attempt.summary = None;
        record
    }

    #[test]
    fn success_without_the_rows_is_violated() {
        assert_eq!(check(&fixture::healthy()).verdict, Verdict::Held);
        for kind in [RowKind::Races, RowKind::Results, RowKind::Laps] {
            let mut record = fixture::healthy();
            fixture::damage(&mut record.ingestions[0].observed.tables, kind, Damage::Missing);
            assert_eq!(check(&record).verdict, Verdict::Violated, "{kind:?}");
        }
        let mut shallow = fixture::healthy();
        shallow.ingestions[0].observed.ingest_depth = Some("partial".into());
        assert_eq!(check(&shallow).verdict, Verdict::Violated);
        let mut lied = fixture::partial(103);
        lied.ingestions[0].attempts[0].exit = Exit::Code(0);
        lied.ingestions[0].attempts[0].summary = None;
        assert_eq!(check(&lied).verdict, Verdict::Violated, "exit 0 after a failed race");
    }

    #[test]
    fn failure_with_all_the_rows_is_violated_and_without_them_is_held() {
        for code in [1, 75, 101] {
            let mut record = with_exit(Exit::Code(code));
            assert_eq!(check(&record).verdict, Verdict::Violated, "{code}");
            record.ingestions[0].observed.ingest_depth = Some("partial".into());
            fixture::damage(&mut record.ingestions[0].observed.tables, RowKind::Laps, Damage::Missing);
            assert_eq!(check(&record).verdict, Verdict::Held, "{code}: honest");
        }
        assert_eq!(check(&fixture::partial(103)).verdict, Verdict::Held);
        assert_eq!(check(&fixture::crashed()).verdict, Verdict::Held, "only the last process tells");
    }

    #[test]
    fn a_summary_that_tells_another_code_is_violated() {
        let mut record = fixture::healthy();
        record.ingestions[0].attempts[0].summary.as_mut().unwrap().exit = 75;
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn an_end_without_a_code_is_the_engines_fault_unless_one_was_injected() {
        for exit in [Exit::Signal(11), Exit::TimedOut] {
            let mut record = with_exit(exit);
            assert_eq!(check(&record).verdict, Verdict::Violated, "{exit:?}");
            record.broken = Some("the server died".into());
            assert_eq!(check(&record).verdict, Verdict::Unknown, "{exit:?}");
            record.broken = None;
            let fired = Some(Fired { at_us: 1, healed_us: None, evidence: "signal 9".into() });
            record.faults.push(FaultRecord { fault: "mid-batch#1 = crash".into(), fired, why_not: None, missed: None });
            assert_eq!(check(&record).verdict, Verdict::Unknown, "{exit:?}");
        }
    }

    #[test]
    fn changed_or_extra_rows_are_for_other_oracles_and_unread_ones_unknown() {
        for damage in [Damage::Changed, Damage::Extra, Damage::Doubled] {
            let mut record = fixture::healthy();
            fixture::damage(&mut record.ingestions[0].observed.tables, RowKind::Laps, damage);
            assert_eq!(check(&record).verdict, Verdict::Held, "{damage:?}");
        }
        let mut unread = fixture::healthy();
        unread.ingestions[0].observed.tables.clear();
        let mut never = fixture::healthy();
        never.ingestions[0].attempts.clear();
        for record in [unread, never] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
    }
}
