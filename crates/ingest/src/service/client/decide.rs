//! What an event's state says about an import whose answer was lost. Pure.

use crate::service::model::{EventState, IngestDepth, Job, JobState};

/// What is known of an import.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// The event is complete, by this import or in a way that is as good.
    Complete(Option<Job>),
    /// This import ran and failed.
    Failed(Job),
    /// This import goes on.
    GoesOn(Job),
    /// Somebody else's import of the event goes on, which is as good as this one.
    OthersGoesOn(u64),
    /// The request is not there.
    Absent,
}

/// Reads a state; `None` is an event of which nothing is known. With `refresh` the event being complete says nothing:
/// it may have been so before, and only the end of this import counts.
#[must_use]
pub fn decide(state: Option<&EventState>, refresh: bool) -> Known {
    let Some(state) = state else { return Known::Absent };
    let there = state.ingest_depth == IngestDepth::LapsFull && !refresh;
    match &state.job {
        Some(job) if job.state == JobState::Completed => Known::Complete(Some(job.clone())),
        Some(job) if there => Known::Complete(Some(job.clone())),
        None if there => Known::Complete(None),
        Some(job) if job.state == JobState::Failed => Known::Failed(job.clone()),
        Some(job) => Known::GoesOn(job.clone()),
        None => match state.live_job {
            Some(job) if !refresh => Known::OthersGoesOn(job),
            _ => Known::Absent,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: JobState) -> Job {
        let text = r#"{"id":7,"event_id":1,"track":"t","refresh":false,"state":"queued","requested_at":"","attempts":0,
                       "takeovers":0}"#;
        Job { state, ..serde_json::from_str(text).unwrap() }
    }

    fn state(ingest_depth: IngestDepth, of_request: Option<JobState>, live_job: Option<u64>) -> EventState {
        let job = of_request.map(job);
        EventState { event_id: 1, ingest_depth, event: None, written_races: 0, failed_races: vec![], job, live_job }
    }

    #[test]
    fn every_state_is_read() {
        use IngestDepth::{LapsFull, None as Nothing, Partial};
        use JobState::{Completed, Failed, Queued, Running};
        let complete = |by: JobState| Known::Complete(Some(job(by)));
        for (depth, of_request, live, plain, refresh) in [
            // this import is known: its end counts
            (LapsFull, Some(Completed), None, complete(Completed), complete(Completed)),
            (Partial, Some(Completed), Some(9), complete(Completed), complete(Completed)),
            (Partial, Some(Failed), None, Known::Failed(job(Failed)), Known::Failed(job(Failed))),
            (Nothing, Some(Queued), Some(7), Known::GoesOn(job(Queued)), Known::GoesOn(job(Queued))),
            (Partial, Some(Running), Some(7), Known::GoesOn(job(Running)), Known::GoesOn(job(Running))),
            // complete before, and asked for again: that it is complete proves nothing
            (LapsFull, Some(Running), Some(7), complete(Running), Known::GoesOn(job(Running))),
            (LapsFull, Some(Failed), None, complete(Failed), Known::Failed(job(Failed))),
            (LapsFull, None, None, Known::Complete(None), Known::Absent),
            (LapsFull, None, Some(9), Known::Complete(None), Known::Absent),
            // it never came
            (Partial, None, Some(9), Known::OthersGoesOn(9), Known::Absent),
            (Partial, None, None, Known::Absent, Known::Absent),
            (Nothing, None, None, Known::Absent, Known::Absent),
        ] {
            let state = state(depth, of_request, live);
            assert_eq!(decide(Some(&state), false), plain, "{state:?}");
            assert_eq!(decide(Some(&state), true), refresh, "{state:?} with refresh");
        }
        assert_eq!(decide(None, false), Known::Absent);
    }
}
