//! Rules: when something happens to the traffic, and what.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Protocol;
use super::moment::{Moment, Subject};

/// The number of a rule within its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId(pub u64);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}", self.0)
    }
}

/// A direction of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Which directions an effect acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Client to server.
    Up,
    /// Server to client.
    Down,
    /// Each direction by itself.
    Both,
}

impl Way {
    /// Whether this direction is meant.
    #[must_use]
    pub fn takes(self, direction: Direction) -> bool {
        matches!((self, direction), (Self::Both, _) | (Self::Up, Direction::Up) | (Self::Down, Direction::Down))
    }
}

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// By RST to both sides (`SO_LINGER` of zero).
    Reset,
    /// By FIN to both sides, once what was forwarded has been sent.
    Close,
}

/// The three ways in which the body of an HTTP response can end too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// `Content-Length` promises more than comes.
    ShortLength,
    /// A chunked body whose last chunk never comes.
    UnterminatedChunks,
    /// No length is declared and the connection closes: to the client it looks complete.
    NoLength,
}

/// How much of a truncated body is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the declared length; of a chunked body, of its first chunk; of a body that declares
    /// nothing, no byte.
    Percent(u8),
}

/// What happens to the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// Every byte arrives later by `delay`, plus a uniformly random part of `jitter`, in each direction of `way`. Order
    /// is kept, throughput is not lowered.
    Latency {
        /// Added one way.
        #[serde(rename = "delay_us", with = "micros")]
        delay: Duration,
        /// The most that chance adds.
        #[serde(rename = "jitter_us", with = "micros")]
        jitter: Duration,
        /// Where.
        way: Way,
    },
    /// No more than so many bytes a second, per connection and direction.
    Bandwidth {
        /// The limit.
        bytes_per_second: u64,
        /// Where.
        way: Way,
    },
    /// Traffic is written in pieces of a random size up to `max_bytes`, with `gap` between them.
    Slice {
        /// The largest piece.
        max_bytes: u32,
        /// The pause between two pieces.
        #[serde(rename = "gap_us", with = "micros")]
        gap: Duration,
        /// Where.
        way: Way,
    },
    /// Nothing gets through, nothing is lost: what waits goes on when the rule ends. New connections are accepted and
    /// stand still too (scope *all*).
    BlackHole {
        /// Where.
        way: Way,
    },
    /// Traffic stands still until the rule is removed; the log tells that the moment was reached.
    Hold,
    /// New connections are refused: the listener is closed, and opened again on the same port when the rule ends.
    Refuse,
    /// RST to both sides.
    Reset,
    /// FIN to both sides.
    Close,
    /// So many bytes more are forwarded, then the connection is cut.
    CutAfter {
        /// Bytes from the moment on, or from the start of each connection made under a standing rule.
        bytes: u64,
        /// Which direction's bytes are counted.
        way: Way,
        /// How it ends.
        how: Cut,
    },
    /// The bodies of HTTP responses, not their heads, come at so many bytes a second.
    SlowBody {
        /// The limit.
        bytes_per_second: u64,
    },
    /// The body of an HTTP response is cut short and the connection closed. The one effect that rewrites bytes: those
    /// of the head, where the form asks for another framing than the response has.
    Truncate {
        /// How the client can see it, or cannot.
        form: Truncation,
        /// How much comes.
        keep: Keep,
    },
}

impl Effect {
    /// A round trip longer by `rtt`: half of it in each direction.
    #[must_use]
    pub fn rtt(rtt: Duration) -> Self {
        Self::Latency { delay: rtt / 2, jitter: Duration::ZERO, way: Way::Both }
    }

    /// A black hole in both directions.
    #[must_use]
    pub fn black_hole() -> Self {
        Self::BlackHole { way: Way::Both }
    }

    /// Its name, as in serialised records.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Bandwidth { .. } => "bandwidth",
            Self::Slice { .. } => "slice",
            Self::BlackHole { .. } => "black-hole",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::Close => "close",
            Self::CutAfter { .. } => "cut-after",
            Self::SlowBody { .. } => "slow-body",
            Self::Truncate { .. } => "truncate",
        }
    }
}

/// When a rule acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// From the time it is added.
    Always,
    /// While the switch of this name is on.
    Switch(String),
    /// Once, at a moment.
    At(Moment),
}

