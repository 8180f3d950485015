//! Triggers: a step, a moment on the wire, a row, or a time.

use std::fmt;
use std::str::FromStr;

use contract::{ArmAction, Step, Trigger};

use super::Action;
use crate::nearest::{UnknownName, nearest};
use crate::quantity::Span;

/// When a fault happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum When {
    /// At a step of the engine: `before-commit#2`. The engine holds there until the fault is proven.
    Step(Trigger),
    /// At a moment on the wire: `commit#3:sent`.
    Wire {
        /// Which frames are counted.
        frame: Frame,
        /// Which of them, from 1, over all connections of the trial.
        occurrence: u32,
        /// Where in its life.
        moment: Moment,
    },
    /// When this lap row is inserted, from 1: `row#500`. For errors that PostgreSQL itself raises.
    Row(u32),
    /// When the n-th job of a load begins to run, from 1: `job#3`.
    Job(u32),
    /// So long after the first engine process started, or a load began: `1.5s`.
    Time(Span),
}

/// A closed set of names, see [`contract::names`]; a name that is none of them gets the nearest.
macro_rules! names {
    ($($set:tt)*) => { ::contract::names! { $crate::nearest::UnknownName; $($set)* } };
}
pub(crate) use names;

names! {
    /// What is counted on the wire.
    Frame, "wire frame";
    /// A COMMIT that the engine sends.
    Commit = "commit",
    /// The statement or the CopyData of a lap batch.
    Batch = "batch",
    /// Any frame that the engine sends to PostgreSQL.
    Any = "frame",
    /// A request to LiveRC.
    Request = "request",
    /// A client's request to the service for an import, in a load.
    Import = "import",
}

names! {
    /// A moment in the life of a frame.
    Moment, "wire moment";
    /// It has arrived at the proxy and is not forwarded.
    Before = "before",
    /// Half of it has been forwarded.
    Half = "half",
    /// It has been forwarded, the reply is withheld.
    Sent = "sent",
    /// CommandComplete has been forwarded to the engine.
    Complete = "complete",
    /// ReadyForQuery has been forwarded to the engine.
    Ready = "ready",
    /// The service has answered, nothing of the answer has been forwarded to the client.
    Answered = "answered",
}

impl Frame {
    /// The moments that it has: what a COMMIT and an import are answered with has some of its own.
    #[must_use]
    pub fn moments(self) -> &'static [Moment] {
        match self {
            Self::Commit => &[Moment::Before, Moment::Sent, Moment::Complete, Moment::Ready],
            Self::Batch | Self::Any | Self::Request => &[Moment::Before, Moment::Half, Moment::Sent],
            Self::Import => &[Moment::Before, Moment::Half, Moment::Sent, Moment::Answered],
        }
    }
}

/// A text that is no trigger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// No such step, frame or moment.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// The occurrence.
    #[error("`{0}`: an occurrence is a number from 1")]
    Occurrence(String),
    /// Nothing stands where the trigger should.
    #[error(
        "there is no trigger: write a step (mid-batch#2), a moment on the wire (commit#3:sent), a row (row#500) or a time (1.5s)"
    )]
    Nothing,
    /// A number that is no time.
    #[error("`{0}` is no trigger: a time has a unit (1.5s, 500ms), and a step has a name (mid-batch#2)")]
    Number(String),
    /// A moment that this frame does not have.
    #[error("`{frame}` has no moment `{moment}`; it has {}", list(.frame.moments()))]
    NoMoment {
        /// The frame.
        frame: Frame,
        /// What was asked for.
        moment: Moment,
    },
    /// Something behind a colon, where only frames have it.
    #[error(
        "`{text}`: only frames on the wire ({}) have a moment, as in commit#3:sent; how long a fault lasts stands at its end",
        list(Frame::ALL)
    )]
    NotOnTheWire {
        /// The trigger.
        text: String,
    },
    /// A row can only raise an error of PostgreSQL's.
    #[error(
        "`{0}` cannot be tied to a row: rows are for errors that PostgreSQL raises (db-deadlock, db-serialization …)"
    )]
    RowOnly(Action),
}

fn list<T: fmt::Display>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

impl When {
    /// What the engine is armed with, when the trigger is a step of its own.
    #[must_use]
    pub fn arming(&self, action: Action) -> Option<(Trigger, ArmAction)> {
        let Self::Step(trigger) = self else { return None };
        Some((*trigger, if action == Action::Crash { ArmAction::Kill } else { ArmAction::Hold }))
    }

    /// Whether it is a moment of a COMMIT.
    #[must_use]
    pub fn is_commit(&self) -> bool {
        matches!(self, Self::Wire { frame: Frame::Commit, .. })
    }

    /// Whether only a load has such a moment.
    #[must_use]
    pub fn is_of_load(&self) -> bool {
        matches!(self, Self::Job(_) | Self::Wire { frame: Frame::Import, .. })
    }

