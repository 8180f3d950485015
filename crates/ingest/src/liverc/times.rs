//! Numbers and times as LiveRC writes them, in exact integer arithmetic.
//!
//! A value is either read, or it is *not a number* (`DNS`, which a table may hold), or it is an *impossible* number
//! (`1:75.000`). The two failures are kept apart, since the first is an unknown and the second an error.

/// The largest number that is accepted: what PostgreSQL's `integer` holds (24 days in milliseconds).
pub const MAX: u32 = i32::MAX.unsigned_abs();

/// Why text is no time or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRead {
    /// It is something else than a number.
    NotANumber,
    /// It has the shape of a number that cannot be.
    Impossible,
}

/// Reads a time in milliseconds: `37.234`, `38.17`, `30:31.382`, `1:02:30.1`.
///
/// A fraction may have any number of digits, as long as those after the third are zeros. Seconds after minutes and
/// minutes after hours are below 60.
///
/// # Errors
/// As [`NotRead`] says.
pub fn time_ms(text: &str) -> Result<u32, NotRead> {
    exact_time(text).ok_or_else(|| why_not(text))
}

fn exact_time(text: &str) -> Option<u32> {
    let (whole, thousandths) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, fraction_of(fraction, 3)?),
        None => (text, 0),
    };
    let mut seconds: u64 = 0;
    for (place, part) in whole.split(':').enumerate() {
        let value = u64::from(digits(part)?);
        if place > 2 || (place > 0 && (value > 59 || part.len() > 2)) {
            return None;
        }
        seconds = seconds * 60 + value;
    }
    bounded(seconds * 1000 + u64::from(thousandths))
}

/// Reads `47/30:31.382` as laps and milliseconds; `0` and `47` are laps without a time.
///
/// # Errors
/// As [`NotRead`] says.
pub fn laps_and_time(text: &str) -> Result<(u32, Option<u32>), NotRead> {
    match text.split_once('/') {
        None => Ok((number(text)?, None)),
        Some((laps, time)) => {
            let laps = number(laps.trim())?;
            let time = time.trim();
            Ok((laps, if time.is_empty() { None } else { Some(time_ms(time)?) }))
        }
    }
}

/// Reads a whole number up to [`MAX`].
///
/// # Errors
/// As [`NotRead`] says.
pub fn number(text: &str) -> Result<u32, NotRead> {
    digits(text).ok_or_else(|| why_not(text))
}

/// Reads a decimal number as hundredths: `92.82` is 9282.
///
/// # Errors
/// As [`NotRead`] says.
pub fn hundredths(text: &str) -> Result<u32, NotRead> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let read = || bounded(u64::from(digits(whole)?) * 100 + u64::from(fraction_of(fraction, 2)?));
    read().ok_or_else(|| why_not(text))
}

/// Reads an id up to what PostgreSQL's `bigint` holds.
#[must_use]
pub fn id(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|id| *id <= i64::MAX.unsigned_abs())
}

/// Tells text that is no number at all from numbers that cannot be, once it is known not to be a good one.
fn why_not(text: &str) -> NotRead {
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'/');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.bytes().any(|b| b.is_ascii_digit()) && unsigned.bytes().all(numeric) {
        NotRead::Impossible
    } else {
        NotRead::NotANumber
    }
}

fn digits(text: &str) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() || value > u64::from(MAX) {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
    }
    bounded(value)
}

/// The digits after a point as a number of `places` places: `17` is 170 of three.
fn fraction_of(text: &str, places: usize) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut bytes = text.bytes();
    let mut value = 0;
    for _ in 0..places {
        value = value * 10 + u32::from(bytes.next().unwrap_or(b'0') - b'0');
    }
    if bytes.any(|b| b != b'0') { None } else { Some(value) }
}

fn bounded(value: u64) -> Option<u32> {
    u32::try_from(value).ok().filter(|v| *v <= MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_time_exactly() {
        assert_eq!(time_ms("30:31.382"), Ok(1_831_382));
        assert_eq!(time_ms("1:02:30.1"), Ok(3_750_100));
        assert_eq!(time_ms("37.234"), Ok(37_234));
        assert_eq!(time_ms("38.17"), Ok(38_170));
        assert_eq!(time_ms("0"), Ok(0));
        assert_eq!(time_ms("112"), Ok(112_000));
        assert_eq!(time_ms("92:15.000"), Ok(5_535_000));
        assert_eq!(time_ms("38.170000"), Ok(38_170));
    }

    #[test]
    fn tells_impossible_from_unknown() {
        for text in ["1:75.000", "1:60:00", "-5", "+5.1", "1:2:3:4", "37.", ".5", "1..2", "1:", "12/5", "38.1704"] {
            assert_eq!(time_ms(text), Err(NotRead::Impossible), "{text}");
        }
        for text in ["", "DNS", "1 Lap", "NaN", "1e5", "0x10", "١"] {
            assert_eq!(time_ms(text), Err(NotRead::NotANumber), "{text}");
        }
        assert_eq!(time_ms("99999999999999999999999"), Err(NotRead::Impossible));
        assert_eq!(time_ms("2147483.647"), Ok(MAX));
        assert_eq!(time_ms("2147483.648"), Err(NotRead::Impossible));
    }

    #[test]
    fn reads_laps_and_time() {
        assert_eq!(laps_and_time("47/30:31.382"), Ok((47, Some(1_831_382))));
        assert_eq!(laps_and_time("16/10:13.360"), Ok((16, Some(613_360))));
        assert_eq!(laps_and_time("58/1:02:30.1"), Ok((58, Some(3_750_100))));
        assert_eq!(laps_and_time("0"), Ok((0, None)));
        assert_eq!(laps_and_time("4/"), Ok((4, None)));
        assert_eq!(laps_and_time("-4/1.0"), Err(NotRead::Impossible));
        assert_eq!(laps_and_time("4/1:99.0"), Err(NotRead::Impossible));
        assert_eq!(laps_and_time("DQ"), Err(NotRead::NotANumber));
    }

    #[test]
    fn reads_percentages_and_ids() {
        assert_eq!(hundredths("92.82"), Ok(9282));
        assert_eq!(hundredths("100.5"), Ok(10_050));
        assert_eq!(hundredths("7"), Ok(700));
        assert_eq!(hundredths("-3.20"), Err(NotRead::Impossible));
        assert_eq!(hundredths("1:02"), Err(NotRead::Impossible));
        assert_eq!(id("346997"), Some(346_997));
        assert_eq!(id("9223372036854775808"), None);
        assert_eq!(id("-1"), None);
        assert_eq!(id(""), None);
    }
}
