//! Times, names and other text as pages write them.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};

/// `112.036`: seconds, three decimals.
#[must_use]
pub fn seconds(ms: u32) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// `38.17`: seconds without trailing zeros, as lap times in the script are.
pub(super) fn trimmed(ms: u32) -> String {
    let text = seconds(ms);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `38.983`, `1:52.036`; from an hour on `1:02:30.1`, without trailing zeros.
#[must_use]
pub fn clock(ms: u32) -> String {
    let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    match (hours, ms / 60_000) {
        (0, 0) => seconds(ms),
        (0, _) => format!("{minutes}:{:02}.{:03}", rest / 1000, rest % 1000),
        _ => {
            let text = format!("{hours}:{minutes:02}:{:02}.{:03}", rest / 1000, rest % 1000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// `30:00 Timed`, `1:00:00 Timed`.
#[must_use]
pub fn length(ms: u32) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    if hours == 0 {
        format!("{minutes}:{seconds:02} Timed")
    } else {
        format!("{hours}:{minutes:02}:{seconds:02} Timed")
    }
}

/// `4,129`.
pub(super) fn thousands(n: u32) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `Nov 16, 2025`.
pub(super) fn date(date: Date) -> String {
    format!("{} {}, {}", month(date.month()), date.day(), date.year())
}

/// `Nov 16, 2025 at 5:30pm`.
pub(super) fn moment(at: DateTime) -> String {
    let hour = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    format!("{} at {hour}:{:02}{}", date(at.date()), at.minute(), if at.hour() < 12 { "am" } else { "pm" })
}

fn month(month: i8) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    usize::try_from(month - 1).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("Jan")
}

/// Text for HTML. Apostrophes stay, as on race pages.
pub(super) fn html(text: &str) -> Cow<'_, str> {
    html_escape::encode_text(text)
}

/// Text for HTML, apostrophes as `&#039;`, as PHP's `htmlspecialchars` leaves them.
pub(super) fn html_quoted(text: &str) -> String {
    html(text).replace('\'', "&#039;")
}

/// Text for a JavaScript string in single quotes.
pub(super) fn js_single(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

/// Text for a JavaScript string in double quotes.
pub(super) fn js_double(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_on_the_site() {
        assert_eq!(seconds(112_036), "112.036");
        assert_eq!(trimmed(38_170), "38.17");
        assert_eq!(trimmed(45_000), "45");
        assert_eq!(clock(112_036), "1:52.036");
        assert_eq!(clock(1_831_382), "30:31.382");
        assert_eq!(clock(3_750_100), "1:02:30.1");
        assert_eq!(clock(3_750_000), "1:02:30");
        assert_eq!(clock(36_441), "36.441");
        assert_eq!(length(600_000), "10:00 Timed");
        assert_eq!(length(3_600_000), "1:00:00 Timed");
    }

    #[test]
    fn numbers_and_moments_read_as_on_the_site() {
        assert_eq!(thousands(4_129), "4,129");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(moment(jiff::civil::datetime(2025, 11, 16, 17, 30, 0, 0)), "Nov 16, 2025 at 5:30pm");
        assert_eq!(moment(jiff::civil::datetime(2025, 3, 2, 12, 5, 0, 0)), "Mar 2, 2025 at 12:05pm");
        assert_eq!(moment(jiff::civil::datetime(2025, 3, 2, 0, 5, 0, 0)), "Mar 2, 2025 at 12:05am");
    }

    #[test]
    fn quotes_are_escaped_for_where_they_stand() {
        assert_eq!(js_single("O'HARA \\"), "O\\'HARA \\\\");
        assert_eq!(js_double("THE \"ACE\""), "THE \\\"ACE\\\"");
        assert_eq!(html_quoted("O'HARA & <SONS>"), "O&#039;HARA &amp; &lt;SONS&gt;");
    }
}
