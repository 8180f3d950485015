//! Reads the stream of one direction as frames, without I/O: told the bytes that are there, a scanner says how many may
//! pass and where a rule acts. What it has not understood yet it holds back; it never needs more than a frame's first
//! [`PEEK`] bytes (of HTTP: a head), so that frames of any size stream through.

mod body;
mod http;
mod postgres;
mod sql;
#[cfg(test)]
mod tests;
mod truncate;

use std::sync::Arc;

use super::Protocol;
use super::count::Local;
use super::rule::Direction;
use super::snapshot::{Hit, Installed, Shape, Snapshot};

/// How far into a PostgreSQL message a scanner looks.
pub(super) const PEEK: usize = 1024;

/// What is to be done next with the bytes that are there.
#[derive(Debug)]
pub(super) enum Step {
    /// Forward so many of them (at least one).
    Pass { bytes: usize, body: bool },
    /// Drop so many of them: framing that is being rewritten.
    Skip(usize),
    /// Forward these, which the peer did not send.
    Insert(Vec<u8>),
    /// Carry these rules out before anything more is forwarded.
    Fire(Vec<Arc<Installed>>, String),
    /// A response ended.
    End,
    /// Close the connection: by this rule the body has been cut; or none, it came whole, in another framing.
    Cut(Option<Arc<Installed>>, String),
    /// Nothing, until more bytes are there.
    More,
}

/// What both directions of a connection know together.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) postgres: postgres::Session,
    pub(super) http: http::Session,
    /// From here on the content cannot be read.
    pub(super) opaque: bool,
}

/// What a scanner looks at besides the bytes.
pub(super) struct Context<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) shape: &'a Shape,
    pub(super) session: &'a mut Session,
    pub(super) counts: &'a mut Local,
}

pub(super) enum Scanner {
    PostgresUp(postgres::Up),
    PostgresDown(postgres::Down),
    HttpUp(http::Up),
    HttpDown(http::Down),
}

impl Scanner {
    pub(super) fn new(protocol: Protocol, direction: Direction) -> Self {
        match (protocol, direction) {
            (Protocol::Postgres, Direction::Up) => Self::PostgresUp(postgres::Up::default()),
            (Protocol::Postgres, Direction::Down) => Self::PostgresDown(postgres::Down::default()),
            (Protocol::Http, Direction::Up) => Self::HttpUp(http::Up::default()),
            (Protocol::Http, Direction::Down) => Self::HttpDown(http::Down::default()),
        }
    }

    pub(super) fn next(&mut self, input: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.session.opaque {
            return if input.is_empty() { Step::More } else { Step::Pass { bytes: input.len(), body: false } };
        }
        match self {
            Self::PostgresUp(scanner) => scanner.next(input, cx),
            Self::PostgresDown(scanner) => scanner.next(input, cx),
            Self::HttpUp(scanner) => scanner.next(input, cx),
            Self::HttpDown(scanner) => scanner.next(input, cx),
        }
    }

    /// The peer has ended its stream: a body that only this delimits is whole.
    pub(super) fn finish(&mut self) {
        if let Self::HttpDown(scanner) = self {
            scanner.finish();
        }
    }

    /// Whether it reads responses and has seen the last one to its end.
    pub(super) fn is_between_answers(&self) -> bool {
        matches!(self, Self::HttpDown(scanner) if scanner.is_between_answers())
    }

    /// From now on this response's body is cut short, as the rule says.
    pub(super) fn truncate(&mut self, rule: &Arc<Installed>) {
        if let Self::HttpDown(scanner) = self {
            scanner.truncate(rule);
        }
    }
}

/// The content of this connection cannot be read (any more).
fn go_opaque(input: &[u8], cx: &mut Context<'_>) -> Step {
    if !cx.session.opaque {
        cx.session.opaque = true;
        cx.counts.touch().opaque += 1;
    }
    if input.is_empty() { Step::More } else { Step::Pass { bytes: input.len(), body: false } }
}

/// A run of bytes that passes, with the rules that act halfway through and behind it.
#[derive(Debug, Default)]
struct Run {
    left: u64,
    until_half: u64,
    half: Vec<Arc<Installed>>,
    after: Vec<Arc<Installed>>,
    detail: String,
}

impl Run {
    /// A run of so many bytes, all still to come, with what was hit.
    fn new(bytes: u64, hits: &mut Vec<Hit>, last: super::moment::Phase) -> Self {
        use super::moment::Phase;
        Self {
            left: bytes,
            until_half: bytes / 2,
            half: super::snapshot::take(hits, Phase::Half),
            after: super::snapshot::take(hits, last),
            detail: String::new(),
        }
    }

    /// The next step; none: it is over.
    fn next(&mut self, available: usize, body: bool) -> Option<Step> {
        if !self.half.is_empty() {
            return Some(match pass(self.until_half, available, body) {
                Some((step, n)) => {
                    self.until_half -= n;
                    self.left -= n;
                    step
                }
                None => Step::Fire(std::mem::take(&mut self.half), self.detail.clone()),
            });
        }
        match pass(self.left, available, body) {
            Some((step, n)) => {
                self.left -= n;
                Some(step)
            }
            None if self.after.is_empty() => None,
            None => Some(Step::Fire(std::mem::take(&mut self.after), self.detail.clone())),
        }
    }
}

/// As much of `want` as is there; none: nothing is wanted.
fn pass(want: u64, available: usize, body: bool) -> Option<(Step, u64)> {
    if want == 0 {
        return None;
    }
    let n = usize::try_from(want).unwrap_or(usize::MAX).min(available);
    Some((if n == 0 { Step::More } else { Step::Pass { bytes: n, body } }, n as u64))
}
