//! Makes requests by a pattern of arrivals and measures what becomes of each.
//!
//! In open loop the latency of a request counts from the moment at which it was *due*, whether or not the service, the
//! connection or this generator was ready for it: a stall of a second is seen by every request that was due in it, not only by
//! the one that happened to be under way (coordinated omission). What was due and is not in the histograms (failed,
//! dropped, unfinished) is counted, and [`Generated::quantile`] takes it for longer than everything.
//!
//! Tokio's timer has a resolution of 1 ms, so a request starts up to a good millisecond after it was due. That is part of
//! its latency and stands by itself in [`Generated::lag`]: the generator never looks faster than it was, and one that could
//! not keep up says so ([`Generated::harness_limited`]).
//!
//! Memory does not depend on the number of requests: histograms, and rows of a timeline that merge ([`Rows`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::iter::Peekable;
use std::pin::pin;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::arrivals::{Arrivals, Due, Length, Pattern};
use super::generated::Generated;
use super::rows::Rows;
use crate::clock::monotonic_us;
use crate::trial::observe::resources::own_cpu_us;

/// A load, and how it is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// When requests are due.
    pub arrivals: Arrivals,
    /// Most requests in flight at once in open loop; those due beyond are dropped, and counted. (In closed loop: the users.)
    pub max_in_flight: usize,
    /// A request that starts more than this after it was due is late.
    pub late_after: Duration,
    /// How long the requests in flight are waited for after the last one was due.
    pub drain: Duration,
    /// Width of the timeline's rows as long as they are few enough.
    pub row_width: Duration,
    /// Most rows of the timeline.
    pub max_rows: usize,
}

impl Settings {
    /// 10,000 in flight, late after 10 ms, drained for 60 s, 120 rows.
    #[must_use]
    pub fn new(arrivals: Arrivals) -> Self {
        Self {
            arrivals,
            max_in_flight: 10_000,
            late_after: Duration::from_millis(10),
            drain: Duration::from_secs(60),
            row_width: arrivals.row_width(),
            max_rows: 120,
        }
    }
}

/// A request to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Which, from 0.
    pub number: u64,
    /// When it was due.
    pub due: Instant,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What sort of end it was; counted by sort. One of a few.
    pub class: &'static str,
    /// Whether it ended well: only then does its latency count.
    pub ok: bool,
    /// Moments on the way to the end, by name: a histogram each, from due. A few names.
    pub marks: Vec<(&'static str, Instant)>,
}

impl Outcome {
    /// A good end without marks.
    #[must_use]
    pub fn ok(class: &'static str) -> Self {
        Self { class, ok: true, marks: Vec::new() }
    }

    /// A bad end without marks.
    #[must_use]
    pub fn failed(class: &'static str) -> Self {
        Self { class, ok: false, marks: Vec::new() }
    }
}

/// Class of a request whose function panicked.
pub const PANICKED: &str = "panicked";

/// Most requests that are started before those that have ended are looked at.
const BURST: usize = 64;

/// Makes the requests. Ends when all have ended, when the drain is over, or when cancelled; what is in flight then is
/// given up and counted. Dropping this future drops the requests in flight.
pub async fn run<F, Fut>(settings: &Settings, cancel: &CancellationToken, request: F) -> Generated
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let cpu = own_cpu_us();
    let mut run = Run::new(settings, request);
    run.all(cancel).await;
    run.end(own_cpu_us().saturating_sub(cpu))
}

/// What makes requests due.
enum Source {
    /// The clock.
    Open(Box<Peekable<Due>>),
    /// Users that are free, or will be when they have thought.
    Users {
        free: BinaryHeap<Reverse<Duration>>,
        think: Duration,
        /// Nothing is due from here on.
        until: Duration,
        /// Requests that may still be made.
        left: u64,
    },
}

