//! The error rate: races not written after all retries, paired by race (DESIGN 8).
//!
//! Both sides ingest the same races under the same seeded faults, so a race is a matched pair: lost by both, by neither, by
//! A only or by B only. The difference of the rates is P(B only) − P(A only); what both lose cancels. Its upper bound is the
//! exact one-sided bound of P(B only) less the exact lower bound of P(A only) (Clopper and Pearson, Biometrika 1934), the 5 %
//! shared between the two where both are needed (Bonferroni). So 0 of n is at most 1 − 0.05^(1/n), which is the rule of
//! three, 3/n. Races of one trial are not quite independent (a transaction holds several): with no race lost that does not
//! matter, with many it makes the bound a little too narrow.

use serde::{Deserialize, Serialize};

/// Probability that the true difference is above the bound.
const ALPHA: f64 = 0.05;

/// Races not written, of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unwritten {
    /// Races attempted by each side.
    pub races: u64,
    /// Not written by A, whatever B did.
    pub a: u64,
    /// Not written by B, whatever A did.
    pub b: u64,
    /// Not written by A, but by B.
    pub a_only: u64,
    /// Not written by B, but by A.
    pub b_only: u64,
}

impl Unwritten {
    /// Rate of B less rate of A.
    #[must_use]
    pub fn difference(&self) -> f64 {
        if self.races == 0 { 0.0 } else { (self.b_only as f64 - self.a_only as f64) / self.races as f64 }
    }

    /// Upper 95 % bound of the difference; 1 without any race.
    #[must_use]
    pub fn upper(&self) -> f64 {
        if self.a_only == 0 {
            return upper(self.b_only, self.races, ALPHA);
        }
        // The lower bound of k of n is one minus the upper bound of n − k of n.
        upper(self.b_only, self.races, ALPHA / 2.0) - (1.0 - upper(self.races - self.a_only, self.races, ALPHA / 2.0))
    }
}

/// Exact upper bound of a probability of which `k` of `n` were seen: the p at which P(X ≤ k) is `alpha`.
#[must_use]
pub fn upper(k: u64, n: u64, alpha: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (k as f64 / n as f64, 1.0);
    // 60 halvings: far below what is printed.
    for _ in 0..60 {
        let p = f64::midpoint(low, high);
        if at_most(k, n, p) > alpha { low = p } else { high = p }
    }
    high
}

/// P(X ≤ k) of Binomial(n, p), summed in logarithms, since (1 − p)^n may be below every float.
fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return if k >= n { 1.0 } else { 0.0 };
    }
    let mut ln_point = n as f64 * (1.0 - p).ln();
    let mut sum = ln_point.exp();
    for i in 0..k {
        ln_point += ((n - i) as f64 / (i + 1) as f64).ln() + (p / (1.0 - p)).ln();
        sum += ln_point.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lost_is_the_rule_of_three() {
        let none = Unwritten { races: 320, ..Unwritten::default() };
        assert!((none.upper() - (1.0 - 0.05_f64.powf(1.0 / 320.0))).abs() < 1e-9);
        assert!(none.upper() <= 3.0 / 320.0 && none.upper() > 2.9 / 320.0);
        assert_eq!(Unwritten::default().upper(), 1.0, "nothing attempted proves nothing");
    }

    #[test]
    fn bounds_are_those_of_the_tables() {
        // Clopper–Pearson, one-sided 97.5 %: 1 of 10 → 0.4450, 5 of 10 → 0.8129; 10 of 100 → 0.1762.
        for (k, n, bound) in [(1, 10, 0.4450), (5, 10, 0.8129), (10, 100, 0.1762)] {
            assert!((upper(k, n, 0.025) - bound).abs() < 5e-5, "{k} of {n}: {}", upper(k, n, 0.025));
        }
        assert_eq!(upper(10, 10, 0.05), 1.0);
        assert!(upper(3, 2_000_000, 0.05) < 4e-6, "no underflow");
    }

    #[test]
    fn what_both_lose_cancels_and_more_lost_is_worse() {
        let of = |a_only, b_only| Unwritten { races: 400, a: a_only + 7, b: b_only + 7, a_only, b_only };
        assert_eq!(of(0, 0).upper(), Unwritten { races: 400, ..Unwritten::default() }.upper());
        assert!(of(0, 3).upper() > of(0, 2).upper());
        assert!(of(5, 0).upper() < of(0, 0).upper(), "A lost some that B wrote");
        assert_eq!(of(1, 3).difference(), 0.005);
    }
}
