//! When requests are due: at a rate that moves over time (open loop), or whenever one of N users is free (closed loop).
//!
//! Pure and deterministic: the same arrivals give the same due times, and their number is known ahead.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How the load moves over time. Rates are requests per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "pattern", rename_all = "kebab-case")]
pub enum Pattern {
    /// The same rate all the time.
    Steady {
        /// The rate.
        rate: f64,
    },
    /// From one rate to another in a straight line; then it stays there.
    Ramp {
        /// At the beginning; may be 0.
        from: f64,
        /// At the end.
        to: f64,
        /// How long it takes.
        over: Duration,
    },
    /// A rate, a higher one for a while, and the first again.
    Spike {
        /// Before and after.
        base: f64,
        /// In the spike.
        peak: f64,
        /// When it begins.
        at: Duration,
        /// How long it lasts.
        lasts: Duration,
    },
    /// The same rate for long, looked at interval by interval: what drifts shows.
    Soak {
        /// The rate.
        rate: f64,
        /// Length of an interval.
        every: Duration,
    },
    /// Closed loop: each user makes its next request after the last one has ended. A slow service is asked less often.
    Users {
        /// How many.
        users: u32,
        /// How long a user waits between the end of a request and the next one.
        think: Duration,
    },
}

impl Pattern {
    /// The names of all patterns.
    pub const NAMES: &'static [&'static str] = &["steady", "ramp", "spike", "soak", "users"];

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Steady { .. } => "steady",
            Self::Ramp { .. } => "ramp",
            Self::Spike { .. } => "spike",
            Self::Soak { .. } => "soak",
            Self::Users { .. } => "users",
        }
    }

    /// The rate at a time, requests per second; `None` in closed loop.
    fn rate(&self, at: f64) -> Option<f64> {
        Some(match *self {
            Self::Steady { rate } | Self::Soak { rate, .. } => rate,
            Self::Ramp { from, to, over } => from + (to - from) * (at / over.as_secs_f64()).min(1.0),
            Self::Spike { base, peak, at: begins, lasts } => {
                let within = at - begins.as_secs_f64();
                if (0.0..lasts.as_secs_f64()).contains(&within) { peak } else { base }
            }
            Self::Users { .. } => return None,
        })
    }

    /// How many requests are due before a time: the integral of the rate.
    fn before(&self, at: f64) -> f64 {
        match *self {
            Self::Steady { rate } | Self::Soak { rate, .. } => rate * at,
            Self::Ramp { from, to, over } => {
                let over = over.as_secs_f64();
                let rising = at.min(over);
                from * rising + (to - from) * rising * rising / (2.0 * over) + to * (at - rising)
            }
            Self::Spike { base, peak, at: begins, lasts } => {
                let within = (at - begins.as_secs_f64()).clamp(0.0, lasts.as_secs_f64());
                base * at + (peak - base) * within
            }
            Self::Users { .. } => 0.0,
        }
    }

    /// The time before which so many requests are due: the inverse of [`Pattern::before`].
    fn when(&self, requests: f64) -> f64 {
        if requests <= 0.0 {
            return 0.0;
        }
        match *self {
            Self::Steady { rate } | Self::Soak { rate, .. } => requests / rate,
            Self::Ramp { from, to, over } => {
                let over = over.as_secs_f64();
                let rising = (from + to) * over / 2.0;
                if requests >= rising {
                    return over + (requests - rising) / to;
                }
                // The root of the quadratic in the form that loses no digits where the slope is near 0.
                let slope = (to - from) / over;
                2.0 * requests / (from + (from * from + 2.0 * slope * requests).max(0.0).sqrt())
            }
            Self::Spike { base, peak, at, lasts } => {
                let (begins, lasts) = (at.as_secs_f64(), lasts.as_secs_f64());
                let (first, second) = (base * begins, peak * lasts);
                if requests <= first {
                    requests / base
                } else if requests <= first + second {
                    begins + (requests - first) / peak
                } else {
                    begins + lasts + (requests - first - second) / base
                }
            }
            Self::Users { .. } => 0.0,
        }
    }

    fn check(&self) -> Result<(), ArrivalsError> {
        let rate = |name, rate: f64, may_be_0| {
            let good = rate.is_finite() && (rate > 0.0 || may_be_0 && rate == 0.0);
            if good { Ok(()) } else { Err(ArrivalsError::Rate { name, rate }) }
        };
        let time = |name, time: Duration| {
            if time.is_zero() { Err(ArrivalsError::Nothing { name }) } else { Ok(()) }
        };
        match *self {
            Self::Steady { rate: of } => rate("rate", of, false),
            Self::Ramp { from, to, over } => {
                rate("from", from, true)?;
                rate("to", to, false)?;
                time("over", over)
            }
            Self::Spike { base, peak, lasts, .. } => {
                rate("base", base, false)?;
                rate("peak", peak, false)?;
                time("lasts", lasts)?;
                if peak > base { Ok(()) } else { Err(ArrivalsError::NoSpike { base, peak }) }
            }
            Self::Soak { rate: of, every } => {
                rate("rate", of, false)?;
                time("every", every)
            }
            Self::Users { users: 0, .. } => Err(ArrivalsError::Nothing { name: "users" }),
            Self::Users { .. } => Ok(()),
        }
    }
}

