//! The log of decisions: the proof that a fault happened on the wire.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::moment::Moment;
use super::rule::{Direction, Effect, RuleId};

/// CLOCK_MONOTONIC in microseconds: the clock of the engine's feed too.
#[must_use]
pub fn monotonic_us() -> u64 {
    match nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC) {
        Ok(t) => t.tv_sec().unsigned_abs() * 1_000_000 + t.tv_nsec().unsigned_abs() / 1_000,
        Err(_) => 0,
    }
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The effect happened, or is in force from now on.
    Fired,
    /// An effect in force touched a connection for the first time.
    Applied,
    /// An effect is no longer in force: the traffic flows as before.
    Healed,
}

/// A decision of the proxy, written when it was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// When, on CLOCK_MONOTONIC.
    pub at_us: u64,
    /// By which rule.
    pub rule: RuleId,
    /// What became of it.
    pub outcome: Outcome,
    /// At which moment, if the rule waited for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
    /// What was done.
    #[serde(flatten)]
    pub effect: Effect,
    /// On which connection, counted from 1; none: on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// In which direction, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// What was seen there: the server's answer to a COMMIT, a request's target, bytes passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// More records than this are counted, not kept: a rule that touches connections without end must not eat the memory.
const KEPT: usize = 200_000;

/// An answer that a rule cut off with its connection: its client did not get it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutAnswer {
    /// When, ahead of the connection's end: CLOCK_MONOTONIC, µs.
    pub at_us: u64,
    /// The request, as `GET /path?query`.
    pub request: String,
}

pub(super) struct Log {
    records: Mutex<Records>,
    cut_answers: Mutex<Vec<CutAnswer>>,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Records {
    kept: Vec<Fired>,
    lost: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { records: Mutex::default(), cut_answers: Mutex::default(), written: watch::Sender::new(0) }
    }

    pub(super) fn write(&self, record: Fired) {
        tracing::debug!(
            rule = record.rule.0,
            outcome = ?record.outcome,
            effect = record.effect.name(),
            connection = record.connection,
            detail = record.detail,
            "proxy decision"
        );
        {
            let mut records = super::lock(&self.records);
            if records.kept.len() < KEPT {
                records.kept.push(record);
            } else {
                records.lost += 1;
            }
        }
        self.written.send_modify(|n| *n += 1);
    }

    pub(super) fn write_cut_answers(&self, requests: &[String]) {
        let at_us = monotonic_us();
        let cut = requests.iter().map(|request| CutAnswer { at_us, request: request.clone() });
        super::lock(&self.cut_answers).extend(cut);
    }

    pub(super) fn cut_answers(&self) -> Vec<CutAnswer> {
        super::lock(&self.cut_answers).clone()
    }

    pub(super) fn all(&self) -> Vec<Fired> {
        super::lock(&self.records).kept.clone()
    }

    pub(super) fn lost(&self) -> u64 {
        super::lock(&self.records).lost
    }

    /// The first record of this rule that is (or is not) one of healing, once there is one.
    pub(super) async fn first(&self, rule: RuleId, healed: bool) -> Fired {
        let mut written = self.written.subscribe();
        loop {
            let is = |r: &&Fired| r.rule == rule && (r.outcome == Outcome::Healed) == healed;
            if let Some(found) = super::lock(&self.records).kept.iter().find(is).cloned() {
                return found;
            }
            if written.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::rule::{Cut, Way};
    use super::*;

    #[test]
    fn records_survive_json() {
        let record = Fired {
            at_us: monotonic_us(),
            rule: RuleId(3),
            outcome: Outcome::Fired,
            moment: Some("commit#3:sent".parse().unwrap()),
            effect: Effect::CutAfter { bytes: 10, way: Way::Up, how: Cut::Reset },
            connection: Some(2),
            direction: Some(Direction::Down),
            detail: "COMMIT".to_owned(),
        };
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!((&json["moment"], &json["effect"]), (&"commit#3:sent".into(), &"cut-after".into()));
        assert_eq!(serde_json::from_value::<Fired>(json).unwrap(), record);

        let effect = Effect::rtt(Duration::from_millis(3));
        let short = Fired { moment: None, connection: None, direction: None, detail: String::new(), effect, ..record };
        let json = serde_json::to_string(&short).unwrap();
        assert!(json.contains("\"delay_us\":1500") && !json.contains("detail"), "{json}");
        assert_eq!(serde_json::from_str::<Fired>(&json).unwrap(), short);
    }
}
