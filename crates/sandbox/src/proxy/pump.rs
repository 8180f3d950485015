//! One direction of one connection: read, scan, shape, write.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::count::Local;
use super::line::{Alarm, Line};
use super::log::Outcome;
use super::rule::{Cut, Direction, Effect, RuleId};
use super::scan::{Context, Scanner, Session, Step};
use super::shared::{Ending, Shared};
use super::snapshot::{Installed, Shape, Snapshot};

/// The buffer of a direction. Large, so that bulk data costs few system calls.
const BUFFER: usize = 256 * 1024;
/// The buffer that a connection starts with: most carry little.
const FIRST_BUFFER: usize = 16 * 1024;
/// After so many rounds without waiting the other direction has its turn.
const ROUNDS: u32 = 16;

/// How a pump ended.
#[derive(Debug)]
pub(super) enum Exit {
    /// The sender has ended its stream, and all of it was passed on.
    Eof,
    /// A rule ends the connection.
    Ended(Ending),
    /// A peer is gone.
    Broken(io::Error),
    /// The proxy is being closed.
    Stopped,
}

pub(super) struct Pump<'a> {
    shared: &'a Shared,
    link: u64,
    direction: Direction,
    from: &'a TcpStream,
    to: &'a TcpStream,
    session: &'a Mutex<Session>,
    scanner: Scanner,
    watch: watch::Receiver<Arc<Snapshot>>,
    snapshot: Arc<Snapshot>,
    shape: Shape,
    counts: Local,
    line: Line,
    alarm: Alarm,
    /// `start..flush` may go, `flush..end` is not understood yet.
    buffer: Vec<u8>,
    start: usize,
    flush: usize,
    end: usize,
    /// The scanner wants more than is there.
    starved: bool,
    /// Something was read since it was last told that all responses are forwarded.
    answers: bool,
    eof: bool,
    /// The stream did not end, it broke: what came ahead of that is forwarded first, as a network would.
    broken: Option<io::Error>,
    /// To be carried out when all that is ahead has been written.
    fire: Option<(Vec<Arc<Installed>>, String)>,
    ending: Option<Ending>,
    /// The bandwidth of this one body.
    slow_body: Option<u64>,
    /// Rules that cut after so many bytes more.
    budgets: Vec<(RuleId, u64)>,
    /// Rules that are known to have touched this connection.
    applied: BTreeSet<RuleId>,
}

