//! HTTP/1.1 in both directions: requests, the responses to them, and where their bodies end.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::moment::Phase;
use super::super::snapshot::{Hit, Installed, Sighting, take};
use super::body::{Body, HeadError, Part, head};
use super::truncate::Truncating;
use super::{Context, Step, go_opaque};

/// A request that the server owes a response to.
#[derive(Debug)]
struct Exchange {
    /// Its response has no body, whatever its head says.
    head_only: bool,
    hits: Vec<Hit>,
    said: String,
}

#[derive(Debug, Default)]
pub(in super::super) struct Session {
    owed: VecDeque<Exchange>,
    /// The request whose response is on its way to the client.
    answering: Option<String>,
}

impl Session {
    /// The response that was on its way has been forwarded whole.
    pub(in super::super) fn answered(&mut self) {
        self.answering = None;
    }

    /// Requests whose response the client did not get whole.
    pub(in super::super) fn not_answered(&self) -> impl Iterator<Item = &str> {
        self.answering.iter().chain(self.owed.iter().map(|exchange| &exchange.said)).map(String::as_str)
    }
}

/// A message behind its head.
#[derive(Debug)]
struct Message {
    /// Bytes of the head that are still to pass.
    head: usize,
    body: Body,
    half: Vec<Arc<Installed>>,
    until_half: Option<u64>,
    after: Vec<Arc<Installed>>,
    said: String,
    /// Its end was seen.
    over: bool,
}

impl Message {
    fn new(head: usize, body: Body, hits: &mut Vec<Hit>, said: String) -> Self {
        let until_half = match body {
            Body::ChunkSize => None,
            Body::Length(n) => Some(n / 2),
            _ => Some(0),
        };
        Self {
            head,
            body,
            half: take(hits, Phase::Half),
            until_half,
            after: take(hits, Phase::After),
            said,
            over: false,
        }
    }

    /// The next step; none: the message is over.
    fn next(&mut self, input: &[u8], cx: &mut Context<'_>) -> Option<Step> {
        if self.head > 0 {
            return Some(if input.is_empty() {
                Step::More
            } else {
                let bytes = self.head.min(input.len());
                self.head -= bytes;
                Step::Pass { bytes, body: false }
            });
        }
        let part = self.body.next(input);
        if !self.half.is_empty() {
            if let (None, Body::Chunk(n)) = (self.until_half, self.body) {
                self.until_half = Some(n / 2);
                // The size line that was just read belongs to what is forwarded ahead.
            }
            if self.until_half == Some(0) && !matches!(part, Part::Framing(_)) {
                return Some(Step::Fire(std::mem::take(&mut self.half), self.said.clone()));
            }
        }
        match part {
            Part::More => Some(Step::More),
            Part::Bad => Some(go_opaque(input, cx)),
            Part::Framing(bytes) => Some(Step::Pass { bytes, body: false }),
            Part::Data(there) => {
                let mut bytes = there as u64;
                if let (Some(until), false) = (&mut self.until_half, self.half.is_empty()) {
                    bytes = bytes.min(*until);
                    *until -= bytes;
                }
                self.body.took(bytes);
                Some(Step::Pass { bytes: usize::try_from(bytes).unwrap_or(there), body: true })
            }
            Part::End if self.after.is_empty() => None,
            Part::End => {
                self.over = true;
                Some(Step::Fire(std::mem::take(&mut self.after), self.said.clone()))
            }
        }
    }
}

/// Client to server.
#[derive(Debug, Default)]
pub(in super::super) struct Up {
    message: Option<Message>,
    /// The target of a request of which nothing was forwarded yet. What acts on its response is looked up when it goes on: a rule
    /// that is added while it stands still may be for that.
    announced: Option<String>,
}

impl Up {
    pub(super) fn next(&mut self, input: &[u8], cx: &mut Context<'_>) -> Step {
        loop {
            if let Some(target) = self.announced.take()
                && let Some(owed) = cx.session.http.owed.back_mut()
            {
                cx.snapshot.sight(Sighting::Response(&target), &mut owed.hits);
            }
            if let Some(message) = &mut self.message {
                if let Some(step) = message.next(input, cx) {
                    return step;
                }
                self.message = None;
            }
            if input.is_empty() {
                return Step::More;
            }
            let head = match head(input) {
                Ok(head) => head,
                Err(HeadError::Short) => return Step::More,
                Err(HeadError::Bad) => return go_opaque(input, cx),
            };
            let mut words = head.start.split(' ');
            let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
                return go_opaque(input, cx);
            };
            if !version.starts_with("HTTP/1.") || method == "CONNECT" {
                return go_opaque(input, cx);
            }
            let counts = cx.counts.touch();
            counts.requests += 1;
            counts.targets.push(target.to_owned());
            let said = format!("{method} {target}");
            let mut hits = Vec::new();
            cx.snapshot.sight(Sighting::Request(target), &mut hits);
            let head_only = method == "HEAD";
            cx.session.http.owed.push_back(Exchange { head_only, hits: Vec::new(), said: said.clone() });
            self.announced = Some(target.to_owned());
            let before = take(&mut hits, Phase::Before);
            let body = if head.chunked { Body::ChunkSize } else { head.length.map_or(Body::Over, Body::Length) };
            self.message = Some(Message::new(head.bytes.len(), body, &mut hits, said.clone()));
            if !before.is_empty() {
                return Step::Fire(before, said);
            }
        }
    }
}

