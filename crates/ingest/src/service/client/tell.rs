//! What the user is told.

use contract::exit;
use serde::Serialize;

use crate::service::model::{EventState, Job};
use crate::service::server::{Code, Problem};

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The event is complete in the database.
    Complete {
        /// This import's job, where it was that which completed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        job: Option<Job>,
        /// The event's state, where it was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<Box<EventState>>,
    },
    /// The import ran and failed.
    Failed {
        /// Its job.
        job: Job,
    },
    /// There was no more time; the import goes on without us.
    GoesOn {
        /// Its job.
        job: Job,
    },
    /// The server did not take it.
    Refused {
        /// What it said.
        problem: Problem,
    },
    /// It certainly did not happen, and will not.
    NotDone,
    /// It cannot be found out.
    Unknown,
}

/// An import as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Host label of the track.
    pub track: String,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// An answer was lost on the way, and the verdict found out afterwards.
    pub recovered: bool,
    /// Calls that failed.
    pub failed_calls: u32,
    /// The first of them: what was tried, with URL and cause chain.
    pub tries: Vec<String>,
}

impl Told {
    /// Exit code of the engine's contract.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match &self.verdict {
            Verdict::Complete { .. } => exit::COMPLETE,
            Verdict::Failed { job } => match job.outcome.as_ref().map_or(exit::FAILED, |o| o.exit) {
                exit::COMPLETE => exit::FAILED,
                code => code,
            },
            Verdict::Refused { problem } if problem.code.worth_retrying() => exit::RETRY,
            Verdict::Refused { problem } => match problem.code {
                Code::Unauthorized | Code::Invalid | Code::Malformed => exit::USAGE,
                _ => exit::FAILED,
            },
            Verdict::GoesOn { .. } | Verdict::NotDone | Verdict::Unknown => exit::RETRY,
        }
    }

    /// In words, over one or more lines. Success is the first result, anything else the second.
    ///
    /// # Errors
    /// What is not success.
    pub fn words(&self) -> Result<String, String> {
        let event = self.event_id;
        let found_out =
            if self.recovered { " (its answer was lost on the way; this was found out afterwards)" } else { "" };
        let mut lines = Vec::new();
        match &self.verdict {
            Verdict::Complete { job, state } => {
                let outcome = job.as_ref().and_then(|job| job.outcome.as_ref());
                let what = match (outcome, state.as_ref().and_then(|s| s.event.as_ref())) {
                    (Some(o), _) if o.already_there => format!("all its {} races were there already", o.listed),
                    (Some(o), _) => format!(
                        "{} races listed, {} written, {} unchanged or done before, {} removed",
                        o.listed, o.written, o.unchanged, o.removed
                    ),
                    (None, Some(head)) => format!("the database holds all its {} races", head.listed_races),
                    (None, None) => "the database holds all its races".to_owned(),
                };
                return Ok(format!("event {event} is complete: {what}{found_out}"));
            }
            Verdict::Failed { job } => {
                lines.push(format!("event {event} was not imported completely: job {} failed{found_out}", job.id));
                let outcome = job.outcome.as_ref();
                lines.extend(outcome.and_then(|o| o.error.clone()).map(|e| format!("  {e}")));
                let races = outcome.map(|o| o.failed.as_slice()).unwrap_or_default();
                lines.extend(races.iter().map(|r| format!("  race {}: {} ({})", r.race_id, r.cause, r.url)));
            }
            Verdict::GoesOn { job } => {
                let (id, state) = (job.id, if job.position.is_some() { "is queued" } else { "is running" });
                lines.push(format!(
                    "the import of event {event} goes on: job {id} {state}. Run this again to follow it"
                ));
            }
            Verdict::Refused { problem } => {
                lines.push(format!("event {event} was not imported: {} ({})", problem.title, problem.detail));
            }
            Verdict::NotDone => {
                lines.push(format!("event {event} was not imported: the request did not reach the server"))
            }
            Verdict::Unknown => lines.push(format!(
                "what became of the import of event {event} cannot be found out; it may have happened or still happen. \
                 Run this again when the server can be reached: what is done is not done twice"
            )),
        }
        if !matches!(self.verdict, Verdict::Failed { .. }) {
            lines.extend(self.tries.iter().map(|tried| format!("  tried {tried}")));
            let more = (self.failed_calls as usize).saturating_sub(self.tries.len());
            if more > 0 {
                lines.push(format!("  and {more} more calls that failed"));
            }
        }
        Err(lines.join("\n"))
    }
}