/// What to wait for.
#[derive(Default)]
struct Wait {
    read: bool,
    write: bool,
    until: Option<Instant>,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        link: u64,
        direction: Direction,
        from: &'a TcpStream,
        to: &'a TcpStream,
        session: &'a Mutex<Session>,
    ) -> Self {
        let watch = shared.snapshot.subscribe();
        let snapshot = Arc::clone(&watch.borrow());
        let mut pump = Self {
            shared,
            link,
            direction,
            from,
            to,
            session,
            scanner: Scanner::new(shared.protocol, direction),
            watch,
            snapshot,
            shape: Shape::default(),
            counts: Local::default(),
            line: Line::new(shared.seed, link, direction),
            alarm: Alarm::default(),
            buffer: vec![0; FIRST_BUFFER],
            start: 0,
            flush: 0,
            end: 0,
            starved: true,
            answers: false,
            eof: false,
            broken: None,
            fire: None,
            ending: None,
            slow_body: None,
            budgets: Vec::new(),
            applied: BTreeSet::new(),
        };
        pump.reshape();
        pump
    }

    /// Until the direction or the connection ends.
    pub(super) async fn run(&mut self) -> Exit {
        let exit = self.pump().await;
        self.shared.counters.add(&mut self.counts);
        exit
    }

    async fn pump(&mut self) -> Exit {
        let mut rounds = 0;
        // It may have ended before this watch began.
        if self.shared.stop.is_cancelled() {
            return Exit::Stopped;
        }
        loop {
            if self.watch.has_changed().unwrap_or(false) {
                self.snapshot = Arc::clone(&self.watch.borrow_and_update());
                self.reshape();
                if self.shared.stop.is_cancelled() {
                    return Exit::Stopped;
                }
            }
            if let Some((rule, how)) = self.snapshot.cut(self.link) {
                let rule = Some(Arc::clone(rule));
                return Exit::Ended(Ending::new(rule, how, None, ""));
            }
            let wait = match self.round().await {
                Ok(wait) => wait,
                Err(exit) => return exit,
            };
            // Counts are told before anything is waited for, and not once a frame.
            self.shared.counters.add(&mut self.counts);
            rounds = if wait.is_some() { 0 } else { rounds + 1 };
            match wait {
                Some(wait) => {
                    if let Err(exit) = self.wait(wait).await {
                        return exit;
                    }
                }
                None if rounds >= ROUNDS => {
                    rounds = 0;
                    if self.shared.stop.is_cancelled() {
                        return Exit::Stopped;
                    }
                    tokio::task::yield_now().await;
                }
                None => {}
            }
        }
    }

    /// Does one thing that can be done now. Some: nothing can, but waiting.
    async fn round(&mut self) -> Result<Option<Wait>, Exit> {
        if let Some(rule) = self.shape.still.clone() {
            self.touched(&rule);
            return Ok(Some(Wait::default()));
        }
        let mut wait = Wait::default();
        if let Some((bytes, due)) = self.line.front() {
            if due > Instant::now() {
                wait.until = Some(due);
            } else {
                match try_write(self.to, bytes)? {
                    Some(n) => {
                        self.line.wrote(n);
                        self.count(n);
                        return Ok(None);
                    }
                    None => wait.write = true,
                }
            }
        }
        if self.start < self.flush {
            if !self.line.is_empty() || !self.plain() {
                if self.has_room() {
                    self.spill(false);
                    return Ok(None);
                }
            } else {
                match try_write(self.to, &self.buffer[self.start..self.flush])? {
                    Some(n) => {
                        self.start += n;
                        self.count(n);
                        return Ok(None);
                    }
                    None => wait.write = true,
                }
            }
            return Ok(Some(wait));
        }
        if self.fire.is_some() || self.ending.is_some() {
            if !self.line.is_empty() {
                return Ok(Some(wait));
            }
            self.act().await?;
            return Ok(None);
        }
        if !self.starved && (self.flush < self.end || self.eof) {
            if self.has_room() {
                self.scan();
                return Ok(None);
            }
            return Ok(Some(wait));
        }
        if self.eof {
            if self.flush < self.end {
                // The stream ended within a frame: what is there goes as it is.
                self.flush = self.end;
                return Ok(None);
            }
            if !self.line.is_empty() {
                return Ok(Some(wait));
            }
            return Err(self.broken.take().map_or(Exit::Eof, Exit::Broken));
        }
        if self.has_room() {
            if self.line.is_empty() {
                self.settle();
            }
            if self.read() {
                return Ok(None);
            }
            wait.read = true;
        }
        Ok(Some(wait))
    }

    async fn wait(&mut self, wait: Wait) -> Result<(), Exit> {
        tokio::select! {
            biased;
            // The end of the proxy is told by it, too.
            _ = self.watch.changed() => {
                self.watch.mark_changed();
                Ok(())
            }
            ready = self.to.writable(), if wait.write => ready.map_err(Exit::Broken),
            ready = self.from.readable(), if wait.read => ready.map_err(Exit::Broken),
            () = self.alarm.wait(wait.until), if wait.until.is_some() => Ok(()),
        }
    }

    /// Reads once. False: nothing is there.
    fn read(&mut self) -> bool {
        if self.start > 0 {
            self.buffer.copy_within(self.flush..self.end, 0);
            self.end -= self.flush;
            (self.start, self.flush) = (0, 0);
        }
        if self.end == self.buffer.len() {
            // Full of what is not understood (a long head), or of one read: both ask for more room.
            let larger = (self.buffer.len() * 4).min(BUFFER.max(self.end * 2));
            self.buffer.resize(larger, 0);
        }
        match try_read(self.from, &mut self.buffer[self.end..]) {
            Ok(0) => {
                self.eof = true;
                self.scanner.finish();
                self.starved = false;
            }
            Ok(n) => {
                self.end += n;
                self.starved = false;
                self.answers = true;
                if self.end == self.buffer.len() && self.buffer.len() < BUFFER {
                    self.buffer.resize(BUFFER, 0);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                self.eof = true;
                self.broken = Some(e);
            }
        }
        true
    }

    /// Lets the scanner go through what is there, up to where a rule acts.
    fn scan(&mut self) {
        let session = self.session;
        let mut session = super::lock(session);
        let plain = self.plain();
        loop {
            let mut cx = Context {
                snapshot: &self.snapshot,
                shape: &self.shape,
                session: &mut session,
                counts: &mut self.counts,
            };
            match self.scanner.next(&self.buffer[self.flush..self.end], &mut cx) {
                Step::Pass { bytes, body } => {
                    let allowed = self.within_budget(bytes);
                    self.flush += allowed;
                    if !plain {
                        self.spill(body);
                    }
                    if allowed < bytes || self.ending.is_some() {
                        return;
                    }
                    if !self.has_room() {
                        return;
                    }
                }
                Step::Skip(bytes) => {
                    self.spill(false);
                    self.start += bytes;
                    self.flush = self.start;
                }
                Step::Insert(bytes) => {
                    self.spill(false);
                    self.line.push(&bytes, false, Instant::now(), &self.shape);
                }
                Step::Fire(rules, detail) => {
                    self.fire = Some((rules, detail));
                    return;
                }
                Step::End => {
                    if self.slow_body.take().is_some() {
                        self.reshape();
                        return;
                    }
                }
                Step::Cut(rule, detail) => {
                    self.ending = Some(Ending::new(rule, Cut::Close, Some(self.direction), detail));
                    return;
                }
                Step::More => {
                    self.starved = true;
                    return;
                }
            }
        }
    }

    /// How many of these bytes may pass before a rule cuts the connection.
    fn within_budget(&mut self, bytes: usize) -> usize {
        let Some(least) = self.budgets.iter().map(|b| b.1).min() else { return bytes };
        let allowed = usize::try_from(least).unwrap_or(usize::MAX).min(bytes);
        for (id, left) in &mut self.budgets {
            *left -= allowed as u64;
            if *left == 0
                && let Some((rule, after, how)) = self.shape.cut_after.iter().find(|c| c.0.id == *id)
            {
                let detail = format!("after {after} bytes");
                let rule = Some(Arc::clone(rule));
                self.ending = Some(Ending::new(rule, *how, Some(self.direction), detail));
            }
        }
        allowed
    }

    /// Moves what may go into the delay line.
    fn spill(&mut self, body: bool) {
        if self.start < self.flush {
            self.line.push(&self.buffer[self.start..self.flush], body, Instant::now(), &self.shape);
            self.start = self.flush;
            if !self.shape.by.is_empty() {
                for rule in self.shape.by.clone() {
                    self.touched(&rule);
                }
            }
        }
    }

    /// Tells the session that the last response has been forwarded whole. Only when nothing is left to be written.
    fn settle(&mut self) {
        if std::mem::take(&mut self.answers) && self.scanner.is_between_answers() {
            super::lock(self.session).http.answered();
        }
    }

    /// Carries out what waited for all that was ahead to be written.
    async fn act(&mut self) -> Result<(), Exit> {
        self.settle();
        self.shared.counters.add(&mut self.counts);
        if let Some((rules, detail)) = self.fire.take() {
            let (of_body, rest): (Vec<_>, Vec<_>) = rules
                .into_iter()
                .partition(|r| matches!(r.rule.effect, Effect::Truncate { .. } | Effect::SlowBody { .. }));
            for rule in of_body {
                match rule.rule.effect {
                    Effect::SlowBody { bytes_per_second } => {
                        self.slow_body = Some(bytes_per_second);
                        self.reshape();
                        let (link, direction) = (Some(self.link), Some(self.direction));
                        self.shared.tell(&rule, Outcome::Fired, link, direction, detail.clone());
                    }
                    _ => self.scanner.truncate(&rule),
                }
            }
            if let Some(ending) = self.shared.fire(rest, self.link, Some(self.direction), &detail).await {
                return Err(Exit::Ended(ending));
            }
        }
        match self.ending.take() {
            Some(ending) => Err(Exit::Ended(ending)),
            None => Ok(()),
        }
    }

    /// Works out what the snapshot in force means here.
    fn reshape(&mut self) {
        self.shape = Shape::new(&self.snapshot, self.link, self.direction);
        if let Some(once) = self.slow_body {
            self.shape.slow_body = Some(self.shape.slow_body.map_or(once, |o| o.min(once)));
        }
        let cut_after = &self.shape.cut_after;
        self.budgets.retain(|(id, _)| cut_after.iter().any(|c| c.0.id == *id));
        for (rule, bytes, how) in cut_after {
            if self.budgets.iter().all(|b| b.0 != rule.id) {
                self.budgets.push((rule.id, *bytes));
                if *bytes == 0 {
                    let (rule, direction) = (Some(Arc::clone(rule)), Some(self.direction));
                    self.ending = Some(Ending::new(rule, *how, direction, "after 0 bytes"));
                }
            }
        }
    }

    /// Tells the log once that a rule has touched this connection.
    fn touched(&mut self, rule: &Installed) {
        if self.applied.insert(rule.id) {
            let (link, direction) = (Some(self.link), Some(self.direction));
            self.shared.tell(rule, Outcome::Applied, link, direction, String::new());
        }
    }

    fn plain(&self) -> bool {
        self.shape.plain()
    }

    fn has_room(&self) -> bool {
        self.line.is_empty() || (!self.plain() && self.line.has_room(&self.shape))
    }

    fn count(&mut self, bytes: usize) {
        let counts = self.counts.touch();
        match self.direction {
            Direction::Up => counts.bytes_up += bytes as u64,
            Direction::Down => counts.bytes_down += bytes as u64,
        }
    }
}

/// Reads once. A read that did not fill the buffer took all that was there: the kernel tells when more comes, so that
/// asking again for nothing, half of the system calls of a small frame, is left out.
fn try_read(from: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = None;
    let read = from.try_io(Interest::READABLE, || {
        let n = nix::unistd::read(from, buffer).map_err(io::Error::from)?;
        got = Some(n);
        // Marks the socket as empty. Not at the end of the stream, which is told only once.
        if (1..buffer.len()).contains(&n) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (got, read) {
        (Some(n), _) => Ok(n),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// None: there is no room in the peer's window.
fn try_write(to: &TcpStream, bytes: &[u8]) -> Result<Option<usize>, Exit> {
    match to.try_write(bytes) {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) => Ok(None),
        Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted) => Ok(Some(0)),
        Err(e) => Err(Exit::Broken(e)),
    }
}
