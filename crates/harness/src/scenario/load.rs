//! `[load]`: imports that many clients ask a running service for.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;

use super::event::EventKind;
use super::file;
use super::model::{Expect, Scenario};
use crate::faults::{Fault, names};
use crate::load::arrivals::{Arrivals, Length, Pattern};
use crate::quantity::{Bytes, NoSpan, Span, as_text};

names! {
    /// How requests arrive.
    ArrivalKind, "pattern of arrivals";
    /// At one rate.
    Steady = "steady",
    /// At a rate that rises or falls evenly.
    Ramp = "ramp",
    /// At one rate, with a higher one for a while.
    Spike = "spike",
    /// At one rate for long: memory, connections and latency must not drift.
    Soak = "soak",
    /// From so many users, each of whom waits for an answer before the next request.
    Users = "users",
}
as_text!(ArrivalKind, "a pattern of arrivals in quotes: \"steady\"");

/// When a process that died is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// So long after its death.
    After(Span),
    /// Not at all.
    Never,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => span.fmt(f),
            Self::Never => f.pad("never"),
        }
    }
}

impl FromStr for Restart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        text.parse().map(Self::After).map_err(|e: NoSpan| format!("{e}, or \"never\""))
    }
}
as_text!(Restart, "a duration in quotes, or \"never\"");

/// What is asked of a service, and of what the service consists.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSpec {
    /// How requests arrive, with its figures.
    pub pattern: Pattern,
    /// For how long, or how many.
    pub length: Length,
    /// Whether chance spaces the arrivals (a Poisson process); else they are evenly spaced.
    pub random: bool,
    /// Different events that are asked for.
    pub events: u32,
    /// How many of them have a race that can never be read.
    pub poison: u32,
    /// Share of the requests that ask for a refresh, 0 to 1.
    pub refresh: f64,
    /// Processes of `ingest work`.
    pub workers: u32,
    /// Jobs at once in each.
    pub jobs: u32,
    /// Jobs at once in the server's own process.
    pub server_jobs: u32,
    /// How long the server is asked to wait for a job's end before it answers. With 0 it answers when it has accepted.
    pub wait: Span,
    /// How often a client looks at a job that goes on.
    pub poll: Span,
    /// How long a client waits after a broken connection before it asks.
    pub recovery: Span,
    /// How long a client follows its import at most.
    pub patience: Span,
    /// How long a job stays with a worker that gives no sign of life.
    pub lease: Span,
    /// Attempts at a job before it has failed for good.
    pub attempts: u32,
    /// Wait before a job's second attempt.
    pub backoff: Span,
    /// When a process that died is started again.
    pub restart: Restart,
    /// How long what is still under way may take after the last request was due.
    pub drain: Span,
    /// How much may drift in a soak.
    pub drift: Drift,
}

/// Growth over the whole run that is still no drift. `None`: not judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drift {
    /// Memory of all processes of the service.
    pub memory: Option<Bytes>,
    /// Connections to PostgreSQL.
    pub connections: Option<u32>,
    /// Median time to `laps_full`.
    pub latency: Option<Span>,
}

impl Drift {
    /// Whether anything is judged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What flags change of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOverrides {
    /// `--rate`: requests a second; of a spike and a ramp the rate that they begin with.
    pub rate: Option<f64>,
    /// `--users`: as many users in the place of the pattern.
    pub users: Option<u32>,
    /// `--duration`.
    pub duration: Option<Span>,
}

impl LoadSpec {
    /// The arrivals.
    ///
    /// # Errors
    /// Which figure cannot be.
    pub fn arrivals(&self, seed: u64) -> Result<Arrivals, String> {
        let arrivals = Arrivals::new(self.pattern, self.length).map_err(|e| e.to_string())?;
        Ok(if self.random { arrivals.poisson(seed) } else { arrivals })
    }