impl Source {
    fn of(arrivals: &Arrivals) -> Self {
        let Pattern::Users { users, think } = *arrivals.pattern() else {
            return Self::Open(Box::new(arrivals.due().peekable()));
        };
        let (until, left) = match arrivals.length() {
            Length::Time(time) => (time, u64::MAX),
            Length::Requests(n) => (Duration::MAX, n),
        };
        let free = (0..users).map(|_| Reverse(Duration::ZERO)).collect();
        Self::Users { free, think, until, left }
    }

    /// When the next request is due, since the beginning; `None` when none is, as far as can be told now.
    fn peek(&mut self) -> Option<Duration> {
        match self {
            Self::Open(due) => due.peek().copied(),
            Self::Users { left: 0, .. } => None,
            Self::Users { free, .. } => free.peek().map(|due| due.0),
        }
    }

    fn pop(&mut self) {
        match self {
            Self::Open(due) => drop(due.next()),
            Self::Users { free, left, .. } => {
                free.pop();
                *left -= 1;
            }
        }
    }

    /// A request has ended.
    fn freed(&mut self, at: Duration) {
        if let Self::Users { free, think, until, .. } = self {
            free.extend(at.checked_add(*think).filter(|due| due < until).map(Reverse));
        }
    }

    /// Whether requests will be due as soon as others end, however long that takes.
    fn waits(&self) -> bool {
        matches!(self, Self::Users { left: 1.., until: Duration::MAX, .. })
    }

    /// Before this no request in flight is given up.
    fn earliest_end(&self) -> Duration {
        match self {
            Self::Users { until, .. } if *until < Duration::MAX => *until,
            _ => Duration::ZERO,
        }
    }
}

/// A request that has ended.
struct Ended {
    request: Request,
    started: Instant,
    ended: Instant,
    counted_late: bool,
    outcome: Outcome,
}

/// A load that is being generated.
struct Run<'a, F> {
    settings: &'a Settings,
    request: F,
    began: Instant,
    source: Source,
    /// Most in flight at once.
    limit: usize,
    flight: JoinSet<Ended>,
    rows: Rows,
    last_end: Instant,
    sum: Generated,
}

