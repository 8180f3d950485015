//! What is in force, as an immutable value: pumps look at one snapshot until a newer one is swapped in. And the
//! verdict: which rules act at what was just sighted on the wire.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::moment::{Back, Front, Phase, Subject};
use super::rule::{Cut, Direction, Effect, Rule, RuleId, Scope, When};

/// A rule as installed.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) id: RuleId,
    pub(super) rule: Rule,
    /// How often its subject was sighted since.
    seen: AtomicU64,
}

impl Installed {
    pub(super) fn new(id: RuleId, rule: Rule) -> Arc<Self> {
        Arc::new(Self { id, rule, seen: AtomicU64::new(0) })
    }
}

/// An effect in force.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) rule: Arc<Installed>,
    /// Only on this connection; none: on all.
    pub(super) link: Option<u64>,
    pub(super) until: Option<Instant>,
}

/// Connections that are to end.
#[derive(Debug, Clone)]
pub(super) struct CutOrder {
    pub(super) rule: Arc<Installed>,
    pub(super) links: CutLinks,
    pub(super) how: Cut,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum CutLinks {
    One(u64),
    Below(u64),
}

#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) upstream: SocketAddr,
    /// Rules that wait for a moment.
    pub(super) moments: Vec<Arc<Installed>>,
    /// Rules that wait for a switch.
    pub(super) switched: Vec<Arc<Installed>>,
    pub(super) switches_on: BTreeSet<String>,
    pub(super) active: Vec<Active>,
    pub(super) cuts: Vec<CutOrder>,
}

/// Something recognised on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sighting<'a> {
    Connect,
    Commit,
    Frame(Front),
    Reply(Back),
    Batch(&'a str),
    Request(&'a str),
    Response(&'a str),
}

/// A rule whose turn came with a sighting, to act at its phase.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) rule: Arc<Installed>,
    pub(super) phase: Phase,
}

/// Takes the rules of a phase out.
pub(super) fn take(hits: &mut Vec<Hit>, phase: Phase) -> Vec<Arc<Installed>> {
    if hits.is_empty() {
        return Vec::new();
    }
    hits.extract_if(.., |hit| hit.phase == phase).map(|hit| hit.rule).collect()
}

fn matches(subject: &Subject, sighting: Sighting<'_>) -> bool {
    match (subject, sighting) {
        (Subject::Connect, Sighting::Connect) | (Subject::Commit, Sighting::Commit) => true,
        (Subject::Frame(want), Sighting::Frame(kind)) => want.is_none_or(|w| w == kind),
        (Subject::Reply(want), Sighting::Reply(kind)) => want.is_none_or(|w| w == kind),
        (Subject::Batch(want), Sighting::Batch(table)) => want.as_ref().is_none_or(|w| w == table),
        (Subject::Request(want), Sighting::Request(target)) | (Subject::Response(want), Sighting::Response(target)) => {
            want.as_ref().is_none_or(|w| target.contains(w.as_str()))
        }
        _ => false,
    }
}

impl Snapshot {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            moments: Vec::new(),
            switched: Vec::new(),
            switches_on: BTreeSet::new(),
            active: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// Counts a sighting for every rule that waits for its like, and adds those whose turn it is.
    pub(super) fn sight(&self, sighting: Sighting<'_>, hits: &mut Vec<Hit>) {
        for rule in &self.moments {
            let When::At(moment) = &rule.rule.when else { continue };
            if matches(&moment.subject, sighting) && rule.seen.fetch_add(1, Ordering::Relaxed) + 1 == moment.occurrence
            {
                hits.push(Hit { rule: Arc::clone(rule), phase: moment.phase });
            }
        }
    }

    /// Installs a rule. True: it is in force at once.
    pub(super) fn install(&mut self, rule: Arc<Installed>, now: Instant, next_link: u64) -> bool {
        let at_once = match &rule.rule.when {
            When::At(_) => {
                self.moments.push(rule);
                return false;
            }
            When::Always => true,
            When::Switch(name) => {
                self.switched.push(Arc::clone(&rule));
                self.switches_on.contains(name)
            }
        };
        if at_once {
            self.activate(&rule, None, now, next_link);
        }
        at_once
    }

    /// Puts a rule's effect into force on a connection, or on all.
    pub(super) fn activate(&mut self, rule: &Arc<Installed>, link: Option<u64>, now: Instant, next_link: u64) {
        let how = match rule.rule.effect {
            Effect::Reset => Some(Cut::Reset),
            Effect::Close => Some(Cut::Close),
            _ => None,
        };
        if let Some(how) = how {
            let links = link.map_or(CutLinks::Below(next_link), CutLinks::One);
            self.cuts.push(CutOrder { rule: Arc::clone(rule), links, how });
        }
        // A reset at a moment is over at once; one that stands cuts each connection to come too.
        if how.is_none() || rule.rule.moment().is_none() {
            let until = rule.rule.lasts.map(|lasts| now + lasts);
            self.active.push(Active { rule: Arc::clone(rule), link, until });
        }
    }

    /// Takes a rule out and ends its effect.
    pub(super) fn remove(&mut self, id: RuleId) -> Vec<Active> {
        self.moments.retain(|r| r.id != id);
        self.switched.retain(|r| r.id != id);
        self.active.extract_if(.., |a| a.rule.id == id).collect()
    }

    /// Ends the effects whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Active> {
        self.active.extract_if(.., |a| a.until.is_some_and(|until| until <= now)).collect()
    }

    /// When the next effect ends by itself.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.active.iter().filter_map(|a| a.until).min()
    }

    /// The rule that closes the listener.
    pub(super) fn refusing(&self) -> Option<&Active> {
        self.active.iter().find(|a| a.rule.rule.effect == Effect::Refuse)
    }

    /// How this connection is to end, if it is.
    pub(super) fn cut(&self, link: u64) -> Option<(&Arc<Installed>, Cut)> {
        let ordered = self.cuts.iter().find(|order| match order.links {
            CutLinks::One(one) => one == link,
            CutLinks::Below(next) => link < next,
        });
        if let Some(order) = ordered {
            return Some((&order.rule, order.how));
        }
        self.on(link).find_map(|rule| match rule.rule.effect {
            Effect::Reset => Some((rule, Cut::Reset)),
            Effect::Close => Some((rule, Cut::Close)),
            _ => None,
        })
    }

    /// The effects in force on a connection.
    pub(super) fn on(&self, link: u64) -> impl Iterator<Item = &Arc<Installed>> {
        self.active.iter().filter(move |a| a.link.is_none_or(|only| only == link)).map(|a| &a.rule)
    }
}

