//! Errors typed by what to do about them, and cause chains for people.

use std::error::Error;
use std::time::Duration;

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Trying the same again may succeed at once: a deadlock, a serialization failure, a plan that was overtaken.
    RetryNow,
    /// Trying again later may succeed; after this time, where somebody named one.
    RetryLater(Option<Duration>),
    /// The race is bad: record it and go on with the others.
    BadRace,
    /// Nothing that this process can do will help.
    Stop,
}

impl Remedy {
    /// Whether another call with the same input may succeed.
    #[must_use]
    pub fn worth_retrying(self) -> bool {
        matches!(self, Self::RetryNow | Self::RetryLater(_))
    }
}

/// The cause chain of an error on one line, outermost first. Repetitions are left out: several libraries print their
/// source in their own message as well.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = one_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let message = one_line(&cause.to_string());
        if !message.is_empty() && !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("race 7 not written")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection\n lost")]
    struct Inner;

    #[test]
    fn a_chain_is_one_line_outermost_first() {
        assert_eq!(chain(&Outer(Inner)), "race 7 not written: connection lost");
    }

    #[test]
    fn only_what_may_succeed_is_worth_retrying() {
        assert!(Remedy::RetryNow.worth_retrying() && Remedy::RetryLater(None).worth_retrying());
        assert!(!Remedy::BadRace.worth_retrying() && !Remedy::Stop.worth_retrying());
    }
}
