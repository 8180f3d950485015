//! Exit codes of an engine, and how the harness reads any of them.

/// The event is complete in the database.
pub const COMPLETE: u8 = 0;
/// Failed for good: trying again with the same input will not help.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// Failed, worth retrying (`EX_TEMPFAIL` of sysexits.h).
pub const RETRY: u8 = 75;

/// What an exit code says about an ingestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The event is complete.
    Complete,
    /// Failed, worth retrying.
    Retry,
    /// Failed for good.
    Failed,
}

impl Meaning {
    /// Reads an exit code as the contract does: 0, 75, or anything else.
    #[must_use]
    pub fn of(code: i32) -> Self {
        match code {
            c if c == i32::from(COMPLETE) => Self::Complete,
            c if c == i32::from(RETRY) => Self::Retry,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_is_complete_and_only_75_is_worth_retrying() {
        assert_eq!(Meaning::of(0), Meaning::Complete);
        assert_eq!(Meaning::of(75), Meaning::Retry);
        for code in [1, 2, 74, 76, 101, 255, -1] {
            assert_eq!(Meaning::of(code), Meaning::Failed, "{code}");
        }
    }
}
