//! The order in which two sides take turns, and the pairs that come of it (DESIGN 8).

use serde::{Deserialize, Serialize};

/// One of the two things that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What is compared with: the base.
    A,
    /// What is judged.
    B,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `A` or `B`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// Which pair of a set a trial belongs to, and which side of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Number of the pair. 0 is the one that is made and dropped: it pays for cold caches and a cold file system.
    pub pair: u32,
    /// Which side.
    pub side: Side,
}

impl Place {
    /// Whether it belongs to the pair that is dropped.
    #[must_use]
    pub fn is_dropped(self) -> bool {
        self.pair == 0
    }
}

/// Places of pair `pair` in the order in which they are taken: A B, B A, A B … So a drift that is linear over two
/// pairs falls on both sides alike, and neither side always comes second.
#[must_use]
pub fn turn(pair: u32) -> [Place; 2] {
    let first = if pair.is_multiple_of(2) { Side::A } else { Side::B };
    [Place { pair, side: first }, Place { pair, side: first.other() }]
}

/// Every place of a set of `pairs` measured pairs, the dropped one first.
pub fn abba(pairs: u32) -> impl Iterator<Item = Place> {
    (0..=pairs).flat_map(turn)
}

/// The (A, B) values of all whole pairs, in order; the dropped pair and halves without their other half stay out.
#[must_use]
pub fn pair_up(values: impl IntoIterator<Item = (Place, f64)>) -> Vec<(f64, f64)> {
    let mut pairs: std::collections::BTreeMap<u32, [Option<f64>; 2]> = std::collections::BTreeMap::new();
    for (place, value) in values.into_iter().filter(|(place, _)| !place.is_dropped()) {
        pairs.entry(place.pair).or_default()[usize::from(place.side == Side::B)] = Some(value);
    }
    pairs.into_values().filter_map(|[a, b]| Some((a?, b?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_take_turns_abba() {
        let order: String = abba(3).map(|p| p.side.name()).collect();
        assert_eq!(order, "ABBAABBA");
        assert_eq!(abba(3).filter(|p| p.is_dropped()).count(), 2);
    }

    #[test]
    fn a_linear_drift_cancels_over_two_pairs() {
        let mut sums = [0.0; 2];
        for (time, place) in abba(2).filter(|p| !p.is_dropped()).enumerate() {
            sums[usize::from(place.side == Side::B)] += time as f64;
        }
        assert_eq!(sums[0], sums[1]);
    }

    #[test]
    fn halves_and_the_dropped_pair_stay_out() {
        let place = |pair, side| Place { pair, side };
        let values = [
            (place(0, Side::A), 99.0),
            (place(0, Side::B), 99.0),
            (place(2, Side::A), 3.0),
            (place(1, Side::B), 2.0),
            (place(1, Side::A), 1.0),
        ];
        assert_eq!(pair_up(values), [(1.0, 2.0)]);
    }
}