    /// The same as the flags have it.
    ///
    /// # Errors
    /// A figure that cannot be, with the flag.
    pub fn with(mut self, overrides: &LoadOverrides) -> Result<Self, String> {
        if let Some(users) = overrides.users {
            let think = match self.pattern {
                Pattern::Users { think, .. } => think,
                _ => Duration::ZERO,
            };
            self.pattern = Pattern::Users { users, think };
        }
        if let Some(new) = overrides.rate {
            match &mut self.pattern {
                Pattern::Steady { rate } | Pattern::Soak { rate, .. } => *rate = new,
                Pattern::Ramp { from, .. } => *from = new,
                Pattern::Spike { base, .. } => *base = new,
                Pattern::Users { .. } => {
                    return Err("--rate: users make their requests at their own pace; use --users".to_owned());
                }
            }
        }
        if let Some(duration) = overrides.duration {
            self.length = Length::Time(duration.0);
        }
        self.arrivals(0)?;
        Ok(self)
    }
}

/// A mistake, and where it stands.
type Mistake = (Range<usize>, String);

/// Reads the table.
///
/// # Errors
/// What does not go together, where it stands.
pub(super) fn read(table: Spanned<file::Load>) -> Result<LoadSpec, Mistake> {
    let whole = table.span();
    let table = table.into_inner();
    let pattern = pattern(&table, &whole)?;
    let length = match (&table.duration, &table.requests) {
        (Some(duration), None) => Length::Time(duration.get_ref().0),
        (None, Some(requests)) => Length::Requests(*requests.get_ref()),
        (Some(_), Some(requests)) => {
            return Err((requests.span(), "a load has either a duration or a number of requests, not both".to_owned()));
        }
        (None, None) => return Err((whole, "say for how long: duration = \"5s\", or requests = 100".to_owned())),
    };
    let events = count(table.events.as_ref(), 10, 1, 500, "events")?;
    let poison = count(table.poison.as_ref(), 0, 0, 500, "poison")?;
    if poison > events {
        let span = table.poison.map_or(whole, |p| p.span());
        return Err((span, format!("there are only {events} events that could be poison")));
    }
    let refresh = match &table.refresh {
        Some(share) if !(0.0..=1.0).contains(share.get_ref()) => {
            return Err((share.span(), "a share is a number from 0 to 1".to_owned()));
        }
        share => share.as_ref().map_or(0.0, |s| *s.get_ref()),
    };
    let workers = count(table.workers.as_ref(), 2, 0, 16, "workers")?;
    let server_jobs = count(table.server_jobs.as_ref(), 0, 0, 64, "server_jobs")?;
    if workers + server_jobs == 0 {
        let span = table.workers.map_or(whole, |w| w.span());
        return Err((span, "nobody would work: give workers, or server_jobs".to_owned()));
    }
    let wait = time(table.wait.as_ref(), 0, 0, "wait")?;
    if !wait.0.as_nanos().is_multiple_of(1_000_000_000) {
        let span = table.wait.map_or(whole, |w| w.span());
        return Err((span, "the service counts this in whole seconds".to_owned()));
    }
    let spec = LoadSpec {
        pattern,
        length,
        random: table.random.unwrap_or(false),
        events,
        poison,
        refresh,
        workers,
        jobs: count(table.jobs.as_ref(), 2, 1, 64, "jobs")?,
        server_jobs,
        wait,
        poll: time(table.poll.as_ref(), 100, 1, "poll")?,
        recovery: time(table.recovery.as_ref(), 500, 1, "recovery")?,
        patience: time(table.patience.as_ref(), 60_000, 1, "patience")?,
        lease: time(table.lease.as_ref(), 2_000, 100, "lease")?,
        attempts: count(table.attempts.as_ref(), 8, 1, 1_000, "attempts")?,
        backoff: time(table.backoff.as_ref(), 500, 1, "backoff")?,
        restart: table.restart.map_or(Restart::After(Span(Duration::from_millis(500))), |r| *r.get_ref()),
        drain: time(table.drain.as_ref(), 60_000, 1, "drain")?,
        drift: Drift { memory: table.drift.memory, connections: table.drift.connections, latency: table.drift.latency },
    };
    spec.arrivals(0).map_err(|why| (whole, why))?;
    Ok(spec)
}