/// What the effects in force make of one direction of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Nothing passes.
    pub(super) still: Option<Arc<Installed>>,
    pub(super) delay: Duration,
    pub(super) jitters: Vec<(RuleId, Duration)>,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) slice: Option<(RuleId, u32, Duration)>,
    pub(super) slow_body: Option<u64>,
    pub(super) cut_after: Vec<(Arc<Installed>, u64, Cut)>,
    pub(super) truncate: Option<Arc<Installed>>,
    /// The rules that delay or cut up what passes.
    pub(super) by: Vec<Arc<Installed>>,
}

impl Shape {
    pub(super) fn new(snapshot: &Snapshot, link: u64, direction: Direction) -> Self {
        let mut shape = Self::default();
        for rule in snapshot.on(link) {
            let slower = |old: Option<u64>, new: u64| Some(old.map_or(new, |o| o.min(new)));
            match rule.rule.effect {
                Effect::Latency { delay, jitter, way } if way.takes(direction) => {
                    shape.delay += delay;
                    if !jitter.is_zero() {
                        shape.jitters.push((rule.id, jitter));
                    }
                    shape.by.push(Arc::clone(rule));
                }
                Effect::Bandwidth { bytes_per_second, way } if way.takes(direction) => {
                    shape.bytes_per_second = slower(shape.bytes_per_second, bytes_per_second);
                    shape.by.push(Arc::clone(rule));
                }
                Effect::Slice { max_bytes, gap, way } if way.takes(direction) => {
                    shape.slice = Some((rule.id, max_bytes, gap));
                    shape.by.push(Arc::clone(rule));
                }
                Effect::SlowBody { bytes_per_second } if direction == Direction::Down => {
                    shape.slow_body = slower(shape.slow_body, bytes_per_second);
                    shape.by.push(Arc::clone(rule));
                }
                Effect::BlackHole { way } if way.takes(direction) => shape.still = Some(Arc::clone(rule)),
                Effect::Hold => shape.still = Some(Arc::clone(rule)),
                Effect::CutAfter { bytes, way, how } if way.takes(direction) => {
                    shape.cut_after.push((Arc::clone(rule), bytes, how));
                }
                Effect::Truncate { .. } if direction == Direction::Down => shape.truncate = Some(Arc::clone(rule)),
                Effect::Latency { .. }
                | Effect::Bandwidth { .. }
                | Effect::Slice { .. }
                | Effect::SlowBody { .. }
                | Effect::BlackHole { .. }
                | Effect::CutAfter { .. }
                | Effect::Truncate { .. }
                | Effect::Refuse
                | Effect::Reset
                | Effect::Close => {}
            }
        }
        shape
    }

