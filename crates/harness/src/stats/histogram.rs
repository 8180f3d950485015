//! Within-trial samples as HDR histograms, stored so that they can be merged.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize, de, ser};

/// Samples in µs, three significant digits. In JSON: V2-deflate (the format of HdrHistogram's own tools) in base64.
#[derive(Clone, PartialEq)]
pub struct Histogram(Hdr<u64>);

impl fmt::Debug for Histogram {
    /// In short: the thousands of counts are of no use to a reader.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({} samples, {:?} to {:?} µs)", self.len(), self.min(), self.max())
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        // Three significant digits are within the range that the constructor accepts (0..=5).
        #[expect(clippy::expect_used, reason = "constant argument within the accepted range")]
        Self(Hdr::new(3).expect("3 significant digits are valid"))
    }

    /// Adds a sample, µs.
    pub fn record(&mut self, us: u64) {
        self.0 += us;
    }

    /// Adds all samples of another one.
    pub fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// Samples.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at a quantile from 0 to 1, µs; `None` when the sample cannot support it
    /// (see [`Histogram::supports`]).
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        self.supports(q).then(|| self.0.value_at_quantile(q))
    }

    /// The value of a rank, from 1 for the smallest sample, µs; `None` beyond the last.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> Option<u64> {
        // Half a rank less: what is rounded on the way is then rounded up to this rank.
        let quantile = || (rank as f64 - 0.5) / self.len() as f64;
        (1..=self.len()).contains(&rank).then(|| self.0.value_at_quantile(quantile()))
    }

    /// Whether the sample supports a quantile: at least one sample is expected beyond it on the far side
    /// (n ≥ 1 / (1 − q)), so p50 wants 2, p95 20, p99 100, p99.9 1,000 samples.
    #[must_use]
    pub fn supports(&self, q: f64) -> bool {
        // The product is rounded against representation error: 1 − 0.99 is a little more than 0.01.
        !self.is_empty() && (self.len() as f64 * (1.0 - q.max(1.0 - q)) * 1e9).round() >= 1e9
    }

    /// Smallest sample, µs.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.0.min())
    }

    /// Largest sample, µs.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.0.max())
    }

    /// Arithmetic mean, µs.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.0.mean())
    }
}

impl Serialize for Histogram {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_json_and_merges() {
        let mut a = Histogram::new();
        (1..=100).for_each(|v| a.record(v));
        let mut b: Histogram = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        assert_eq!(a, b);
        b.merge(&a);
        assert_eq!(b.len(), 200);
        assert_eq!(b.quantile(0.5), Some(50));
        assert_eq!(b.max(), Some(100));
    }

    #[test]
    fn no_quantile_that_the_sample_cannot_support() {
        let mut h = Histogram::new();
        assert_eq!(h.quantile(0.5), None);
        (0..99).for_each(|v| h.record(v));
        assert_eq!(h.quantile(0.99), None);
        h.record(99);
        assert!(h.quantile(0.99).is_some());
        assert_eq!(h.quantile(0.999), None);
        assert!(h.supports(0.5));
    }

    #[test]
    fn every_rank_has_its_own_sample_and_there_is_none_beyond() {
        for n in [1, 3, 7, 49, 100, 1_000] {
            let mut h = Histogram::new();
            (1..=n).for_each(|v| h.record(v));
            assert!((1..=n).all(|rank| h.at_rank(rank) == Some(rank)), "{n}");
            assert_eq!((h.at_rank(0), h.at_rank(n + 1)), (None, None));
        }
    }
}
