//! Retries with a budget, jitter and a cap.

use std::time::{Duration, Instant};

use backon::BackoffBuilder;

/// How often and how long something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// Pause after the first failure; doubled each time, with jitter.
    pub base: Duration,
    /// Longest pause.
    pub cap: Duration,
    /// No retry begins later than this after the first failure.
    pub budget: Duration,
}

/// The retries of one piece of work.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    delays: backon::ExponentialBackoff,
    failures: u32,
    first_failure: Option<Instant>,
}

impl Retries {
    /// Starts counting: nothing has failed yet.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        // Jitter adds up to as much again: half of the cap leaves room for it, so that even the longest pauses of several
        // that failed together do not end together.
        let delays = backon::ExponentialBuilder::default()
            .with_min_delay(policy.base)
            .with_max_delay((policy.cap / 2).max(policy.base))
            .with_factor(2.0)
            .without_max_times()
            .with_jitter()
            .build();
        Self { policy, delays, failures: 0, first_failure: None }
    }

    /// Counts a failure. `Some(pause)`: try again after it; `None`: the budget is used up.
    /// `at_least` is a pause that somebody named, such as `Retry-After`.
    pub fn failed(&mut self, at_least: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        let first = *self.first_failure.get_or_insert_with(Instant::now);
        if self.failures >= self.policy.attempts {
            return None;
        }
        let pause = self.delays.next().unwrap_or(self.policy.cap).min(self.policy.cap);
        let pause = pause.max(at_least.unwrap_or_default());
        (first.elapsed() + pause <= self.policy.budget).then_some(pause)
    }

    /// Failures so far.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 4,
        base: Duration::from_millis(100),
        cap: Duration::from_millis(250),
        budget: Duration::from_secs(60),
    };

    #[test]
    fn attempts_are_counted_and_pauses_grow_up_to_the_cap() {
        let mut retries = Retries::new(POLICY);
        let pauses: Vec<_> = std::iter::from_fn(|| retries.failed(None)).collect();
        assert_eq!(pauses.len(), 3);
        assert!(pauses[0] >= POLICY.base, "{pauses:?}");
        assert!(pauses.iter().all(|&p| p <= POLICY.cap), "{pauses:?}");
        assert_eq!(retries.failures(), 4);
    }

    #[test]
    fn a_named_pause_is_kept_and_one_past_the_budget_ends_it() {
        assert_eq!(Retries::new(POLICY).failed(Some(Duration::from_secs(5))), Some(Duration::from_secs(5)));
        assert_eq!(Retries::new(POLICY).failed(Some(Duration::from_secs(61))), None);
    }
}
