//! What all connections of a proxy share: the snapshot in force, the counters and the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Protocol;
use super::count::Counters;
use super::log::{Fired, Log, Outcome, monotonic_us};
use super::rule::{Cut, Direction, Effect, Rule, RuleId};
use super::snapshot::{Active, CutLinks, CutOrder, Installed, Snapshot, target};

pub(super) struct Shared {
    pub(super) protocol: Protocol,
    pub(super) seed: u64,
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) counters: Counters,
    pub(super) log: Log,
    /// Whether connections are taken.
    pub(super) listening: watch::Sender<bool>,
    pub(super) stop: CancellationToken,
    pub(super) next_link: AtomicU64,
    next_rule: AtomicU64,
}

impl Shared {
    pub(super) fn new(protocol: Protocol, seed: u64, snapshot: Snapshot) -> Self {
        Self {
            protocol,
            seed,
            snapshot: watch::Sender::new(Arc::new(snapshot)),
            counters: Counters::default(),
            log: Log::new(),
            listening: watch::Sender::new(true),
            stop: CancellationToken::new(),
            next_link: AtomicU64::new(1),
            next_rule: AtomicU64::new(1),
        }
    }

    /// Ends the proxy. Connections wait for a change of the snapshot, which this therefore is, too.
    pub(super) fn end(&self) {
        self.stop.cancel();
        self.snapshot.send_modify(|_| ());
    }

    /// Swaps a changed snapshot in.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        let mut out = None;
        self.snapshot.send_modify(|current| {
            let mut next = Snapshot::clone(current);
            out = Some(change(&mut next));
            *current = Arc::new(next);
        });
        match out {
            Some(out) => out,
            None => unreachable!("send_modify calls its closure"),
        }
    }

    pub(super) fn number(&self, rule: Rule) -> Arc<Installed> {
        Installed::new(RuleId(self.next_rule.fetch_add(1, Ordering::Relaxed)), rule)
    }

    pub(super) fn install(&self, rules: &[Arc<Installed>]) {
        let (now, next) = (Instant::now(), self.next_link.load(Ordering::SeqCst));
        let in_force = self.change(|s| {
            rules.iter().filter(|rule| s.install(Arc::clone(rule), now, next)).cloned().collect::<Vec<_>>()
        });
        for rule in in_force {
            self.tell_in_force(&rule, None, None, String::new());
        }
    }

    pub(super) fn set_switch(&self, name: &str, on: bool) {
        let (now, next) = (Instant::now(), self.next_link.load(Ordering::SeqCst));
        let (started, ended) = self.change(|s| {
            let was = if on { !s.switches_on.insert(name.to_owned()) } else { !s.switches_on.remove(name) };
            if was {
                return (Vec::new(), Vec::new());
            }
            let rules: Vec<_> = s
                .switched
                .iter()
                .filter(|r| matches!(&r.rule.when, super::rule::When::Switch(n) if n == name))
                .cloned()
                .collect();
            if on {
                for rule in &rules {
                    s.activate(rule, None, now, next);
                }
                (rules, Vec::new())
            } else {
                let ended = s.active.extract_if(.., |a| rules.iter().any(|r| r.id == a.rule.id)).collect();
                (Vec::new(), ended)
            }
        });
        for rule in started {
            self.tell_in_force(&rule, None, None, String::new());
        }
        self.tell_healed(&ended);
    }

    /// An effect is in force. Of a closed listener the listener tells; of cuts each connection does.
    fn tell_in_force(&self, rule: &Installed, link: Option<u64>, direction: Option<Direction>, detail: String) {
        let later =
            matches!(rule.rule.effect, Effect::Refuse | Effect::Reset | Effect::Close | Effect::CutAfter { .. });
        if !later && !matches!(rule.rule.effect, Effect::Truncate { .. }) {
            self.tell(rule, Outcome::Fired, link, direction, detail);
        }
    }

    pub(super) fn tell_healed(&self, ended: &[Active]) {
        for active in ended {
            // A listener is open again when it is: the listener tells.
            if active.rule.rule.effect != Effect::Refuse {
                self.tell(&active.rule, Outcome::Healed, active.link, None, String::new());
            }
        }
    }

    pub(super) fn tell(
        &self,
        rule: &Installed,
        outcome: Outcome,
        connection: Option<u64>,
        direction: Option<Direction>,
        detail: String,
    ) {
        self.log.write(Fired {
            at_us: monotonic_us(),
            rule: rule.id,
            outcome,
            moment: rule.rule.moment().cloned(),
            effect: rule.rule.effect.clone(),
            connection,
            direction,
            detail,
        });
    }

    /// Carries out rules whose moment has come on a connection. Returns how that connection is to end, if it is.
    pub(super) async fn fire(
        &self,
        rules: Vec<Arc<Installed>>,
        link: u64,
        direction: Option<Direction>,
        detail: &str,
    ) -> Option<Ending> {
        let mut ending = None;
        // The listener closes before any client can learn of its end, and come again.
        let (refusals, rest): (Vec<_>, Vec<_>) = rules.into_iter().partition(|r| r.rule.effect == Effect::Refuse);
        for rule in refusals.into_iter().chain(rest) {
            let on = target(&rule.rule, link);
            let how = match rule.rule.effect {
                Effect::Reset => Some(Cut::Reset),
                Effect::Close => Some(Cut::Close),
                _ => None,
            };
            let (now, next) = (Instant::now(), self.next_link.load(Ordering::SeqCst));
            if let Some(how) = how {
                // This connection ends when the caller ends it, after all other rules of the moment.
                if on.is_none() {
                    self.change(|s| s.activate(&rule, on, now, next));
                }
                ending.get_or_insert(Ending::new(Some(rule), how, direction, detail));
                continue;
            }
            let mut listening = self.listening.subscribe();
            self.change(|s| s.activate(&rule, on, now, next));
            if rule.rule.effect == Effect::Refuse {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    _ = listening.wait_for(|open| !open) => {}
                }
            } else {
                self.tell_in_force(&rule, on, direction, detail.to_owned());
            }
        }
        ending
    }

    pub(super) fn cut_link(&self, rule: &Arc<Installed>, link: u64) {
        let order = CutOrder { rule: Arc::clone(rule), links: CutLinks::One(link), how: Cut::Reset };
        self.change(|s| s.cuts.push(order));
    }

    pub(super) fn remove(&self, id: RuleId) {
        let ended = self.change(|s| s.remove(id));
        self.tell_healed(&ended);
    }
}

/// How a connection is ended by a rule (or none: the body was delivered in another framing).
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) rule: Option<Arc<Installed>>,
    pub(super) how: Cut,
    pub(super) direction: Option<Direction>,
    pub(super) detail: String,
    /// Requests whose response the client does not get whole, as `GET /path`.
    pub(super) not_answered: Vec<String>,
}

impl Ending {
    pub(super) fn new(
        rule: Option<Arc<Installed>>,
        how: Cut,
        direction: Option<Direction>,
        detail: impl Into<String>,
    ) -> Self {
        Self { rule, how, direction, detail: detail.into(), not_answered: Vec::new() }
    }
}