/// Server to client.
#[derive(Debug, Default)]
pub(in super::super) struct Down {
    message: Option<Message>,
    /// The next body is to be cut by this rule.
    cut_next: Option<Arc<Installed>>,
    truncating: Option<Truncating>,
    interim: bool,
    upgraded: bool,
    /// The response whose rules ahead of it have been carried out already.
    begun: bool,
}

impl Down {
    pub(super) fn truncate(&mut self, rule: &Arc<Installed>) {
        self.cut_next = Some(Arc::clone(rule));
    }

    /// Whether all that came has been seen to the end of a response.
    pub(super) fn is_between_answers(&self) -> bool {
        self.truncating.is_none() && self.message.as_ref().is_none_or(|message| message.over)
    }

    pub(super) fn finish(&mut self) {
        if let Some(message) = &mut self.message
            && message.body == Body::UntilClose
        {
            message.body = Body::Over;
        }
        if let Some(truncating) = &mut self.truncating {
            truncating.finish();
        }
    }

    pub(super) fn next(&mut self, input: &[u8], cx: &mut Context<'_>) -> Step {
        loop {
            if let Some(truncating) = &mut self.truncating {
                if let Some(step) = truncating.next(input) {
                    return step;
                }
                self.truncating = None;
                return Step::End;
            }
            if let Some(message) = &mut self.message {
                if let Some(step) = message.next(input, cx) {
                    return step;
                }
                self.message = None;
                if std::mem::take(&mut self.upgraded) {
                    return go_opaque(input, cx);
                }
                if !std::mem::take(&mut self.interim) {
                    return Step::End;
                }
            }
            if input.is_empty() {
                return Step::More;
            }
            if let Some(step) = self.response(input, cx) {
                return step;
            }
        }
    }

    /// Recognises the response that begins here.
    fn response(&mut self, input: &[u8], cx: &mut Context<'_>) -> Option<Step> {
        let head = match head(input) {
            Ok(head) => head,
            Err(HeadError::Short) => return Some(Step::More),
            Err(HeadError::Bad) => return Some(go_opaque(input, cx)),
        };
        let mut words = head.start.splitn(3, ' ');
        let version = words.next().is_some_and(|v| v.starts_with("HTTP/1."));
        let Some(status) = words.next().and_then(|s| s.parse::<u16>().ok()).filter(|_| version) else {
            return Some(go_opaque(input, cx));
        };
        if (100..200).contains(&status) {
            self.interim = true;
            self.upgraded = status == 101;
            self.message = Some(Message::new(head.bytes.len(), Body::Over, &mut Vec::new(), String::new()));
            return None;
        }
        // The rules that act ahead of a response may say how it is to be forwarded: they come first, then this again.
        if !std::mem::replace(&mut self.begun, true)
            && let Some(owed) = cx.session.http.owed.front_mut()
        {
            let before = take(&mut owed.hits, Phase::Before);
            if !before.is_empty() {
                return Some(Step::Fire(before, format!("{status} to {}", owed.said)));
            }
        }
        self.begun = false;
        let counts = cx.counts.touch();
        counts.responses += 1;
        counts.responses_failed += u64::from(status >= 400);
        let (head_only, mut hits, said) = cx
            .session
            .http
            .owed
            .pop_front()
            .map_or((false, Vec::new(), String::new()), |x| (x.head_only, x.hits, x.said));
        cx.session.http.answering = Some(said.clone());
        let said = format!("{status} to {said}");
        let body = if head_only || status == 204 || status == 304 {
            Body::Over
        } else if head.chunked {
            Body::ChunkSize
        } else {
            head.length.map_or(Body::UntilClose, Body::Length)
        };
        if let Some(rule) = self.cut_next.take().or_else(|| cx.shape.truncate.clone()) {
            match Truncating::new(&rule, &head, body, said.clone()) {
                Some(truncating) => {
                    self.truncating = Some(truncating);
                    return None;
                }
                None => tracing::warn!(rule = rule.id.0, response = said, "this body is too short to be truncated so"),
            }
        }
        self.message = Some(Message::new(head.bytes.len(), body, &mut hits, said));
        None
    }
}