/// What of the rest of a scenario does not go with a load.
///
/// # Errors
/// What it is, and what to write instead.
pub(super) fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.event.kind != EventKind::Plain || !scenario.event.revisions.is_empty() {
        return Err(
            "the events of a load are plain and have one revision; for one that cannot be read write poison = 1"
                .to_owned(),
        );
    }
    if scenario.engine.command.is_some() || scenario.engine.profiles.len() != 1 {
        return Err("a load runs the built-in service under one profile: profiles = [\"fast\"]".to_owned());
    }
    if scenario.expect != Expect::default() {
        return Err("what must come out of a load is known from its events: leave [expect] out".to_owned());
    }
    match scenario.oracles.iter().find(|o| !o.applies(true)) {
        Some(oracle) => Err(format!("the oracle `{oracle}` does not judge a load; leave it out of the list")),
        None => Ok(()),
    }
}

/// Whether a fault can be one of a load, or of anything else.
///
/// # Errors
/// Why it cannot.
pub(super) fn check_fault(fault: &Fault, load: bool) -> Result<(), String> {
    if !load && (fault.when().is_of_load() || fault.action().is_of_load()) {
        return Err(format!("`{fault}` is a fault of a service under load: it needs a scenario with [load]"));
    }
    if load && !fault.action().fits_load() {
        let why = "it is tied to one engine process and its event, which a load does not have";
        return Err(format!("`{}` is no fault of a load: {why}", fault.action()));
    }
    Ok(())
}

fn count(given: Option<&Spanned<u32>>, default: u32, least: u32, most: u32, key: &str) -> Result<u32, Mistake> {
    match given {
        Some(n) if !(least..=most).contains(n.get_ref()) => {
            Err((n.span(), format!("{key} is a number from {least} to {most}")))
        }
        n => Ok(n.map_or(default, |n| *n.get_ref())),
    }
}

fn time(given: Option<&Spanned<Span>>, default_ms: u64, least_ms: u64, key: &str) -> Result<Span, Mistake> {
    match given {
        Some(t) if t.get_ref().0 < Duration::from_millis(least_ms) => {
            Err((t.span(), format!("{key} is at least {}", Span(Duration::from_millis(least_ms)))))
        }
        t => Ok(t.map_or(Span(Duration::from_millis(default_ms)), |t| *t.get_ref())),
    }
}

/// A figure of a pattern: its key, where it stands, and the patterns that have it.
type Figure = (&'static str, Option<Range<usize>>, &'static [ArrivalKind]);

