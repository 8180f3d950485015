//! The file model: what may stand in a scenario's TOML, key by key. Spans are kept where a later check may fail.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::Spanned;

use super::event::{Change, EventKind, PageForm};
use super::load::{ArrivalKind, Restart};
use super::model::{Backend, DataPlace, Outcome};
use crate::faults::{Action, When};
use crate::oracle::OracleName;
use crate::quantity::{Bytes, Span, as_text};

as_text!(When, "a trigger in quotes: \"before-commit#2\", \"commit#3:sent\", \"1.5s\"");
as_text!(Action, "a fault in quotes: \"crash\", \"db-kill\"");

/// A whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oracles: Option<Spanned<Vec<Spanned<Oracle>>>>,
    pub event: Option<Spanned<Event>>,
    #[serde(default)]
    pub engine: Engine,
    #[serde(default)]
    pub postgres: Postgres,
    #[serde(default)]
    pub network: Network,
    #[serde(default)]
    pub liverc: Liverc,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub expect: Expect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Spanned<Load>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<Spanned<Criteria>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Spanned<Fault>>,
}

/// An oracle's name. (A type of its own, since the oracle's own JSON does not name the nearest.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Oracle(pub OracleName);

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Oracle {
    type Err = crate::nearest::UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse().map(Self)
    }
}
as_text!(Oracle, "an oracle in quotes: \"content\"");

/// `[event]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<EventKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Spanned<SizeName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub races: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub laps: Option<Spanned<u32>>,
    // TOML's integers are signed; a seed above their range is written as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<PageForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Vec<Change>>,
}

/// A named size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SizeName(pub crate::synth::Size);

impl fmt::Display for SizeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl std::str::FromStr for SizeName {
    type Err = crate::nearest::UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let names = crate::synth::Size::NAMED.map(crate::synth::Size::name);
        name.parse().map(Self).map_err(|_| crate::nearest::UnknownName::new("size", name, &names))
    }
}
as_text!(SizeName, "a size in quotes: \"large\"");

/// A seed: a number, or text when it is above TOML's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(pub u64);

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(seed) => serializer.serialize_i64(seed),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Seed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a seed: a whole number from 0")
            }

            fn visit_i64<E: de::Error>(self, seed: i64) -> Result<Seed, E> {
                u64::try_from(seed).map(Seed).map_err(|_| E::invalid_value(de::Unexpected::Signed(seed), &self))
            }

            fn visit_u64<E: de::Error>(self, seed: u64) -> Result<Seed, E> {
                Ok(Seed(seed))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seed, E> {
                text.parse().map(Seed).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `[engine]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Engine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Spanned<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Spanned<Bytes>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<Spanned<String>, Value>,
}

/// A setting's value: text, a number, or true/false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value(pub String);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "text, a number or true/false (a setting with a dot in its name is quoted: \"liverc.min_delay\")",
                )
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
                Ok(Value(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `[postgres]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Postgres {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataPlace>,
}

/// `[network]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_rtt: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_jitter: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_bandwidth: Option<Spanned<Bytes>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liverc_latency: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liverc_jitter: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liverc_bandwidth: Option<Spanned<Bytes>>,
}

/// `[liverc]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Liverc {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_delay: Option<Span>,
}

/// `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_peak: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts_per_page: Option<NonZeroU32>,
}

/// `[expect]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Spanned<Outcome>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Spanned<Vec<NonZeroU32>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Spanned<Vec<Vec<NonZeroU32>>>>,
}

/// `[criteria]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Criteria {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Spanned<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub change: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limit: BTreeMap<Spanned<String>, Spanned<Value>>,
}

/// `[load]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Load {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Spanned<ArrivalKind>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Spanned<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Spanned<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<Spanned<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Spanned<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poison: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Spanned<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_jobs: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Spanned<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Spanned<Restart>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Spanned<Span>>,
    #[serde(default, skip_serializing_if = "Drift::is_empty")]
    pub drift: Drift,
}

/// `[load.drift]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drift {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Span>,
}

impl Drift {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `[[fault]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub when: When,
    #[serde(rename = "do")]
    pub action: Action,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<NonZeroU32>,
}
