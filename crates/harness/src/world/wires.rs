//! The proxies of a trial: none where nothing asks for one, so that what is measured does not pass through them.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use sandbox::postgres::{Capability, Server, ServerUrl};
use sandbox::proxy::{self, Effect, Fired, Outcome, Phase, Protocol, Proxy, Rule, RuleId, Subject, Way};

use crate::faults::{Action, Fault, Frame, Moment, When};
use crate::scenario::Network;
use crate::trial::record::WireCounts;

/// What the path of a client's request for an import holds.
const IMPORT: &str = "events/ingest";

/// How long a rule's effect on what is there may take to show.
const SHOWS: Duration = Duration::from_secs(5);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// In front of PostgreSQL.
    Database,
    /// In front of LiveRC.
    Liverc,
    /// In front of the service, in a load.
    Service,
}

/// What asks for a proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// In front of PostgreSQL.
    pub database: bool,
    /// In front of LiveRC.
    pub liverc: bool,
}

impl Wanted {
    /// What a trial needs. `half_statements`: `mid-batch` is a moment on the wire for this engine.
    #[must_use]
    pub fn by(network: &Network, faults: &[Fault], half_statements: bool) -> Self {
        let database = network.database_rtt.is_some()
            || network.database_jitter.is_some()
            || network.database_bandwidth.is_some()
            || half_statements
            || faults.iter().any(|f| {
                let at_wire = matches!(f.when(), When::Wire { frame: Frame::Commit | Frame::Batch | Frame::Any, .. });
                (at_wire && !f.action().is_raised()) || f.action().needs() == crate::faults::Need::Proxy
            });
        // Latency of LiveRC is the mock's own: it delays answers, where a proxy would delay bytes.
        let liverc = network.liverc_jitter.is_some()
            || network.liverc_bandwidth.is_some()
            || faults
                .iter()
                .any(|f| matches!(f.when(), When::Wire { frame: Frame::Request, .. }) || on_liverc_wire(f.action()));
        Self { database, liverc }
    }
}

/// Whether an action is the LiveRC proxy's to carry out.
#[must_use]
pub fn on_liverc_wire(action: Action) -> bool {
    matches!(
        action,
        Action::NetReset
            | Action::NetBlackhole
            | Action::NetRefuse
            | Action::NetSlow
            | Action::SlowBody
            | Action::Truncate
            | Action::TruncateChunked
            | Action::TruncateClosed
    )
}

/// The proxies.
#[derive(Debug, Default)]
pub struct Wires {
    database: Option<Proxy>,
    liverc: Option<Proxy>,
    service: Option<Proxy>,
    /// Why there is none in front of PostgreSQL though one is wanted.
    refusal: Option<String>,
}

impl Wires {
    /// Starts what is wanted.
    ///
    /// # Errors
    /// When no port is to be had, or the server's address cannot be told.
    pub async fn start(
        wanted: Wanted,
        network: &Network,
        server: &Server,
        database_url: &ServerUrl,
        liverc: SocketAddr,
        seed: u64,
    ) -> std::io::Result<Self> {
        let mut wires = Self::default();
        if wanted.database {
            match server.capabilities().refusal(Capability::WireFaults) {
                Some(reason) => wires.refusal = Some(reason.to_owned()),
                None => {
                    let address = (database_url.host().as_str(), database_url.port())
                        .to_socket_addrs()?
                        .next()
                        .ok_or_else(|| std::io::Error::other("the server's host has no address"))?;
                    let rules = shaping(
                        network.database_rtt.map(|s| s.0),
                        network.database_jitter.map(|s| s.0),
                        network.database_bandwidth.map(|b| b.0),
                    );
                    let proxy = Proxy::start(address, Protocol::Postgres, rules, seed).await;
                    wires.database = Some(proxy.map_err(std::io::Error::other)?);
                }
            }
        }
        if wanted.liverc {
            let rules = shaping(None, network.liverc_jitter.map(|s| s.0), network.liverc_bandwidth.map(|b| b.0));
            let proxy = Proxy::start(liverc, Protocol::Http, rules, seed).await;
            wires.liverc = Some(proxy.map_err(std::io::Error::other)?);
        }
        Ok(wires)
    }

