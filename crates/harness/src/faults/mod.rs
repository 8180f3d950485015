//! Faults: a trigger and an action. Data only; the trial applies them, and `trial::record::Fired` is the proof.

mod action;
mod when;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

pub use action::{Action, Need};
pub(crate) use when::names;
pub use when::{Frame, Moment, When, WhenError};

use crate::nearest::UnknownName;
use crate::quantity::{NoSpan, Span, as_text};

/// A fault: when, what, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    when: When,
    action: Action,
    duration: Option<Span>,
    revision: u32,
    process: Option<NonZeroU32>,
}

/// A fault that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Not of the form `WHEN=DO[:FOR]`.
    #[error("`{0}` is no fault; write WHEN=DO or WHEN=DO:FOR, for example before-commit#2=db-kill:500ms")]
    Form(String),
    /// The trigger.
    #[error(transparent)]
    When(#[from] WhenError),
    /// The action.
    #[error(transparent)]
    Action(#[from] UnknownName),
    /// The duration.
    #[error(transparent)]
    Duration(#[from] NoSpan),
    /// An action that is over at once was given a duration.
    #[error("`{0}` happens at once: it takes no duration")]
    Instant(Action),
    /// A trigger that the action cannot be tied to.
    #[error("`{0}` is raised by PostgreSQL itself: tie it to a row (row#500) or a commit (commit#3), not to `{1}`")]
    Raised(Action, When),
}

impl Fault {
    /// Puts a fault together.
    ///
    /// # Errors
    /// When the action takes no duration and is given one, or cannot be tied to this trigger.
    pub fn new(when: When, action: Action, duration: Option<Span>) -> Result<Self, FaultError> {
        if duration.is_some() && action.default_duration().is_none() {
            return Err(FaultError::Instant(action));
        }
        if action.is_raised() != matches!(when, When::Row(_)) && !(action.is_raised() && when.is_commit()) {
            return Err(if action.is_raised() {
                FaultError::Raised(action, when)
            } else {
                WhenError::RowOnly(action).into()
            });
        }
        Ok(Self { when, action, duration, revision: 1, process: None })
    }

    /// Its trigger.
    #[must_use]
    pub fn when(&self) -> &When {
        &self.when
    }

    /// What happens.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The same in another revision of the event than the first, counted from 1.
    #[must_use]
    pub fn in_revision(self, revision: u32) -> Self {
        Self { revision, ..self }
    }

    /// In the ingestion of which revision it happens, from 1.
    #[must_use]
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// The same in the n-th engine process of the ingestion only, counted from 1. Without it a fault waits for whichever
    /// process comes to its trigger first.
    #[must_use]
    pub fn in_process(self, process: NonZeroU32) -> Self {
        Self { process: Some(process), ..self }
    }

    /// In which engine process of the ingestion it happens, from 1; `None`: in the first that comes to its trigger.
    #[must_use]
    pub fn process(&self) -> Option<NonZeroU32> {
        self.process
    }

    /// Whether it may happen in this process of an ingestion, counted from 1.
    #[must_use]
    pub fn may_strike(&self, process: u32) -> bool {
        self.process.is_none_or(|n| n.get() == process)
    }

    /// How long it lasts: as written, else the action's default; `None`: it is over at once.
    #[must_use]
    pub fn duration(&self) -> Option<Span> {
        self.duration.or_else(|| self.action.default_duration())
    }

    /// The duration as written; `None`: none was.
    #[must_use]
    pub fn written_duration(&self) -> Option<Span> {
        self.duration
    }

    /// As reports say it: `before-commit#2 = db-kill for 500ms`.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut place = if self.revision > 1 { format!(" in revision {}", self.revision) } else { String::new() };
        if let Some(process) = self.process {
            place += &format!(" in process {process}");
        }
        match self.duration().filter(|span| !span.0.is_zero()) {
            Some(duration) => format!("{} = {} for {duration}{place}", self.when, self.action),
            None => format!("{} = {}{place}", self.when, self.action),
        }
    }

    /// `--crash-at mid-batch#2`.
    ///
    /// # Errors
    /// When it is no trigger.
    pub fn crash_at(text: &str) -> Result<Self, FaultError> {
        // With a duration it is refused as one, and not as a moment that there is not.
        Self::at(text, Action::Crash)
    }

    /// `--drop-network-at race-fetched#5:2s`: the network to LiveRC swallows everything, and heals.
    ///
    /// # Errors
    /// When it is no trigger, with or without a duration.
    pub fn drop_network_at(text: &str) -> Result<Self, FaultError> {
        Self::at(text, Action::NetBlackhole)
    }

    /// `--lose-db-at before-commit:1s`: the postmaster is killed, and started again.
    ///
    /// # Errors
    /// When it is no trigger, with or without a duration.
    pub fn lose_db_at(text: &str) -> Result<Self, FaultError> {
        Self::at(text, Action::DbKill)
    }

    /// `WHEN[:FOR]`. A wire moment has a colon of its own (`commit#3:sent`), so only a tail that
    /// begins with a digit is a duration.
    fn at(text: &str, action: Action) -> Result<Self, FaultError> {
        if let Some((when, tail)) =
            text.rsplit_once(':').filter(|(_, tail)| tail.starts_with(|c: char| c.is_ascii_digit()))
        {
            return Self::new(when.parse()?, action, Some(tail.parse()?));
        }
        Self::new(text.parse()?, action, None)
    }
}

impl fmt::Display for Fault {
    /// As it is written on the command line: `before-commit#2=db-kill:500ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.when, self.action)?;
        self.duration.map_or(Ok(()), |duration| write!(f, ":{duration}"))
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    /// `WHEN=DO[:FOR]`.
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (when, what) = text.split_once('=').ok_or_else(|| FaultError::Form(text.to_owned()))?;
        let (action, duration) = match what.split_once(':') {
            Some((action, duration)) => (action, Some(duration.trim().parse()?)),
            None => (what, None),
        };
        Self::new(when.trim().parse()?, action.trim().parse()?, duration)
    }
}