    /// Whether bytes can go straight through.
    pub(super) fn plain(&self) -> bool {
        self.delay.is_zero()
            && self.jitters.is_empty()
            && self.bytes_per_second.is_none()
            && self.slice.is_none()
            && self.slow_body.is_none()
    }
}

/// The connection that an effect fired at a moment is to act on.
pub(super) fn target(rule: &Rule, link: u64) -> Option<u64> {
    match rule.scope {
        Scope::Link => Some(link),
        Scope::All => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(rules: &[Rule]) -> Snapshot {
        let mut s = Snapshot::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        for (i, rule) in rules.iter().enumerate() {
            s.install(Installed::new(RuleId(i as u64), rule.clone()), Instant::now(), 5);
        }
        s
    }

    #[test]
    fn a_moment_comes_once_and_counts_only_its_like() {
        let s = snapshot(&[
            Rule::at("batch(laps)#2:half".parse().unwrap(), Effect::Reset),
            Rule::at("batch#3".parse().unwrap(), Effect::Reset),
        ]);
        let mut seen = Vec::new();
        for table in ["laps", "results", "laps", "laps"] {
            let mut hits = Vec::new();
            s.sight(Sighting::Batch(table), &mut hits);
            s.sight(Sighting::Commit, &mut hits);
            seen.push(hits.iter().map(|h| (h.rule.id.0, h.phase)).collect::<Vec<_>>());
        }
        assert_eq!(seen, [vec![], vec![], vec![(0, Phase::Half), (1, Phase::Before)], vec![]]);
    }

    #[test]
    fn effects_end_with_their_rule_or_their_time_and_standing_resets_cut_what_comes() {
        let mut s = snapshot(&[
            Rule::always(Effect::black_hole()).lasting(Duration::from_secs(1)),
            Rule::always(Effect::Reset),
        ]);
        assert!(Shape::new(&s, 9, Direction::Up).still.is_some());
        assert_eq!(s.expire(Instant::now() + Duration::from_secs(2)).len(), 1);
        assert!(Shape::new(&s, 9, Direction::Up).still.is_none());
        assert!(s.cut(1).is_some() && s.cut(9).is_some());
        assert_eq!(s.remove(RuleId(1)).len(), 1);
        assert!(s.cut(1).is_some(), "it was ordered for those that were there");
        assert!(s.cut(9).is_none());
    }

    #[test]
    fn latencies_add_up_and_the_lowest_bandwidth_counts() {
        use super::super::rule::Way;
        let bandwidth = |bytes_per_second| Rule::always(Effect::Bandwidth { bytes_per_second, way: Way::Up });
        let s = snapshot(&[
            Rule::always(Effect::rtt(Duration::from_millis(2))),
            Rule::always(Effect::Latency { delay: Duration::from_millis(3), jitter: Duration::ZERO, way: Way::Down }),
            bandwidth(500),
            bandwidth(200),
        ]);
        let (up, down) = (Shape::new(&s, 1, Direction::Up), Shape::new(&s, 1, Direction::Down));
        assert_eq!((up.delay, up.bytes_per_second), (Duration::from_millis(1), Some(200)));
        assert_eq!((down.delay, down.bytes_per_second), (Duration::from_millis(4), None));
        assert!(!up.plain() && Shape::default().plain());
    }
}
