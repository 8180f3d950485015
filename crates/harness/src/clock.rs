//! The clocks. All records carry CLOCK_MONOTONIC, which engine and harness share; wall clock is for people only.

use nix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC, µs.
#[must_use]
pub fn monotonic_us() -> u64 {
    // CLOCK_MONOTONIC cannot fail on Linux.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|t| u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0) / 1000)
        .unwrap_or(0)
}

/// Wall clock, RFC 3339 in UTC to the second.
#[must_use]
pub fn now_rfc3339() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