/// The pattern with its figures; those of another pattern are a mistake.
fn pattern(table: &file::Load, whole: &Range<usize>) -> Result<Pattern, Mistake> {
    let kind = table.arrivals.as_ref().map_or(ArrivalKind::Steady, |k| *k.get_ref());
    use ArrivalKind as K;
    let figures: [Figure; 9] = [
        ("rate", table.rate.as_ref().map(Spanned::span), &[K::Steady, K::Ramp, K::Spike, K::Soak]),
        ("to", table.to.as_ref().map(Spanned::span), &[K::Ramp]),
        ("over", table.over.as_ref().map(Spanned::span), &[K::Ramp]),
        ("peak", table.peak.as_ref().map(Spanned::span), &[K::Spike]),
        ("at", table.at.as_ref().map(Spanned::span), &[K::Spike]),
        ("lasts", table.lasts.as_ref().map(Spanned::span), &[K::Spike]),
        ("every", table.every.as_ref().map(Spanned::span), &[K::Soak]),
        ("users", table.users.as_ref().map(Spanned::span), &[K::Users]),
        ("think", table.think.as_ref().map(Spanned::span), &[K::Users]),
    ];
    for (key, place, kinds) in figures {
        if let Some(place) = place.filter(|_| !kinds.contains(&kind)) {
            let names: Vec<String> = kinds.iter().map(|k| format!("\"{k}\"")).collect();
            return Err((place, format!("`{key}` is for arrivals = {}, these are \"{kind}\"", names.join(" or "))));
        }
    }
    let missing = |key: &str| (whole.clone(), format!("arrivals = \"{kind}\" needs `{key}`"));
    let number = |given: &Option<Spanned<f64>>, key| given.as_ref().map(|n| *n.get_ref()).ok_or_else(|| missing(key));
    let span = |given: &Option<Spanned<Span>>, key| given.as_ref().map(|s| s.get_ref().0).ok_or_else(|| missing(key));
    Ok(match kind {
        K::Steady => Pattern::Steady { rate: number(&table.rate, "rate")? },
        K::Ramp => Pattern::Ramp {
            from: number(&table.rate, "rate")?,
            to: number(&table.to, "to")?,
            over: span(&table.over, "over")?,
        },
        K::Spike => Pattern::Spike {
            base: number(&table.rate, "rate")?,
            peak: number(&table.peak, "peak")?,
            at: span(&table.at, "at")?,
            lasts: span(&table.lasts, "lasts")?,
        },
        K::Soak => Pattern::Soak {
            rate: number(&table.rate, "rate")?,
            every: table.every.as_ref().map_or(Duration::from_secs(1), |e| e.get_ref().0),
        },
        K::Users => Pattern::Users {
            users: table.users.as_ref().map(|u| *u.get_ref()).ok_or_else(|| missing("users"))?,
            think: table.think.as_ref().map_or(Duration::ZERO, |t| t.get_ref().0),
        },
    })
}