/// When a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// No request is due after this time.
    Time(Duration),
    /// So many requests are made.
    Requests(u64),
}

/// Figures that make no load.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ArrivalsError {
    /// A rate that is none.
    #[error("`{name}` is {rate}: a rate is a number of requests per second above 0")]
    Rate {
        /// Which.
        name: &'static str,
        /// As given.
        rate: f64,
    },
    /// A figure that must not be 0.
    #[error("`{name}` is 0: it must be more")]
    Nothing {
        /// Which.
        name: &'static str,
    },
    /// The peak is not above the rest.
    #[error("`peak` is {peak}, not above `base`, which is {base}: that is no spike")]
    NoSpike {
        /// Before and after.
        base: f64,
        /// In between.
        peak: f64,
    },
    /// The length holds no request.
    #[error("no request is due within the load's length: raise the rate or the length")]
    Empty,
    /// Longer than a year.
    #[error("the load would last longer than a year: raise the rate, or lower the number of requests or the length")]
    TooLong,
}

/// Longest load, seconds.
const YEAR: f64 = 366.0 * 86_400.0;

/// The requests of a load and when they are due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arrivals {
    #[serde(flatten)]
    pattern: Pattern,
    length: Length,
    /// Seed of random gaps; else the gaps are even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    poisson: Option<u64>,
}

impl Arrivals {
    /// The arrivals of a pattern over a length, evenly spaced.
    ///
    /// # Errors
    /// A rate, time or number that makes no load.
    pub fn new(pattern: Pattern, length: Length) -> Result<Self, ArrivalsError> {
        pattern.check()?;
        match length {
            Length::Time(time) if time.is_zero() => return Err(ArrivalsError::Nothing { name: "duration" }),
            Length::Requests(0) => return Err(ArrivalsError::Nothing { name: "requests" }),
            _ => {}
        }
        let arrivals = Self { pattern, length, poisson: None };
        if arrivals.seconds().is_some_and(|s| s > YEAR) {
            return Err(ArrivalsError::TooLong);
        }
        if arrivals.total() == Some(0) { Err(ArrivalsError::Empty) } else { Ok(arrivals) }
    }

    /// The same number of requests over the same time at random moments: a Poisson process that is known to make so
    /// many. Closed loop stays as it is.
    #[must_use]
    pub fn poisson(self, seed: u64) -> Self {
        Self { poisson: Some(seed), ..self }
    }

    /// How the load moves.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// When it ends.
    #[must_use]
    pub fn length(&self) -> Length {
        self.length
    }

    /// How many requests there are; `None` when that depends on the service (users over a time).
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match (self.length, &self.pattern) {
            (Length::Requests(n), _) => Some(n),
            (Length::Time(_), Pattern::Users { .. }) => None,
            (Length::Time(time), pattern) => {
                // Request k is due when k are due before it. The product is rounded against representation error.
                let due = pattern.before(time.as_secs_f64());
                Some((due - 1e-9 * due.max(1.0)).ceil().max(0.0) as u64)
            }
        }
    }

    fn seconds(&self) -> Option<f64> {
        match (self.length, &self.pattern) {
            (Length::Time(time), _) => Some(time.as_secs_f64()),
            (Length::Requests(_), Pattern::Users { .. }) => None,
            (Length::Requests(n), pattern) => Some(pattern.when(n as f64)),
        }
    }

    /// How long requests become due; `None` when that depends on the service (users by number).
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.seconds().map(seconds)
    }

    /// The rate at a time, requests per second; `None` in closed loop.
    #[must_use]
    pub fn at(&self, time: Duration) -> Option<f64> {
        self.pattern.rate(time.as_secs_f64())
    }

    /// When each request is due, from the beginning, in order. Empty in closed loop.
    #[must_use]
    pub fn due(&self) -> Due {
        let closed = matches!(self.pattern, Pattern::Users { .. });
        let total = if closed { 0 } else { self.total().unwrap_or(0) };
        let random = self.poisson.map(|seed| (ChaCha8Rng::seed_from_u64(seed), 0.0));
        Due { pattern: self.pattern, mass: self.pattern.before(self.seconds().unwrap_or(0.0)), next: 0, total, random }
    }

    /// A good width for the rows of the load's timeline: an interval of a soak; else about a sixtieth of the whole, at
    /// least 100 ms, and 1 s where the whole is not known.
    #[must_use]
    pub fn row_width(&self) -> Duration {
        match (self.pattern, self.duration()) {
            (Pattern::Soak { every, .. }, _) => every,
            (_, Some(whole)) => (whole / 60).max(Duration::from_millis(100)),
            (_, None) => Duration::from_secs(1),
        }
    }
}