as_text!(Fault, "a fault in quotes: \"before-commit#2=db-kill:500ms\"");

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Fault>().unwrap_err().to_string()
    }

    #[test]
    fn the_documented_faults_read_and_read_back() {
        for text in [
            "before-commit#2=crash",
            "before-commit#2=db-kill:500ms",
            "commit#3:sent=db-reset",
            "commit#1:ready=db-blackhole:1.5s",
            "1.5s=pause:200ms",
            "race-fetched#5=net-blackhole:2s",
            "row#500=db-deadlock",
            "commit#2:before=db-serialization",
            "request#7:before=http-429:1s",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
            assert_eq!(serde_json::to_value(&fault).unwrap(), text);
            assert_eq!(serde_json::from_value::<Fault>(text.into()).unwrap(), fault);
        }
    }

    #[test]
    fn shorthands_of_the_command_line() {
        let crash = Fault::crash_at("mid-batch").unwrap();
        assert_eq!((crash.to_string(), crash.describe()), ("mid-batch#1=crash".into(), "mid-batch#1 = crash".into()));
        let cut = Fault::drop_network_at("race-fetched#5:2s").unwrap();
        assert_eq!(cut.to_string(), "race-fetched#5=net-blackhole:2s");
        assert_eq!(
            Fault::crash_at("mid-batch:2s").unwrap_err().to_string(),
            "`crash` happens at once: it takes no duration"
        );
        let lost = Fault::lose_db_at("before-commit").unwrap();
        assert_eq!(lost.to_string(), "before-commit#1=db-kill");
        assert_eq!(lost.describe(), "before-commit#1 = db-kill", "over as soon as it can be");
        let refused = Fault::at("before-commit", Action::DbRefuse).unwrap();
        assert_eq!(refused.describe(), "before-commit#1 = db-refuse for 500ms", "the default is said");
        assert_eq!(Fault::lose_db_at("commit#3:sent").unwrap().to_string(), "commit#3:sent=db-kill");
        assert_eq!(Fault::lose_db_at("commit#3:sent:2s").unwrap().to_string(), "commit#3:sent=db-kill:2s");
        assert_eq!(
            Fault::crash_at("mid-bacth").unwrap_err().to_string(),
            "unknown step `mid-bacth`; did you mean `mid-batch`?"
        );
        assert!(
            Fault::lose_db_at("before-commit:2parsecs").unwrap_err().to_string().contains("`2parsecs` is no duration")
        );
    }

    #[test]
    fn a_typo_anywhere_gets_the_nearest_name() {
        assert_eq!(error("mid-bacth#1=crash"), "unknown step `mid-bacth`; did you mean `mid-batch`?");
        assert_eq!(error("mid-batch#1=crsh"), "unknown fault `crsh`; did you mean `crash`?");
        assert_eq!(error("commit#3:snet=db-reset"), "unknown wire moment `snet`; did you mean `sent`?");
        assert_eq!(error("comit#3:sent=db-reset"), "unknown wire frame `comit`; did you mean `commit`?");
        assert!(error("mid-batch#0=crash").contains("a number from 1"));
        assert!(error("mid-batch#x=crash").contains("a number from 1"));
        assert!(error("mid-batch").contains("WHEN=DO"));
        assert!(error("mid-batch=db-kill:soon").contains("`soon` is no duration"));
    }

    #[test]
    fn what_cannot_go_together_is_refused() {
        assert!(error("mid-batch#1=crash:2s").contains("takes no duration"));
        assert!(error("mid-batch#1=db-deadlock").contains("row#500"));
        assert!(error("row#5=db-kill").contains("row"));
        assert!("commit#3=db-deadlock".parse::<Fault>().is_ok());
    }

    #[test]
    fn every_action_has_its_own_name_and_says_what_it_does() {
        for &action in Action::ALL {
            assert_eq!(action.name().parse::<Action>(), Ok(action));
            assert!(action.description().ends_with('.'), "{action}");
            assert_eq!(Action::ALL.iter().filter(|a| a.name() == action.name()).count(), 1, "{action}");
        }
    }
}