    /// Puts a proxy between the clients and a service.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn before_service(&mut self, address: SocketAddr, seed: u64) -> std::io::Result<()> {
        let proxy = Proxy::start(address, Protocol::Http, Vec::new(), seed).await;
        self.service = Some(proxy.map_err(std::io::Error::other)?);
        Ok(())
    }

    /// Where clients find the service.
    #[must_use]
    pub fn service_url(&self, direct: SocketAddr) -> String {
        format!("http://{}", self.service.as_ref().map_or(direct, Proxy::addr))
    }

    /// Where the engine finds PostgreSQL.
    #[must_use]
    pub fn database_url(&self, direct: &ServerUrl) -> ServerUrl {
        self.database.as_ref().map_or_else(|| direct.clone(), |proxy| direct.with_address(proxy.addr()))
    }

    /// Where the engine finds LiveRC.
    #[must_use]
    pub fn liverc_url(&self, direct: SocketAddr) -> String {
        format!("http://{}", self.liverc.as_ref().map_or(direct, Proxy::addr))
    }

    /// ReadyForQuery replies (DESIGN 8), where the proxy could see them.
    #[must_use]
    pub fn round_trips(&self) -> Option<u64> {
        self.database.as_ref().map(|p| p.stats()).filter(|s| s.opaque == 0).map(|s| s.round_trips)
    }

    /// Messages to and from PostgreSQL so far, where the proxy could read them.
    #[must_use]
    pub fn counts(&self) -> Option<WireCounts> {
        let stats = self.database.as_ref().map(|p| p.stats()).filter(|s| s.opaque == 0)?;
        Some(WireCounts {
            frames: stats.frames_up,
            commits: stats.commits,
            round_trips: stats.round_trips,
            sessions: stats.sessions,
        })
    }

    /// A proxy.
    ///
    /// # Errors
    /// Why there is none.
    pub fn on(&self, side: Side) -> Result<&Proxy, String> {
        let proxy = match side {
            Side::Database => self.database.as_ref(),
            Side::Liverc => self.liverc.as_ref(),
            Side::Service => self.service.as_ref(),
        };
        proxy.ok_or_else(|| {
            self.refusal.clone().unwrap_or_else(|| "no proxy is in the way of this connection".to_owned())
        })
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// No proxy, or a rule that cannot be.
    pub fn add(&self, side: Side, rule: Rule) -> Result<RuleId, String> {
        self.on(side)?.add_rule(rule).map_err(|e| e.to_string())
    }

    /// Ends a rule's effect.
    pub fn remove(&self, side: Side, rule: RuleId) {
        if let Ok(proxy) = self.on(side) {
            proxy.remove_rule(rule);
        }
    }

    /// Does something to every connection that is there, and nothing to those to come.
    ///
    /// # Errors
    /// No proxy; no connection within five seconds.
    pub async fn cut_all(&self, side: Side, effect: Effect) -> Result<Fired, String> {
        let proxy = self.on(side)?;
        let rule = self.add(side, Rule::always(effect))?;
        let fired = tokio::time::timeout(SHOWS, proxy.fired(rule)).await;
        proxy.remove_rule(rule);
        fired.map_err(|_| "no connection was open that could have been cut".to_owned())
    }

    /// Waits until a rule is in force.
    ///
    /// # Errors
    /// No proxy; not within five seconds.
    pub async fn fired(&self, side: Side, rule: RuleId) -> Result<Fired, String> {
        let fired = tokio::time::timeout(SHOWS, self.on(side)?.fired(rule)).await;
        fired.map_err(|_| "the proxy's rule did not come into force".to_owned())
    }

    /// The first record that a rule has met traffic.
    #[must_use]
    pub fn met(&self, side: Side, rule: RuleId) -> Option<Fired> {
        let log = self.on(side).ok()?.log();
        let lasts = log.iter().any(|f| f.rule == rule && f.outcome == Outcome::Fired && f.connection.is_none());
        let met = log.iter().find(|f| f.rule == rule && f.outcome == Outcome::Applied);
        let once = log.iter().find(|f| f.rule == rule && f.outcome == Outcome::Fired && f.connection.is_some());
        if lasts { met.cloned() } else { once.or(met).cloned() }
    }

    /// Tells the mock which of its answers did not arrive, as the proxy has it.
    pub fn tell_lost_answers(&self, mock: &super::liverc::Liverc) {
        for cut in self.liverc.iter().flat_map(Proxy::cut_answers) {
            let path = cut.request.split_once(' ').map_or(cut.request.as_str(), |(_, path)| path);
            mock.answer_was_cut(path, cut.at_us);
        }
    }

    /// Every decision of all, for the artefacts.
    #[must_use]
    pub fn log(&self) -> Vec<Fired> {
        [&self.database, &self.liverc, &self.service].into_iter().flatten().flat_map(Proxy::log).collect()
    }

    /// Ends all.
    pub async fn close(self) {
        for proxy in [self.database, self.liverc, self.service].into_iter().flatten() {
            proxy.close().await;
        }
    }
}

