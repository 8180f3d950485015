//! Cutting the body of a response short, in the three forms in which that can happen.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::rule::{Effect, Keep, Truncation};
use super::super::snapshot::Installed;
use super::Step;
use super::body::{Body, Head, Part, reframed};

/// What `Content-Length` promises of a body that declared no length.
const PROMISE: u64 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Truncating {
    rule: Arc<Installed>,
    ready: VecDeque<Step>,
    body: Body,
    keep: Keep,
    /// Content still to pass; none: known when the first chunk is.
    left: Option<u64>,
    passed: u64,
    /// The framing that the response came with is dropped.
    reframed: bool,
    /// The content goes out as one chunk, whose head is still to be written.
    chunk_head: bool,
    said: String,
}

impl Truncating {
    /// None: this response cannot be truncated in this form, because it has no more than what is to be kept.
    pub(super) fn new(rule: &Arc<Installed>, head: &Head<'_>, body: Body, said: String) -> Option<Self> {
        let Effect::Truncate { form, keep } = rule.rule.effect else { return None };
        let left = match (keep, body) {
            (Keep::Bytes(n), _) => Some(n),
            (Keep::Percent(p), Body::Length(n)) => Some(share(n, p)),
            (Keep::Percent(_), Body::ChunkSize) => None,
            (Keep::Percent(_), _) => Some(0),
        };
        if body.declared().is_some_and(|n| left.is_none_or(|left| left >= n)) {
            return None;
        }
        let framing = match (form, body) {
            (Truncation::ShortLength, Body::Length(_))
            | (Truncation::UnterminatedChunks, Body::ChunkSize)
            | (Truncation::NoLength, Body::UntilClose) => None,
            (Truncation::ShortLength, _) => {
                Some(Some(format!("content-length: {}", left.unwrap_or(0).saturating_add(PROMISE))))
            }
            (Truncation::UnterminatedChunks, _) => Some(Some("transfer-encoding: chunked".to_owned())),
            (Truncation::NoLength, _) => Some(None),
        };
        let ready = match &framing {
            None => VecDeque::from([Step::Pass { bytes: head.bytes.len(), body: false }]),
            Some(line) => {
                VecDeque::from([Step::Skip(head.bytes.len()), Step::Insert(reframed(head.bytes, line.clone()))])
            }
        };
        let chunk_head = framing.is_some() && form == Truncation::UnterminatedChunks;
        Some(Self {
            rule: Arc::clone(rule),
            ready,
            body,
            keep,
            left,
            passed: 0,
            reframed: framing.is_some(),
            chunk_head,
            said,
        })
    }

    pub(super) fn finish(&mut self) {
        if self.body == Body::UntilClose {
            self.body = Body::Over;
        }
    }

    /// The next step; none: the response came whole and as it was.
    pub(super) fn next(&mut self, input: &[u8]) -> Option<Step> {
        if let Some(step) = self.ready.pop_front() {
            return Some(step);
        }
        if self.left == Some(0) {
            let detail = format!("cut after {} bytes of the body of {}", self.passed, self.said);
            return Some(Step::Cut(Some(Arc::clone(&self.rule)), detail));
        }
        match self.body.next(input) {
            Part::More => Some(Step::More),
            Part::Framing(n) if self.reframed => Some(Step::Skip(n)),
            Part::Framing(bytes) => Some(Step::Pass { bytes, body: false }),
            Part::End | Part::Bad => self.reframed.then(|| Step::Cut(None, self.said.clone())),
            Part::Data(there) => {
                let left = match (self.left, self.keep) {
                    (Some(left), _) => left,
                    (None, Keep::Percent(p)) => share(self.body.declared().unwrap_or(0), p),
                    (None, Keep::Bytes(n)) => n,
                };
                if std::mem::take(&mut self.chunk_head) {
                    self.left = Some(left);
                    return Some(Step::Insert(format!("{left:x}\r\n").into_bytes()));
                }
                let n = left.min(there as u64);
                self.left = Some(left - n);
                if n == 0 {
                    return self.next(input);
                }
                self.body.took(n);
                self.passed += n;
                Some(Step::Pass { bytes: usize::try_from(n).unwrap_or(there), body: true })
            }
        }
    }
}

fn share(n: u64, percent: u8) -> u64 {
    u64::try_from(u128::from(n) * u128::from(percent) / 100).unwrap_or(n)
}
