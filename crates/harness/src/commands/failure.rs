//! Why a verb could not do its work, with the exit code.

use std::fmt;

/// A message for the user and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// Exit code (DESIGN 10).
    pub code: u8,
    message: String,
}

impl Failure {
    /// The user's mistake.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { code: super::USAGE, message: message.to_string() }
    }

    /// An invariant that must hold before anything can be shown does not.
    pub fn not_proven(message: impl fmt::Display) -> Self {
        Self { code: super::NOT_PROVEN, message: message.to_string() }
    }

    /// The environment failed.
    pub fn environment(message: impl fmt::Display) -> Self {
        Self { code: super::ENVIRONMENT, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<sandbox::postgres::Error> for Failure {
    fn from(error: sandbox::postgres::Error) -> Self {
        Self { code: error.exit_code(), message: error.to_string() }
    }
}

impl From<crate::report::ReportError> for Failure {
    fn from(error: crate::report::ReportError) -> Self {
        Self { code: error.exit_code(), message: error.to_string() }
    }
}