    /// Whether only the proxy can see it.
    #[must_use]
    pub fn is_wire(&self) -> bool {
        matches!(self, Self::Wire { .. })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(trigger) => write!(f, "{trigger}"),
            Self::Wire { frame, occurrence, moment } => write!(f, "{frame}#{occurrence}:{moment}"),
            Self::Row(n) => write!(f, "row#{n}"),
            Self::Job(n) => write!(f, "job#{n}"),
            Self::Time(after) => write!(f, "{after}"),
        }
    }
}

impl FromStr for When {
    type Err = WhenError;

    /// `step[#n]`, `commit#n[:moment]` (and `batch`, `frame`, `request`, `import`), `row#n`, `job#n`, or a duration. A missing occurrence is
    /// the first, a missing moment is `before`.
    fn from_str(text: &str) -> Result<Self, WhenError> {
        if let Ok(after) = text.parse::<Span>() {
            return Ok(Self::Time(after));
        }
        if text.is_empty() {
            return Err(WhenError::Nothing);
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(WhenError::Number(text.to_owned()));
        }
        let (head, moment) = match text.split_once(':') {
            Some((head, moment)) => (head, Some(moment)),
            None => (text, None),
        };
        let (name, occurrence) = match head.split_once('#') {
            None => (head, 1),
            Some((name, n)) => match n.parse() {
                Ok(n) if n > 0 => (name, n),
                _ => return Err(WhenError::Occurrence(text.to_owned())),
            },
        };
        match (name.parse::<Frame>(), moment) {
            (Ok(frame), moment) => {
                let moment = moment.map_or(Ok(Moment::Before), str::parse)?;
                if !frame.moments().contains(&moment) {
                    return Err(WhenError::NoMoment { frame, moment });
                }
                Ok(Self::Wire { frame, occurrence, moment })
            }
            (Err(_), Some(_)) if name == "row" || name.parse::<Step>().is_ok() => {
                Err(WhenError::NotOnTheWire { text: text.to_owned() })
            }
            (Err(unknown), Some(_)) => Err(unknown.into()),
            (Err(_), None) if name == "row" => Ok(Self::Row(occurrence)),
            (Err(_), None) if name == "job" => Ok(Self::Job(occurrence)),
            (Err(unknown), None) => match name.parse::<Step>() {
                Ok(step) => Ok(Self::Step(Trigger { step, occurrence })),
                Err(_) => {
                    let names: Vec<_> = Step::ALL.iter().map(|s| s.name()).collect();
                    let meant_a_step = nearest(name, names.iter().copied()).is_some();
                    let step = UnknownName::new("step", name, &names);
                    Err(if meant_a_step || unknown.nearest.is_none() { step } else { unknown }.into())
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_and_missing_parts_have_their_defaults() {
        for (text, full) in [
            ("mid-batch", "mid-batch#1"),
            ("commit#3", "commit#3:before"),
            ("commit", "commit#1:before"),
            ("batch#2:half", "batch#2:half"),
            ("frame#17:sent", "frame#17:sent"),
            ("request#4", "request#4:before"),
            ("row#500", "row#500"),
            ("job#3", "job#3"),
            ("import#2:answered", "import#2:answered"),
            ("1.5s", "1.5s"),
            ("250ms", "250ms"),
        ] {
            let when: When = text.parse().unwrap();
            assert_eq!(when.to_string(), full);
            assert_eq!(full.parse::<When>().unwrap(), when);
        }
        for &step in Step::ALL {
            assert!(matches!(step.name().parse(), Ok(When::Step(t)) if t.step == step), "{step} is no frame");
        }
    }

    #[test]
    fn what_has_no_such_moment_is_refused_with_those_it_has() {
        let refused = |text: &str| text.parse::<When>().unwrap_err().to_string();
        assert_eq!(refused("commit#1:half"), "`commit` has no moment `half`; it has before, sent, complete, ready");
        assert_eq!(refused("batch:ready"), "`batch` has no moment `ready`; it has before, half, sent");
        assert!(refused("mid-batch:2s").contains("how long a fault lasts stands at its end"));
        assert!(refused("row#5:half").contains("only frames on the wire (commit, batch, frame, request, import)"));
        assert!(refused("1.5").contains("a time has a unit"));
        assert!(refused("").contains("there is no trigger"));
    }

    #[test]
    fn a_step_arms_the_engine_to_die_for_a_crash_and_to_hold_for_all_else() {
        let when: When = "before-commit#2".parse().unwrap();
        let trigger = "before-commit#2".parse().unwrap();
        assert_eq!(when.arming(Action::Crash), Some((trigger, ArmAction::Kill)));
        assert_eq!(when.arming(Action::DbKill), Some((trigger, ArmAction::Hold)));
        assert_eq!("commit#2:sent".parse::<When>().unwrap().arming(Action::Crash), None);
        assert!("commit#2:sent".parse::<When>().unwrap().is_commit());
    }
}
