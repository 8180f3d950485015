//! The header `Retry-After` in both forms (RFC 9110, 10.2.3): seconds, or a date.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// How long to wait, counted from `now`. A date in the past is no wait; what is neither form is `None`.
#[must_use]
pub fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More seconds than a number holds is as good as never.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let then = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let now: Timestamp = "2025-11-16T08:00:00Z".parse().unwrap();
        assert_eq!(parse("7", now), Some(Duration::from_secs(7)));
        assert_eq!(parse(" 0 ", now), Some(Duration::ZERO));
        assert_eq!(parse("Sun, 16 Nov 2025 08:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(parse("Sun, 16 Nov 2025 07:59:00 GMT", now), Some(Duration::ZERO));
        assert!(parse("999999999999999999999999", now).is_some_and(|d| d > Duration::from_secs(86_400)));
        for none in ["", "soon", "-3", "1.5"] {
            assert_eq!(parse(none, now), None, "{none}");
        }
    }
}