/// The table with nothing left open.
pub(super) fn write(spec: &LoadSpec) -> Spanned<file::Load> {
    fn spanned<T>(value: T) -> Option<Spanned<T>> {
        Some(Spanned::new(0..0, value))
    }
    let span = |d: Duration| spanned(Span(d));
    let mut table = file::Load {
        random: Some(spec.random),
        events: spanned(spec.events),
        poison: spanned(spec.poison),
        refresh: spanned(spec.refresh),
        workers: spanned(spec.workers),
        jobs: spanned(spec.jobs),
        server_jobs: spanned(spec.server_jobs),
        wait: spanned(spec.wait),
        poll: spanned(spec.poll),
        recovery: spanned(spec.recovery),
        patience: spanned(spec.patience),
        lease: spanned(spec.lease),
        attempts: spanned(spec.attempts),
        backoff: spanned(spec.backoff),
        restart: spanned(spec.restart),
        drain: spanned(spec.drain),
        drift: file::Drift {
            memory: spec.drift.memory,
            connections: spec.drift.connections,
            latency: spec.drift.latency,
        },
        ..file::Load::default()
    };
    match spec.length {
        Length::Time(time) => table.duration = span(time),
        Length::Requests(requests) => table.requests = spanned(requests),
    }
    let kind = match &spec.pattern {
        Pattern::Steady { rate } => {
            table.rate = spanned(*rate);
            ArrivalKind::Steady
        }
        Pattern::Ramp { from, to, over } => {
            (table.rate, table.to, table.over) = (spanned(*from), spanned(*to), span(*over));
            ArrivalKind::Ramp
        }
        Pattern::Spike { base, peak, at, lasts } => {
            (table.rate, table.peak) = (spanned(*base), spanned(*peak));
            (table.at, table.lasts) = (span(*at), span(*lasts));
            ArrivalKind::Spike
        }
        Pattern::Soak { rate, every } => {
            (table.rate, table.every) = (spanned(*rate), span(*every));
            ArrivalKind::Soak
        }
        Pattern::Users { users, think } => {
            (table.users, table.think) = (spanned(*users), span(*think));
            ArrivalKind::Users
        }
    };
    table.arrivals = spanned(kind);
    Spanned::new(0..0, table)
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::parse;
    use super::*;

    fn mistake(load: &str) -> String {
        let text = format!("[event]\nsize = \"small\"\n[load]\n{load}\n");
        parse(&text).expect_err(load).to_string().lines().next().unwrap().to_owned()
    }

    #[test]
    fn every_pattern_reads_and_writes_back_equal() {
        for load in [
            "rate = 20\nduration = \"5s\"",
            "arrivals = \"ramp\"\nrate = 2.5\nto = 40\nover = \"4s\"\nrequests = 100\nrandom = true",
            "arrivals = \"spike\"\nrate = 5\npeak = 50\nat = \"1s\"\nlasts = \"1s\"\nduration = \"5s\"\nrestart = \"never\"",
            "arrivals = \"soak\"\nrate = 5\nduration = \"20s\"\ndrift = { memory = \"20MB\", latency = \"100ms\" }",
            "arrivals = \"users\"\nusers = 4\nthink = \"10ms\"\nrequests = 40\nrefresh = 0.25\npoison = 1\nwait = \"10s\"",
        ] {
            let scenario = parse(&format!("[event]\nsize = \"small\"\n[load]\n{load}\n")).unwrap();
            assert!(scenario.load.is_some());
            assert_eq!(parse(&scenario.resolved()).unwrap(), scenario, "{}", scenario.resolved());
        }
    }

    #[test]
    fn mistakes_are_told_where_they_stand_with_the_nearest_name() {
        for (load, says) in [
            ("arrival = \"steady\"", ":4:1: unknown key `arrival`; did you mean `arrivals`?"),
            ("arrivals = \"stedy\"", ":4:12: unknown pattern of arrivals `stedy`; did you mean `steady`?"),
            ("rate = 20", "say for how long"),
            ("duration = \"5s\"", "arrivals = \"steady\" needs `rate`"),
            ("rate = 2\nduration = \"5s\"\nrequests = 3", ":6:12: a load has either"),
            ("rate = 2\npeak = 5\nduration = \"5s\"", ":5:8: `peak` is for arrivals = \"spike\", these are \"steady\""),
            ("rate = 2\nduration = \"5s\"\nevents = 2\npoison = 3", ":7:10: there are only 2 events"),
            ("rate = 2\nduration = \"5s\"\nrefresh = 1.5", ":6:11: a share is"),
            ("rate = 2\nduration = \"5s\"\nworkers = 0", ":6:11: nobody would work"),
            ("rate = 2\nduration = \"5s\"\nwait = \"1500ms\"", ":6:8: the service counts this in whole seconds"),
            ("rate = 2\nduration = \"5s\"\nrestart = \"soon\"", "`soon` is no duration"),
            ("rate = 2\nduration = \"5s\"\ndrift = { memry = \"1MB\" }", "did you mean `memory`?"),
            ("rate = -2\nduration = \"5s\"", "rate"),
        ] {
            assert!(mistake(load).contains(says), "{load}\n→ {}", mistake(load));
        }
    }

    #[test]
    fn flags_change_the_figure_that_they_name() {
        let text = "[event]\nsize = \"small\"\n[load]\nrate = 2\nrequests = 10\n";
        let spec = parse(text).unwrap().load.unwrap();
        let flags = LoadOverrides { rate: Some(7.0), duration: Some(Span(Duration::from_secs(3))), users: None };
        let changed = spec.clone().with(&flags).unwrap();
        assert_eq!(changed.pattern, Pattern::Steady { rate: 7.0 });
        assert_eq!(changed.length, Length::Time(Duration::from_secs(3)));
        let users = LoadOverrides { users: Some(3), ..LoadOverrides::default() };
        assert_eq!(spec.clone().with(&users).unwrap().pattern, Pattern::Users { users: 3, think: Duration::ZERO });
        let both = LoadOverrides { users: Some(3), rate: Some(1.0), ..LoadOverrides::default() };
        assert!(spec.with(&both).unwrap_err().contains("--rate"));
    }
}