fn shaping(rtt: Option<Duration>, jitter: Option<Duration>, bandwidth: Option<u64>) -> Vec<Rule> {
    let mut rules = Vec::new();
    if let Some(rtt) = rtt {
        rules.push(Rule::always(Effect::rtt(rtt)));
    }
    if let Some(jitter) = jitter {
        // On the way back: the jitter of a round trip is then what was asked for.
        rules.push(Rule::always(Effect::Latency { delay: Duration::ZERO, jitter, way: Way::Down }));
    }
    if let Some(bytes_per_second) = bandwidth {
        rules.push(Rule::always(Effect::Bandwidth { bytes_per_second, way: Way::Both }));
    }
    rules
}

/// A moment as the proxy knows it.
///
/// # Errors
/// A moment that this frame does not have.
pub fn moment(frame: Frame, occurrence: u32, moment: Moment) -> Result<(Side, proxy::Moment), String> {
    let (side, subject) = match frame {
        Frame::Commit => (Side::Database, Subject::Commit),
        Frame::Batch => (Side::Database, Subject::Batch(Some("laps".to_owned()))),
        Frame::Any => (Side::Database, Subject::Frame(None)),
        Frame::Request => (Side::Liverc, Subject::Request(None)),
        Frame::Import if moment == Moment::Answered => (Side::Service, Subject::Response(Some(IMPORT.to_owned()))),
        Frame::Import => (Side::Service, Subject::Request(Some(IMPORT.to_owned()))),
    };
    let phase = match (frame, moment) {
        (_, Moment::Before) | (Frame::Import, Moment::Answered) => Phase::Before,
        (Frame::Commit, Moment::Sent) => Phase::Sent,
        (Frame::Commit, Moment::Complete) => Phase::Complete,
        (Frame::Commit, Moment::Ready) => Phase::Ready,
        (Frame::Batch | Frame::Any | Frame::Request, Moment::Half) => Phase::Half,
        (Frame::Batch | Frame::Any | Frame::Request | Frame::Import, Moment::Sent) => Phase::After,
        (frame, moment) => return Err(format!("`{moment}` is no moment of a `{frame}`")),
    };
    Ok((side, proxy::Moment { subject, occurrence: u64::from(occurrence), phase }))
}

/// A record of the proxy's log, in words.
#[must_use]
pub fn words(fired: &Fired) -> String {
    let on = fired.connection.map_or("all connections".to_owned(), |n| format!("connection {n}"));
    let at = fired.moment.as_ref().map(|m| format!(" at {m}")).unwrap_or_default();
    let detail = if fired.detail.is_empty() { String::new() } else { format!(" ({})", fired.detail) };
    format!("the proxy's log: {} on {on}{at}{detail}", fired.effect.name())
}
