//! Arming: what an engine does to itself when it reaches a step, `mid-batch#2=kill,before-commit#1=hold`.

use std::fmt;
use std::str::FromStr;

use crate::step::{Step, UnknownStep};

/// A step and which occurrence of it, counted from 1 per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Trigger {
    /// The step.
    pub step: Step,
    /// Which time it is reached, from 1.
    pub occurrence: u32,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.step, self.occurrence)
    }
}

impl FromStr for Trigger {
    type Err = ArmingError;

    /// `step` or `step#occurrence`; a missing occurrence is the first.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, occurrence) = match text.split_once('#') {
            None => (text, 1),
            Some((name, n)) => match n.parse() {
                Ok(n) if n > 0 => (name, n),
                _ => return Err(ArmingError::Occurrence(text.to_owned())),
            },
        };
        Ok(Self { step: name.parse().map_err(ArmingError::Step)?, occurrence })
    }
}

/// What the engine does to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArmAction {
    /// Writes the step's line to the feed and sends itself SIGKILL.
    Kill,
    /// Writes the step's line to the feed and sends itself SIGSTOP; the harness sends SIGCONT.
    Hold,
}

impl fmt::Display for ArmAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Hold => "hold",
        })
    }
}

/// All that a process is armed with. Empty: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arming(pub Vec<(Trigger, ArmAction)>);

impl Arming {
    /// What to do at this occurrence of this step, if anything.
    #[must_use]
    pub fn action(&self, step: Step, occurrence: u32) -> Option<ArmAction> {
        self.0.iter().find(|(t, _)| t.step == step && t.occurrence == occurrence).map(|&(_, action)| action)
    }
}

impl fmt::Display for Arming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (trigger, action)) in self.0.iter().enumerate() {
            write!(f, "{}{trigger}={action}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Arming {
    type Err = ArmingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (trigger, action) = part.split_once('=').ok_or_else(|| ArmingError::Form(part.to_owned()))?;
            let action = match action {
                "kill" => ArmAction::Kill,
                "hold" => ArmAction::Hold,
                other => return Err(ArmingError::Action(other.to_owned())),
            };
            all.push((trigger.parse()?, action));
        }
        Ok(Self(all))
    }
}

/// Why an arming could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArmingError {
    /// Not of the form `step#occurrence=action`.
    Form(String),
    /// No such step.
    Step(UnknownStep),
    /// The occurrence is not a number from 1.
    Occurrence(String),
    /// The action is neither `kill` nor `hold`.
    Action(String),
}

impl fmt::Display for ArmingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(s) => write!(f, "`{s}` is not of the form step#occurrence=kill|hold"),
            Self::Step(e) => e.fmt(f),
            Self::Occurrence(s) => write!(f, "`{s}`: an occurrence is a number from 1"),
            Self::Action(s) => write!(f, "unknown arm action `{s}`; actions: kill, hold"),
        }
    }
}

impl std::error::Error for ArmingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_reads_and_writes() {
        let text = "mid-batch#2=kill,before-commit#1=hold";
        let arming: Arming = text.parse().unwrap();
        assert_eq!(arming.to_string(), text);
        assert_eq!(arming.action(Step::MidBatch, 2), Some(ArmAction::Kill));
        assert_eq!(arming.action(Step::MidBatch, 1), None);
        assert_eq!(arming.action(Step::BeforeCommit, 1), Some(ArmAction::Hold));
        assert_eq!("mid-unit".parse::<Trigger>().unwrap().occurrence, 1);
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for text in ["mid-batch", "mid-batch#0=kill", "mid-batch#x=kill", "mid-batch#1=die", "midbatch#1=kill"] {
            assert!(text.parse::<Arming>().is_err(), "{text}");
        }
    }
}
