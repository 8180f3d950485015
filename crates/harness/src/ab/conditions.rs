//! The load conditions that the review asks for: how far away things are, and what else goes on.

use std::time::Duration;

use crate::quantity::Span;
use crate::scenario::Network;

/// What else goes on while the engine works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// VACUUM and ANALYZE of the tables, one after the other without a pause: what an autovacuum worker does, all the time.
    pub vacuum: bool,
    /// Another client writes to the same server, a commit every 500 rows.
    pub writes: bool,
    /// Engine and PostgreSQL share one core.
    pub one_core: bool,
}

/// A condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// In tables.
    pub name: &'static str,
    /// Added to each round trip to PostgreSQL, ms.
    pub database_rtt_ms: u64,
    /// Added to each answer of LiveRC, ms.
    pub liverc_latency_ms: u64,
    /// Added at random, up to this, ms.
    pub liverc_jitter_ms: u64,
    /// Events that are ingested side by side, each by a process of its own.
    pub events: u32,
    /// What else goes on.
    pub load: Load,
}

const PLAIN: Condition = Condition {
    name: "nothing added",
    database_rtt_ms: 0,
    liverc_latency_ms: 0,
    liverc_jitter_ms: 0,
    events: 1,
    load: Load { vacuum: false, writes: false, one_core: false },
};

/// All of them, in the order in which they are measured.
pub const CONDITIONS: [Condition; 10] = [
    PLAIN,
    Condition { name: "LiveRC latency 50 ms", liverc_latency_ms: 50, ..PLAIN },
    Condition { name: "LiveRC latency 200 ms", liverc_latency_ms: 200, ..PLAIN },
    Condition { name: "LiveRC latency 50 ms, jitter 50 ms", liverc_latency_ms: 50, liverc_jitter_ms: 50, ..PLAIN },
    Condition { name: "database round trip 1 ms", database_rtt_ms: 1, ..PLAIN },
    Condition { name: "database round trip 5 ms", database_rtt_ms: 5, ..PLAIN },
    Condition { name: "4 events at once", events: 4, ..PLAIN },
    Condition { name: "vacuum all the time", load: Load { vacuum: true, ..PLAIN.load }, ..PLAIN },
    Condition { name: "background writes", load: Load { writes: true, ..PLAIN.load }, ..PLAIN },
    Condition { name: "one core", load: Load { one_core: true, ..PLAIN.load }, ..PLAIN },
];

/// A condition by its name.
#[must_use]
pub fn find(name: &str) -> Option<Condition> {
    CONDITIONS.into_iter().find(|c| c.name == name)
}

impl Condition {
    /// The network with what the condition adds; what it does not speak of stays as it is.
    #[must_use]
    pub fn network(&self, own: Network) -> Network {
        let span = |ms: u64| (ms > 0).then(|| Span(Duration::from_millis(ms)));
        Network {
            database_rtt: span(self.database_rtt_ms).or(own.database_rtt),
            liverc_latency: span(self.liverc_latency_ms).or(own.liverc_latency),
            liverc_jitter: span(self.liverc_jitter_ms).or(own.liverc_jitter),
            ..own
        }
    }

    /// Whether distance is all that it changes: only then the model of [`super::predict`] speaks of it.
    #[must_use]
    pub fn is_distance(&self) -> bool {
        self.events == 1 && self.load == Load::default() && self.liverc_jitter_ms == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for condition in CONDITIONS {
            assert_eq!(find(condition.name), Some(condition));
        }
        assert_eq!(find("moon phase"), None);
        assert_eq!(CONDITIONS.iter().filter(|c| c.is_distance()).count(), 5);
    }

    #[test]
    fn the_scenarios_own_network_stays_where_nothing_is_said() {
        let own = Network { database_rtt: Some(Span(Duration::from_millis(3))), ..Network::default() };
        assert_eq!(CONDITIONS[0].network(own), own);
        assert_eq!(CONDITIONS[4].network(own).database_rtt, Some(Span(Duration::from_millis(1))));
        assert_eq!(CONDITIONS[1].network(own).database_rtt, own.database_rtt);
    }
}
