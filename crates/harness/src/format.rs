//! Numbers with their units, as every format of the report prints them: one place, so that a figure reads the same in
//! the terminal, the page and the pull request. Pure.

use crate::stats::{Metric, Unit};

/// What stands where there is no value.
pub const NONE: &str = "–";

/// A whole number with thousands separators: `10,000`.
#[must_use]
pub fn whole(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Three significant digits, thousands separated; no more decimals than they need.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = if magnitude >= 100.0 {
        0
    } else if magnitude >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{magnitude:.decimals$}");
    let (int, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let int = int.parse::<u64>().map_or_else(|_| int.to_string(), whole);
    let sign = if value < 0.0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{int}") } else { format!("{sign}{int}.{fraction}") }
}

/// A count: whole where it is whole, one decimal where it is a median between two.
#[must_use]
pub fn count(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_string();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let magnitude = value.abs();
    if (magnitude - magnitude.round()).abs() < 0.05 {
        format!("{sign}{}", whole(magnitude.round() as u64))
    } else {
        let tenths = (magnitude * 10.0).round() as u64;
        format!("{sign}{}.{}", whole(tenths / 10), tenths % 10)
    }
}

/// A duration, from µs: `850 µs`, `12.3 ms`, `1.23 s`, `3 min 20 s`, `2 h 05 min`.
#[must_use]
pub fn duration(us: f64) -> String {
    if !us.is_finite() {
        return NONE.to_string();
    }
    let magnitude = us.abs();
    // The bounds are those of the rounded figure: 999.6 µs is 1.00 ms, not 1,000 µs.
    if magnitude < 999.5 {
        if magnitude == magnitude.round() { format!("{us:.0} µs") } else { format!("{} µs", significant(us)) }
    } else if magnitude < 999_500.0 {
        format!("{} ms", significant(us / 1e3))
    } else if magnitude < 119_500_000.0 {
        format!("{} s", significant(us / 1e6))
    } else {
        let seconds = (magnitude / 1e6).round() as u64;
        let sign = if us < 0.0 { "-" } else { "" };
        if seconds < 7200 {
            format!("{sign}{} min {:02} s", seconds / 60, seconds % 60)
        } else {
            let minutes = (seconds + 30) / 60;
            format!("{sign}{} h {:02} min", whole(minutes / 60), minutes % 60)
        }
    }
}

/// A tick of a time axis: as [`duration`], without decimals that say nothing (`1 ms`, not `1.00 ms`).
#[must_use]
pub fn short_duration(us: f64) -> String {
    if us == 0.0 { "0".to_string() } else { trim_decimals(&duration(us)) }
}

/// Drops trailing zeros after a decimal point, unit kept: `1.00 ms` → `1 ms`.
fn trim_decimals(text: &str) -> String {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if unit.is_empty() { number.to_string() } else { format!("{number} {unit}") }
}

/// Bytes in decimal units: `812 B`, `1.20 MB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_string();
    }
    let mut scaled = value;
    for unit in ["B", "kB", "MB", "GB"] {
        if scaled.abs() < 999.5 {
            return if unit == "B" {
                format!("{} B", count(scaled))
            } else {
                format!("{} {unit}", significant(scaled))
            };
        }
        scaled /= 1e3;
    }
    format!("{} TB", significant(scaled))
}

/// A rate per second: `12,300 /s`.
#[must_use]
pub fn rate(value: f64) -> String {
    if value.is_finite() { format!("{} /s", significant(value)) } else { NONE.to_string() }
}

/// A share from 0 to 1 in per cent: `12.5 %`.
#[must_use]
pub fn share(value: f64) -> String {
    if value.is_finite() { format!("{:.1} %", value * 100.0) } else { NONE.to_string() }
}

/// A ratio to a reference: `0.35 ×`.
#[must_use]
pub fn ratio(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_string();
    }
    if value.abs() < 0.095 { format!("{value:.3} ×") } else { format!("{} ×", significant(value)) }
}

/// A metric's value in its unit.
#[must_use]
pub fn metric(metric: Metric, value: f64) -> String {
    match metric.unit() {
        Unit::Microseconds => duration(value),
        Unit::Bytes => bytes(value),
        Unit::Count => count(value),
        Unit::PerSecond => rate(value),
        Unit::Share => share(value),
    }
}

/// Name of a quantile: 0.5 → `p50`, 0.999 → `p99.9`.
#[must_use]
pub fn percentile(q: f64) -> String {
    let percent = format!("{:.4}", q * 100.0);
    format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// `1 trial`, `2 trials`.
#[must_use]
pub fn plural(n: usize, noun: &str) -> String {
    let n = n as u64;
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", whole(n)) }
}

/// A wall-clock time in RFC 3339 as people read it, in UTC; what cannot be read is given back as it is.
#[must_use]
pub fn wall_clock(rfc3339: &str) -> String {
    rfc3339
        .parse::<jiff::Timestamp>()
        .map_or_else(|_| rfc3339.to_string(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A moment on a trial's time axis, µs since its start: `+0.412 s`.
#[must_use]
pub fn offset(us: u64) -> String {
    format!("+{:.3} s", us as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_change_unit_where_the_rounded_figure_does() {
        for (us, text) in [
            (0.0, "0 µs"),
            (850.0, "850 µs"),
            (2.5, "2.50 µs"),
            (999.6, "1.00 ms"),
            (12_340.0, "12.3 ms"),
            (999_600.0, "1.00 s"),
            (1_234_000.0, "1.23 s"),
            (119_600_000.0, "2 min 00 s"),
            (200_000_000.0, "3 min 20 s"),
            (7_500_000_000.0, "2 h 05 min"),
            (f64::NAN, NONE),
        ] {
            assert_eq!(duration(us), text);
        }
        assert_eq!(short_duration(1_000.0), "1 ms");
        assert_eq!(short_duration(1_500.0), "1.5 ms");
        assert_eq!(short_duration(100_000.0), "100 ms");
    }

    #[test]
    fn bytes_counts_and_rates() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1_200_000.0), "1.20 MB");
        assert_eq!(bytes(999_600.0), "1.00 MB");
        assert_eq!(bytes(3.2e15), "3,200 TB");
        assert_eq!(whole(1_234_567), "1,234,567");
        assert_eq!(whole(100), "100");
        assert_eq!(count(12.5), "12.5");
        assert_eq!(count(2_800.0), "2,800");
        assert_eq!(rate(12_345.6), "12,346 /s");
        assert_eq!(share(0.125), "12.5 %");
        assert_eq!(ratio(0.0123), "0.012 ×");
        assert_eq!(ratio(15.04), "15.0 ×");
    }

    #[test]
    fn names() {
        assert_eq!(percentile(0.5), "p50");
        assert_eq!(percentile(0.999), "p99.9");
        assert_eq!(plural(1, "trial"), "1 trial");
        assert_eq!(plural(1_000, "trial"), "1,000 trials");
        assert_eq!(wall_clock("2026-01-02T03:04:05Z"), "2026-01-02 03:04:05 UTC");
        assert_eq!(wall_clock("yesterday"), "yesterday");
    }
}
