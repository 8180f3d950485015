//! *clean*: after the engine is gone nothing of it is left in the server.

use super::check::{Check, Finding, count};
use crate::trial::record::{Exit, TrialRecord};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    let left = &record.aftermath;
    if !left.observed {
        check.missing("the server was not looked at after the engine had ended");
        return check.finish();
    }
    let things = [
        (left.advisory_locks, "advisory lock", "held"),
        (left.connections, "connection", "of the engine open"),
        (left.open_transactions, "transaction", "of the engine open"),
        (left.temporary_tables, "temporary table", "left"),
        (left.prepared_transactions, "prepared transaction", "left"),
    ];
    for (n, noun, how) in things.into_iter().filter(|&(n, ..)| n > 0) {
        check.violated(format!("{} {how}", count(n, noun)));
    }
    if let Some(load) = &record.load {
        for job in &load.jobs.live {
            check.violated(format!("{job}, though all had the time to end"));
        }
        for run in load.processes.iter().filter(|run| !run.asked || run.exit == Exit::TimedOut) {
            let last = run.stderr_tail.last().map(|line| format!(": {line}")).unwrap_or_default();
            check.violated(format!("{} (process {}) did not end in good order{last}", run.place, run.pid));
        }
    }
    if check.found() == 0 {
        check.held("no lock, connection, open or prepared transaction or temporary table is left");
    }
    if left.deadlocks > 0 {
        check.remark(format!("the server resolved {} during the trial", count(left.deadlocks, "deadlock")));
    }
    check.finish()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::Aftermath;

    #[test]
    fn anything_left_is_violated() {
        assert_eq!(check(&fixture::healthy()).verdict, Verdict::Held);
        type Spoil = fn(&mut Aftermath);
        let spoils: [(Spoil, &str); 5] = [
            (|a| a.advisory_locks = 1, "1 advisory lock held"),
            (|a| a.connections = 2, "2 connections of the engine open"),
            (|a| a.open_transactions = 1, "1 transaction of the engine open"),
            (|a| a.temporary_tables = 1, "1 temporary table left"),
            (|a| a.prepared_transactions = 3, "3 prepared transactions left"),
        ];
        for (spoil, says) in spoils {
            let mut record = fixture::healthy();
            spoil(&mut record.aftermath);
            let finding = check(&record);
            assert_eq!((finding.verdict, finding.evidence[0].as_str()), (Verdict::Violated, says));
        }
    }

    #[test]
    fn a_deadlock_that_was_resolved_is_said_and_not_flagged_and_no_look_is_unknown() {
        let mut record = fixture::healthy();
        record.aftermath.deadlocks = 1;
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence[1].contains("1 deadlock"), "{finding:?}");
        record.aftermath = Aftermath::default();
        assert_eq!(check(&record).verdict, Verdict::Unknown);
    }
}