/// The due times of a load.
#[derive(Debug, Clone)]
pub struct Due {
    pattern: Pattern,
    /// Requests due over the whole time, before rounding.
    mass: f64,
    next: u64,
    total: u64,
    /// Where the last request lies, as a part of the mass.
    random: Option<(ChaCha8Rng, f64)>,
}

impl Iterator for Due {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.next == self.total {
            return None;
        }
        let passed = match &mut self.random {
            None => self.next as f64,
            // Sorted uniform numbers, one after the other: of m that are left in [last, 1) the smallest is at
            // 1 − (1 − last) · V^(1/m).
            Some((random, last)) => {
                let uniform = ((random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
                let left = (self.total - self.next) as f64;
                *last = 1.0 - (1.0 - *last) * uniform.powf(1.0 / left);
                *last * self.mass
            }
        };
        self.next += 1;
        Some(seconds(self.pattern.when(passed)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.total - self.next).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Due {}

/// A time that was checked to be below a year.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn over(pattern: Pattern, length: Duration) -> Arrivals {
        Arrivals::new(pattern, Length::Time(length)).unwrap()
    }

    fn ms(arrivals: &Arrivals) -> Vec<u128> {
        arrivals.due().map(|d| (d.as_micros() + 500) / 1000).collect()
    }

    #[test]
    fn a_steady_rate_is_evenly_spaced() {
        let arrivals = over(Pattern::Steady { rate: 4.0 }, S(2));
        assert_eq!(ms(&arrivals), [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
        assert_eq!((arrivals.total(), arrivals.duration()), (Some(8), Some(S(2))));
        let counted = Arrivals::new(Pattern::Steady { rate: 4.0 }, Length::Requests(8)).unwrap();
        assert_eq!(ms(&counted), ms(&arrivals));
        assert_eq!(counted.duration(), Some(S(2)));
    }

    #[test]
    fn a_ramp_reaches_its_rate_and_stays_there() {
        // 0 → 10 a second over 2 s are 10 requests: request k is due at √(k · 2/5) s. Then one every 100 ms.
        let arrivals = over(Pattern::Ramp { from: 0.0, to: 10.0, over: S(2) }, Duration::from_millis(2450));
        assert_eq!(ms(&arrivals)[..4], [0, 632, 894, 1095]);
        assert_eq!(ms(&arrivals)[10..], [2000, 2100, 2200, 2300, 2400]);
        assert_eq!((arrivals.at(S(1)), arrivals.at(S(9))), (Some(5.0), Some(10.0)));
        let down = over(Pattern::Ramp { from: 10.0, to: 5.0, over: S(1) }, S(2));
        assert_eq!(down.total(), Some(13), "7.5 + 5");
        assert_eq!((down.at(S(0)), down.at(S(1))), (Some(10.0), Some(5.0)));
    }

    #[test]
    fn a_spike_is_a_higher_rate_for_a_while() {
        let spike = Pattern::Spike { base: 2.0, peak: 10.0, at: S(1), lasts: Duration::from_millis(500) };
        let arrivals = over(spike, Duration::from_millis(3000));
        assert_eq!(ms(&arrivals), [0, 500, 1000, 1100, 1200, 1300, 1400, 1500, 2000, 2500]);
        assert_eq!(arrivals.at(Duration::from_millis(1200)), Some(10.0));
        assert_eq!(arrivals.at(Duration::from_millis(1500)), Some(2.0));
    }

    #[test]
    fn a_soak_is_steady_and_brings_its_interval() {
        let soak = over(Pattern::Soak { rate: 5.0, every: S(7) }, S(60));
        assert_eq!(ms(&soak), ms(&over(Pattern::Steady { rate: 5.0 }, S(60))));
        assert_eq!(soak.row_width(), S(7));
        assert_eq!(over(Pattern::Steady { rate: 5.0 }, S(60)).row_width(), S(1));
    }

    #[test]
    fn users_have_no_due_times_and_their_number_is_known_only_where_it_was_asked_for() {
        let users = Pattern::Users { users: 3, think: Duration::ZERO };
        assert_eq!((over(users, S(5)).total(), over(users, S(5)).duration()), (None, Some(S(5))));
        let counted = Arrivals::new(users, Length::Requests(9)).unwrap();
        assert_eq!((counted.total(), counted.duration(), counted.due().len()), (Some(9), None, 0));
    }

    #[test]
    fn every_pattern_makes_as_many_as_it_says_in_order_and_in_time_evenly_or_at_random() {
        for pattern in [
            Pattern::Steady { rate: 333.3 },
            Pattern::Soak { rate: 0.7, every: S(1) },
            Pattern::Ramp { from: 0.0, to: 100.0, over: S(7) },
            Pattern::Ramp { from: 100.0, to: 1.0, over: S(7) },
            Pattern::Ramp { from: 50.0, to: 50.0, over: S(20) },
            Pattern::Spike { base: 1.0, peak: 200.0, at: S(3), lasts: S(2) },
        ] {
            for length in [Length::Time(S(10)), Length::Requests(1), Length::Requests(777)] {
                let even = Arrivals::new(pattern, length).unwrap();
                for arrivals in [even, even.poisson(1)] {
                    let due: Vec<Duration> = arrivals.due().collect();
                    assert_eq!(arrivals.total(), Some(due.len() as u64), "{arrivals:?}");
                    assert_eq!(arrivals.due().len(), due.len());
                    assert!(due.is_sorted(), "{arrivals:?}");
                    assert!(due.last() <= arrivals.duration().as_ref(), "{arrivals:?}");
                }
            }
        }
    }

    #[test]
    fn random_gaps_are_those_of_a_poisson_process_and_the_seeds_own() {
        let even = over(Pattern::Steady { rate: 100.0 }, S(100));
        let due: Vec<f64> = even.poisson(7).due().map(|d| d.as_secs_f64()).collect();
        assert_eq!(due.len(), 10_000);
        assert_eq!(even.poisson(7).due().collect::<Vec<_>>(), even.poisson(7).due().collect::<Vec<_>>());
        assert_ne!(even.poisson(7).due().nth(5), even.poisson(8).due().nth(5));
        // Exponential gaps: their deviation is their mean, and e⁻¹ of them are longer than that.
        let gaps: Vec<f64> = due.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        let longer = gaps.iter().filter(|g| **g > mean).count() as f64 / gaps.len() as f64;
        assert!((mean - 0.01).abs() < 0.0005, "{mean}");
        assert!((deviation / mean - 1.0).abs() < 0.05, "{deviation}");
        assert!((longer - (-1.0_f64).exp()).abs() < 0.02, "{longer}");
    }

    #[test]
    fn figures_that_make_no_load_are_named() {
        let said = |pattern, length| Arrivals::new(pattern, length).unwrap_err().to_string();
        let second = Length::Time(S(1));
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(said(Pattern::Steady { rate }, second).starts_with("`rate` is "), "{rate}");
        }
        assert!(said(Pattern::Ramp { from: 1.0, to: 0.0, over: S(1) }, second).contains("`to` is 0"));
        assert!(said(Pattern::Ramp { from: 1.0, to: 2.0, over: S(0) }, second).contains("`over` is 0"));
        let spike = |base, peak| Pattern::Spike { base, peak, at: S(0), lasts: S(1) };
        assert!(said(spike(5.0, 2.0), second).contains("no spike"));
        assert!(said(Pattern::Soak { rate: 1.0, every: S(0) }, second).contains("`every`"));
        assert!(said(Pattern::Users { users: 0, think: S(0) }, second).contains("`users` is 0"));
        let steady = |rate| Pattern::Steady { rate };
        assert!(said(steady(1.0), Length::Time(S(0))).contains("`duration` is 0"));
        assert!(said(steady(1.0), Length::Requests(0)).contains("`requests` is 0"));
        assert!(said(steady(1e-6), Length::Requests(1_000_000)).contains("longer than a year"));
        // Ramped up from nothing in too short a time: the first request is always due at 0.
        assert_eq!(over(steady(1e-3), S(1)).total(), Some(1));
    }

    #[test]
    fn it_reads_back() {
        let arrivals = over(Pattern::Ramp { from: 1.0, to: 2.0, over: S(3) }, S(4)).poisson(5);
        let json = serde_json::to_string(&arrivals).unwrap();
        assert_eq!(serde_json::from_str::<Arrivals>(&json).unwrap(), arrivals, "{json}");
    }
}