impl<'a, F, Fut> Run<'a, F>
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    fn new(settings: &'a Settings, request: F) -> Self {
        let began = Instant::now();
        let source = Source::of(&settings.arrivals);
        let limit = match settings.arrivals.pattern() {
            Pattern::Users { users, .. } => *users as usize,
            _ => settings.max_in_flight.max(1),
        };
        let sum = Generated {
            began_us: monotonic_us(),
            late_after_us: us(settings.late_after),
            in_flight_limit: limit as u64,
            ..Generated::default()
        };
        let rows = Rows::new(us(settings.row_width), settings.max_rows);
        Self { settings, request, began, source, limit, flight: JoinSet::new(), rows, last_end: began, sum }
    }

    async fn all(&mut self, cancel: &CancellationToken) {
        let mut cancelled = pin!(cancel.cancelled());
        let mut timer = pin!(sleep_until(self.began));
        let mut drained = self.began + self.source.earliest_end() + self.settings.drain;
        loop {
            let now = Instant::now();
            let mut burst = 0;
            while let Some(due) = self.source.peek().map(|after| self.began + after)
                && due <= now
                && burst < BURST
            {
                self.source.pop();
                self.start_or_drop(due, now);
                drained = drained.max(due + self.settings.drain);
                burst += 1;
            }
            while let Some(ended) = self.flight.try_join_next() {
                self.ended(ended);
            }
            if burst == BURST && !cancel.is_cancelled() {
                // More may be due: what was started gets its turn first.
                tokio::task::yield_now().await;
                continue;
            }
            let next = self.source.peek().map(|after| self.began + after);
            if next.is_none() && self.flight.is_empty() {
                return;
            }
            let until = next.unwrap_or(drained);
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            tokio::select! {
                biased;
                () = &mut cancelled => {
                    self.sum.cut_short = true;
                    return;
                }
                () = &mut timer, if next.is_some() || !self.source.waits() => if next.is_none() { return },
                Some(ended) = self.flight.join_next() => self.ended(ended),
            }
        }
    }

    /// Starts a request, unless too many are in flight.
    fn start_or_drop(&mut self, due: Instant, now: Instant) {
        if self.flight.len() < self.limit {
            return self.start(due, now);
        }
        let row = self.rows.at(us(due - self.began));
        row.due += 1;
        row.dropped += 1;
        self.sum.due += 1;
        self.sum.dropped += 1;
    }

    fn start(&mut self, due: Instant, now: Instant) {
        let request = Request { number: self.sum.due, due };
        let counted_late = now.saturating_duration_since(due) > self.settings.late_after;
        let made = (self.request)(request);
        self.flight.spawn(async move {
            let started = Instant::now();
            let outcome = made.await;
            Ended { request, started, ended: Instant::now(), counted_late, outcome }
        });
        let in_flight = self.flight.len() as u64;
        let row = self.rows.at(us(due - self.began));
        row.due += 1;
        row.late += u64::from(counted_late);
        row.in_flight = row.in_flight.max(in_flight);
        self.sum.due += 1;
        self.sum.started += 1;
        self.sum.late += u64::from(counted_late);
        self.sum.max_in_flight = self.sum.max_in_flight.max(in_flight);
    }

    /// Counts a request that has ended.
    fn ended(&mut self, ended: Result<Ended, JoinError>) {
        self.sum.ended += 1;
        let Ok(Ended { request: Request { due, .. }, started, ended, counted_late, outcome }) = ended else {
            // What it was is lost with it, and so is when it was due.
            let now = Instant::now();
            self.last_end = self.last_end.max(now);
            self.sum.failed += 1;
            count(&mut self.sum.classes, PANICKED);
            self.rows.at(us(now - self.began)).failed += 1;
            self.source.freed(now - self.began);
            return;
        };
        self.last_end = self.last_end.max(ended);
        let (lag, latency) = (started.saturating_duration_since(due), us(ended.saturating_duration_since(due)));
        self.sum.lag.record(us(lag));
        count(&mut self.sum.classes, outcome.class);
        for (name, at) in outcome.marks {
            let marks = &mut self.sum.marks;
            if !marks.contains_key(name) {
                marks.insert(name.to_owned(), Default::default());
            }
            if let Some(histogram) = marks.get_mut(name) {
                histogram.record(us(at.saturating_duration_since(due)));
            }
        }
        let row_of_end = self.rows.at(us(ended - self.began));
        if outcome.ok {
            row_of_end.ok += 1;
            self.sum.ok += 1;
            self.sum.latency.record(latency);
            self.sum.from_start.record(us(ended - started));
        } else {
            row_of_end.failed += 1;
            self.sum.failed += 1;
            self.sum.failed_latency.record(latency);
        }
        let row_of_due = self.rows.at(us(due - self.began));
        if outcome.ok {
            row_of_due.latency.record(latency);
        }
        // It was started in time, and waited for its turn on a busy core.
        if lag > self.settings.late_after && !counted_late {
            row_of_due.late += 1;
            self.sum.late += 1;
        }
        self.source.freed(ended - self.began);
    }

    fn end(mut self, cpu_us: u64) -> Generated {
        // What has ended meanwhile is not given up.
        while let Some(ended) = self.flight.try_join_next() {
            self.ended(ended);
        }
        self.sum.unfinished = self.flight.len() as u64;
        let end = if self.sum.unfinished > 0 { Instant::now() } else { self.last_end };
        self.sum.took_us = us(end - self.began);
        self.sum.cpu_us = cpu_us;
        self.sum.rows = self.rows.end(self.sum.took_us);
        self.sum
    }
}

fn count(classes: &mut BTreeMap<String, u64>, class: &str) {
    match classes.get_mut(class) {
        Some(n) => *n += 1,
        None => drop(classes.insert(class.to_owned(), 1)),
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
