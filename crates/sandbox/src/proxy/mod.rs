//! A TCP proxy between the engine and PostgreSQL or LiveRC. It reads what passes as frames of the protocol, forwards the
//! bytes untouched, counts them, and does to them what its rules say.
//!
//! A [`Rule`] is a *when* (always, while a switch is on, or once at a [`Moment`] on the wire) and an [`Effect`]. The
//! rules in force are an immutable snapshot, swapped for another when they change; nothing is altered under a
//! connection's feet. Everything that a rule did is in the [log](Proxy::log): a [`Fired`] is the proof of a fault.
//!
//! Limits: what is behind TLS cannot be read (it is forwarded and counted as `opaque`); a COMMIT hidden in a string of
//! several statements is not seen; while nothing gets through, new connections are still accepted by the kernel.

mod count;
mod line;
mod link;
mod listener;
mod log;
mod moment;
mod pump;
mod rule;
mod scan;
mod shared;
mod snapshot;
mod thread;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use count::{Stats, TARGETS};
pub use log::{CutAnswer, Fired, Outcome, monotonic_us};
pub use moment::{Back, Front, Moment, MomentError, Phase, Subject};
pub use rule::{Cut, Direction, Effect, Keep, Rule, RuleError, RuleId, Scope, Truncation, Way, When};

use listener::Port;
use shared::Shared;
use snapshot::Snapshot;

/// What a proxy carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// PostgreSQL's frontend/backend protocol 3.0.
    Postgres,
    /// HTTP/1.1.
    Http,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Http => "HTTP",
        })
    }
}

/// Why a proxy could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A rule that cannot be.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// No port could be had.
    #[error("the proxy for {upstream} could not listen on 127.0.0.1: {source}")]
    Listen {
        /// Where it would have led.
        upstream: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A running proxy. Dropped, it ends its connections in the background; [`close`](Self::close) waits for that.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
    /// Told when the proxy's thread has let go of everything.
    ended: Option<oneshot::Receiver<()>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1. The rules get the numbers 1, 2, … in their order. Two proxies of one
    /// seed make the same random decisions on connections of the same number.
    ///
    /// # Errors
    /// A rule that the protocol does not allow; no port.
    pub async fn start(
        upstream: SocketAddr,
        protocol: Protocol,
        rules: Vec<Rule>,
        seed: u64,
    ) -> Result<Self, ProxyError> {
        for rule in &rules {
            rule.check(protocol)?;
        }
        let listen = |source| ProxyError::Listen { upstream, source };
        let port = Port::take().map_err(listen)?;
        let addr = port.addr();
        let shared = Arc::new(Shared::new(protocol, seed, Snapshot::new(upstream)));
        let numbered: Vec<_> = rules.into_iter().map(|rule| shared.number(rule)).collect();
        shared.install(&numbered);
        let ended = thread::start(Arc::clone(&shared), port).await.map_err(listen)?;
        Ok(Self { shared, addr, ended: Some(ended) })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where new connections lead from now on (a promoted standby, a server on another port).
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.shared.change(|s| s.upstream = upstream);
    }

    /// Adds a rule; it holds for connections that exist, too. Its occurrences are counted from now on.
    ///
    /// # Errors
    /// A rule that the protocol does not allow.
    pub fn add_rule(&self, rule: Rule) -> Result<RuleId, RuleError> {
        rule.check(self.shared.protocol)?;
        let installed = self.shared.number(rule);
        self.shared.install(std::slice::from_ref(&installed));
        Ok(installed.id)
    }

    /// Takes a rule out and ends its effect: what stood still goes on, the listener opens. Unknown numbers do nothing.
    pub fn remove_rule(&self, rule: RuleId) {
        self.shared.remove(rule);
    }

    /// Replaces all rules. Their effects end, then the new ones begin, with new numbers, which are returned.
    ///
    /// # Errors
    /// A rule that the protocol does not allow; then nothing is changed.
    pub fn set_rules(&self, rules: Vec<Rule>) -> Result<Vec<RuleId>, RuleError> {
        for rule in &rules {
            rule.check(self.shared.protocol)?;
        }
        let old: Vec<RuleId> = {
            let s = self.shared.snapshot.borrow();
            s.moments.iter().chain(&s.switched).map(|r| r.id).chain(s.active.iter().map(|a| a.rule.id)).collect()
        };
        for id in old {
            self.shared.remove(id);
        }
        let installed: Vec<_> = rules.into_iter().map(|rule| self.shared.number(rule)).collect();
        self.shared.install(&installed);
        Ok(installed.iter().map(|rule| rule.id).collect())
    }

    /// Turns a switch on or off, and with it the rules that wait for it.
    pub fn set_switch(&self, name: &str, on: bool) {
        self.shared.set_switch(name, on);
    }

    /// Lets the connection on which this moment comes stand still there, until told otherwise.
    ///
    /// # Errors
    /// A moment of the other protocol.
    pub fn hold(&self, moment: Moment) -> Result<Hold, RuleError> {
        let rule = self.add_rule(Rule::at(moment, Effect::Hold))?;
        Ok(Hold { shared: Arc::clone(&self.shared), rule })
    }

    /// The first thing that a rule did, once it has done it.
    pub async fn fired(&self, rule: RuleId) -> Fired {
        self.shared.log.first(rule, false).await
    }

    /// The record that a rule's effect ended, once it has: by its time, its switch, or [`remove_rule`](Self::remove_rule).
    pub async fn healed(&self, rule: RuleId) -> Fired {
        self.shared.log.first(rule, true).await
    }

    /// What was counted so far. Frames, requests and replies are counted before they are forwarded, so that what a
    /// client has been answered is in it; bytes right after.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }

    /// Every decision so far, in the order in which they were carried out.
    #[must_use]
    pub fn log(&self) -> Vec<Fired> {
        self.shared.log.all()
    }

    /// The answers that rules have cut off with their connections so far. One is told before its client can know of the cut.
    #[must_use]
    pub fn cut_answers(&self) -> Vec<CutAnswer> {
        self.shared.log.cut_answers()
    }

    /// How many decisions the log had no room for (it keeps 200,000).
    #[must_use]
    pub fn log_lost(&self) -> u64 {
        self.shared.log.lost()
    }

    /// Closes the port and every connection, and waits until all is gone.
    pub async fn close(mut self) {
        self.shared.end();
        if let Some(ended) = self.ended.take()
            && ended.await.is_err()
        {
            tracing::error!("the proxy's thread did not end well");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// A connection that stands still at a moment, or will. Dropped, it is released.
#[must_use = "dropped, it is released"]
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    rule: RuleId,
}

impl Hold {
    /// The number of its rule.
    #[must_use]
    pub fn rule(&self) -> RuleId {
        self.rule
    }

    /// Waits until the moment has come. From then on not a byte passes on that connection, in either direction.
    pub async fn reached(&self) -> Fired {
        self.shared.log.first(self.rule, false).await
    }

    /// Lets the traffic go on.
    pub fn release(self) {}

    /// Ends the connection by RST instead: what was held back is never forwarded.
    pub fn cut(self) {
        let held = {
            let s = self.shared.snapshot.borrow();
            s.active.iter().find(|a| a.rule.id == self.rule).and_then(|a| Some((Arc::clone(&a.rule), a.link?)))
        };
        if let Some((rule, link)) = held {
            self.shared.cut_link(&rule, link);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.remove(self.rule);
    }
}

/// Locks; a panic elsewhere leaves numbers and lists that are still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