/// Whom a rule that fires at a moment acts on. Other rules act on all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The connection on which the moment came.
    Link,
    /// Every connection, and with effects that last those to come.
    All,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// When it acts.
    pub when: When,
    /// What it does.
    pub effect: Effect,
    /// To whom.
    pub scope: Scope,
    /// How long an effect lasts; none: until the rule is removed. Resets, closes and truncations do not last.
    #[serde(rename = "lasts_us", with = "micros::option", default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// A rule that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The moment or effect is of the other protocol.
    #[error("`{what}` needs the {needs} protocol, and this proxy carries {carries}: add the rule to the other proxy")]
    Protocol {
        /// The moment or effect.
        what: String,
        /// What it needs.
        needs: Protocol,
        /// What the proxy carries.
        carries: Protocol,
    },
    /// A hold that nothing triggers.
    #[error("`hold` needs a moment: use `black-hole` for a rule that stands")]
    HoldWithoutMoment,
    /// Truncation and slow bodies of one message belong to a response.
    #[error("`{0}` acts on the body of a response: use a moment `response#N`, a switch, or no moment")]
    NotAtResponse(&'static str),
    /// A number that cannot be.
    #[error("`{0}` needs a number that is not zero")]
    Zero(&'static str),
    /// A percentage past the whole.
    #[error("`truncate` cannot keep {0} % of a body: it keeps less than 100")]
    Percent(u8),
}

impl Rule {
    /// A rule that stands from the time it is added.
    #[must_use]
    pub fn always(effect: Effect) -> Self {
        Self { when: When::Always, effect, scope: Scope::All, lasts: None }
    }

    /// A rule that acts while the switch is on.
    #[must_use]
    pub fn switched(name: impl Into<String>, effect: Effect) -> Self {
        Self { when: When::Switch(name.into()), effect, scope: Scope::All, lasts: None }
    }

    /// A rule that acts once, on the connection on which the moment comes.
    #[must_use]
    pub fn at(moment: Moment, effect: Effect) -> Self {
        Self { when: When::At(moment), effect, scope: Scope::Link, lasts: None }
    }

    /// The same for every connection.
    #[must_use]
    pub fn on_all(self) -> Self {
        Self { scope: Scope::All, ..self }
    }

    /// The same for so long.
    #[must_use]
    pub fn lasting(self, lasts: Duration) -> Self {
        Self { lasts: Some(lasts), ..self }
    }

    /// The moment that it waits for.
    #[must_use]
    pub fn moment(&self) -> Option<&Moment> {
        match &self.when {
            When::At(moment) => Some(moment),
            When::Always | When::Switch(_) => None,
        }
    }

    /// Whether a proxy of this protocol can carry it out.
    ///
    /// # Errors
    /// What makes it impossible.
    pub fn check(&self, carries: Protocol) -> Result<(), RuleError> {
        let subject = self.moment().map(|m| &m.subject);
        if let Some((moment, needs)) = self.moment().zip(subject.and_then(Subject::protocol))
            && needs != carries
        {
            return Err(RuleError::Protocol { what: moment.to_string(), needs, carries });
        }
        let name = self.effect.name();
        match &self.effect {
            Effect::SlowBody { .. } | Effect::Truncate { .. } => {
                if carries != Protocol::Http {
                    return Err(RuleError::Protocol { what: name.to_owned(), needs: Protocol::Http, carries });
                }
                let at_response = matches!(subject, None | Some(Subject::Response(_)));
                if !at_response || self.moment().is_some_and(|m| m.phase != super::moment::Phase::Before) {
                    return Err(RuleError::NotAtResponse(name));
                }
            }
            Effect::Hold if subject.is_none() => return Err(RuleError::HoldWithoutMoment),
            _ => {}
        }
        match self.effect {
            Effect::Bandwidth { bytes_per_second: 0, .. } | Effect::SlowBody { bytes_per_second: 0 } => {
                Err(RuleError::Zero(name))
            }
            Effect::Slice { max_bytes: 0, .. } => Err(RuleError::Zero(name)),
            Effect::Truncate { keep: Keep::Percent(p), .. } if p > 99 => Err(RuleError::Percent(p)),
            _ => Ok(()),
        }
    }
}

/// Durations as whole microseconds.
pub(super) mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::cast_possible_truncation, reason = "half a million years fit")]
    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(d.as_micros() as u64)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_micros)
    }

    pub mod option {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer};

        pub fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            match d {
                Some(d) => super::serialize(d, s),
                None => s.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(d)?.map(Duration::from_micros))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_json() {
        let all = [
            Rule::always(Effect::rtt(Duration::from_millis(1))),
            Rule::switched("net", Effect::black_hole()).lasting(Duration::from_millis(1500)),
            Rule::at("commit#3:sent".parse().unwrap(), Effect::Reset).on_all(),
            Rule::at(
                "response#5".parse().unwrap(),
                Effect::Truncate { form: Truncation::NoLength, keep: Keep::Percent(50) },
            ),
        ];
        for rule in all {
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule, "{json}");
        }
    }

    #[test]
    fn impossible_rules_are_refused() {
        let at = |m: &str, e| Rule::at(m.parse().unwrap(), e);
        let truncate = |keep| Effect::Truncate { form: Truncation::NoLength, keep };
        assert!(matches!(at("commit#1:sent", Effect::Reset).check(Protocol::Http), Err(RuleError::Protocol { .. })));
        assert!(matches!(at("request#1", Effect::Reset).check(Protocol::Postgres), Err(RuleError::Protocol { .. })));
        assert_eq!(Rule::always(Effect::Hold).check(Protocol::Http), Err(RuleError::HoldWithoutMoment));
        let wrong = at("request#1", truncate(Keep::Bytes(1)));
        assert_eq!(wrong.check(Protocol::Http), Err(RuleError::NotAtResponse("truncate")));
        assert_eq!(Rule::always(truncate(Keep::Percent(100))).check(Protocol::Http), Err(RuleError::Percent(100)));
        let none = Effect::Bandwidth { bytes_per_second: 0, way: Way::Both };
        assert_eq!(Rule::always(none).check(Protocol::Http), Err(RuleError::Zero("bandwidth")));
        assert_eq!(at("response#2", truncate(Keep::Bytes(0))).check(Protocol::Http), Ok(()));
    }
}
