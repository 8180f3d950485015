//! Values on their way to and from PostgreSQL.

use jiff::civil::{Date, DateTime};

use super::StoreError;

/// LiveRC's ids are small; one beyond `bigint` is nonsense.
pub(super) fn id(id: u64) -> Result<i64, StoreError> {
    i64::try_from(id).map_err(|_| StoreError::Race { race: id, reason: format!("id {id} is too large") })
}

/// An id that came from [`id`].
pub(super) fn back(id: i64) -> Result<u64, StoreError> {
    u64::try_from(id).map_err(|_| StoreError::Stored(format!("id {id} is negative")))
}

/// A number of a race, for an `integer` column.
pub(super) fn int(race: u64, what: &'static str, value: u32) -> Result<i32, StoreError> {
    i32::try_from(value).map_err(|_| StoreError::Race { race, reason: format!("{what} {value} is impossible") })
}

/// As [`int`], for one that may be absent.
pub(super) fn maybe(race: u64, what: &'static str, value: Option<u32>) -> Result<Option<i32>, StoreError> {
    value.map(|v| int(race, what, v)).transpose()
}

/// A stored number.
pub(super) fn uint(value: i32) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|_| StoreError::Stored(format!("{value} is negative")))
}

/// A date as PostgreSQL reads it.
pub(super) fn date(date: Option<Date>) -> Option<String> {
    date.map(|d| d.to_string())
}

/// A date and time as PostgreSQL reads it.
pub(super) fn date_time(at: Option<DateTime>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// A stored date and time, as its text.
pub(super) fn date_time_back(text: Option<&str>) -> Result<Option<DateTime>, StoreError> {
    let parse = |text: &str| text.parse().map_err(|_| StoreError::Stored(format!("`{text}` is no date and time")));
    text.map(parse).transpose()
}
