//! A failing case made simpler, one respect at a time: a fault dropped, a simpler action, an earlier occurrence, a smaller event.
//! Pure.

use super::case::{Case, Kind, Trigger};
use crate::faults::{Action, Fault, Moment, When};

/// A case that is simpler in one respect. On another event the occurrences are brought within what is there.
#[must_use]
pub fn simpler(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    if case.faults.len() > 1 {
        for at in 0..case.faults.len() {
            let mut faults = case.faults.clone();
            faults.remove(at);
            all.push(Case { faults, ..case.clone() });
        }
    }
    for ground in case.ground.simpler() {
        // Without later revisions what went wrong in one goes wrong in the first.
        let one_revision = ground.changes == 0;
        let moved = |f: &Fault| if one_revision { f.clone().in_revision(1) } else { f.clone() };
        all.push(Case { faults: case.faults.iter().map(moved).collect(), ground });
    }
    for (at, fault) in case.faults.iter().enumerate() {
        for simpler in simpler_fault(fault) {
            let mut faults = case.faults.clone();
            faults[at] = simpler;
            all.push(Case { faults, ..case.clone() });
        }
    }
    all
}

/// Simpler faults: a crash instead of another action, the action's own duration, a lower occurrence, the first moment.
fn simpler_fault(fault: &Fault) -> Vec<Fault> {
    let make = |when: When, action, lasts| {
        let made = Fault::new(when, action, lasts).ok()?.in_revision(fault.revision());
        Some(match fault.process() {
            Some(process) => made.in_process(process),
            None => made,
        })
    };
    let (when, action, lasts) = (fault.when(), fault.action(), fault.written_duration());
    let mut all = Vec::new();
    if action != Action::Crash {
        all.extend(make(when.clone(), Action::Crash, None));
    }
    if lasts.is_some() {
        all.extend(make(when.clone(), action, None));
    }
    all.extend(lower(occurrence(when)).into_iter().filter_map(|n| make(at(when, n), action, lasts)));
    if let When::Wire { frame, occurrence, moment } = when
        && *moment != Moment::Before
    {
        let before = When::Wire { frame: *frame, occurrence: *occurrence, moment: Moment::Before };
        all.extend(make(before, action, lasts));
    }
    all
}

fn occurrence(when: &When) -> u32 {
    match when {
        When::Step(trigger) => trigger.occurrence,
        When::Wire { occurrence, .. } => *occurrence,
        When::Row(n) | When::Job(n) => *n,
        When::Time(_) => 1,
    }
}

/// The same trigger at another occurrence.
fn at(when: &When, n: u32) -> When {
    match when {
        When::Step(trigger) => When::Step(contract::Trigger { occurrence: n, ..*trigger }),
        When::Wire { frame, moment, .. } => When::Wire { frame: *frame, occurrence: n, moment: *moment },
        When::Row(_) => When::Row(n),
        When::Job(_) => When::Job(n),
        When::Time(after) => When::Time(*after),
    }
}

/// Lower numbers, lowest first.
fn lower(n: u32) -> Vec<u32> {
    let mut all = vec![1, n / 2, n.saturating_sub(1)];
    all.retain(|&m| m > 0 && m < n);
    all.dedup();
    all
}

/// The faults brought within what an event has; `None`: it has no such thing at all.
#[must_use]
pub fn within(faults: &[Fault], kinds: &[Kind]) -> Option<Vec<Fault>> {
    let bring = |fault: &Fault| {
        let trigger = Trigger::of(fault)?;
        let kind =
            kinds.iter().find(|k| (k.trigger, k.action, k.revision) == (trigger, fault.action(), fault.revision()))?;
        let n = occurrence(fault.when()).min(kind.most);
        Some(
            Fault::new(at(fault.when(), n), fault.action(), fault.written_duration())
                .ok()?
                .in_revision(fault.revision()),
        )
    };
    faults.iter().map(bring).collect()
}

#[cfg(test)]
mod tests {
    use super::super::case::Ground;
    use super::*;

    fn case(faults: &[&str]) -> Case {
        let ground = Ground { size: 1, changes: 0, settings: 1, profile: "fast".into() };
        Case { ground, faults: faults.iter().map(|f| f.parse().unwrap()).collect() }
    }

    /// Shrinks as chaos does, against a judge that needs no database.
    fn shrunk(mut case: Case, fails: impl Fn(&Case) -> bool) -> Case {
        while let Some(next) = simpler(&case).into_iter().find(&fails) {
            case = next;
        }
        case
    }

    #[test]
    fn a_schedule_shrinks_to_the_one_fault_that_matters() {
        let start = case(&["race-fetched#5=http-429:400ms", "before-commit#3=db-kill", "commit#2:sent=db-reset"]);
        let only_reset = |c: &Case| c.faults.iter().any(|f| f.action() == Action::DbReset);
        let end = shrunk(start.clone(), only_reset);
        assert_eq!(end.faults, case(&["commit#1:before=db-reset"]).faults);
        assert_eq!((end.ground.size, end.ground.settings), (0, 0));
        let any_crash_late = |c: &Case| c.faults.iter().any(|f| occurrence(f.when()) >= 3);
        assert_eq!(shrunk(start, any_crash_late).faults, case(&["before-commit#3=crash"]).faults);
    }

    #[test]
    fn nothing_is_simpler_than_the_simplest() {
        let mut simplest = case(&["before-commit#1=crash"]);
        (simplest.ground.size, simplest.ground.settings) = (0, 0);
        assert!(simpler(&simplest).is_empty());
    }

    #[test]
    fn faults_are_brought_within_a_smaller_event() {
        let kind = |most| Kind {
            trigger: Trigger::Step(contract::Step::BeforeCommit),
            action: Action::Crash,
            revision: 1,
            most,
        };
        let faults = case(&["before-commit#7=crash"]).faults;
        assert_eq!(within(&faults, &[kind(2)]).unwrap()[0].to_string(), "before-commit#2=crash");
        assert_eq!(within(&faults, &[]), None);
    }
}
