//! Moments on the wire: what a rule waits for, as text.
//!
//! `subject[(filter)]#occurrence[:phase]`, for example `commit#3:sent`, `batch(laps)#2:half`, `frame(bind)#12`,
//! `request(view_race)#5`, `response#5:half`. A missing occurrence is the first, a missing phase is `before`.

use std::fmt;
use std::str::FromStr;

use super::Protocol;

macro_rules! frames {
    ($(#[doc = $doc:literal])+ $name:ident: $($(#[doc = $vdoc:literal])+ $variant:ident = $text:literal $(, $tag:literal)?;)+) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)+ }

        impl $name {
            /// Every kind.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The name used in moments.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// The kind of a typed message, by its first byte.
            #[must_use]
            pub fn of_tag(tag: u8) -> $name {
                match tag { $($($tag => $name::$variant,)?)+ _ => $name::Other }
            }
        }
    };
}

frames! {
    /// A PostgreSQL message that a client sends (protocol 3.0, "Message Formats").
    Front:
    /// The startup packet.
    Startup = "startup";
    /// The question whether TLS can be had.
    SslRequest = "ssl-request";
    /// The question whether GSSAPI encryption can be had.
    GssEncRequest = "gssenc-request";
    /// The packet that cancels another connection's statement.
    CancelRequest = "cancel-request";
    /// Bind.
    Bind = "bind", b'B';
    /// Close of a statement or portal.
    Close = "close", b'C';
    /// CopyData from the client.
    CopyData = "copy-data", b'd';
    /// CopyDone.
    CopyDone = "copy-done", b'c';
    /// CopyFail.
    CopyFail = "copy-fail", b'f';
    /// Describe.
    Describe = "describe", b'D';
    /// Execute.
    Execute = "execute", b'E';
    /// Flush.
    Flush = "flush", b'H';
    /// FunctionCall.
    FunctionCall = "function-call", b'F';
    /// Parse.
    Parse = "parse", b'P';
    /// PasswordMessage, SASL and GSS responses.
    Password = "password", b'p';
    /// Query (the simple protocol).
    Query = "query", b'Q';
    /// Sync.
    Sync = "sync", b'S';
    /// Terminate.
    Terminate = "terminate", b'X';
    /// A type that is not known here.
    Other = "other";
}

frames! {
    /// A PostgreSQL message that a server sends.
    Back:
    /// Every Authentication… message.
    Authentication = "authentication", b'R';
    /// BackendKeyData.
    BackendKeyData = "backend-key-data", b'K';
    /// BindComplete.
    BindComplete = "bind-complete", b'2';
    /// CloseComplete.
    CloseComplete = "close-complete", b'3';
    /// CommandComplete.
    CommandComplete = "command-complete", b'C';
    /// CopyData from the server.
    CopyData = "copy-data", b'd';
    /// CopyDone.
    CopyDone = "copy-done", b'c';
    /// CopyInResponse.
    CopyInResponse = "copy-in-response", b'G';
    /// CopyOutResponse.
    CopyOutResponse = "copy-out-response", b'H';
    /// CopyBothResponse.
    CopyBothResponse = "copy-both-response", b'W';
    /// DataRow.
    DataRow = "data-row", b'D';
    /// EmptyQueryResponse.
    EmptyQueryResponse = "empty-query-response", b'I';
    /// ErrorResponse.
    ErrorResponse = "error-response", b'E';
    /// FunctionCallResponse.
    FunctionCallResponse = "function-call-response", b'V';
    /// NegotiateProtocolVersion.
    NegotiateProtocolVersion = "negotiate-protocol-version", b'v';
    /// NoData.
    NoData = "no-data", b'n';
    /// NoticeResponse.
    NoticeResponse = "notice-response", b'N';
    /// NotificationResponse.
    NotificationResponse = "notification-response", b'A';
    /// ParameterDescription.
    ParameterDescription = "parameter-description", b't';
    /// ParameterStatus.
    ParameterStatus = "parameter-status", b'S';
    /// ParseComplete.
    ParseComplete = "parse-complete", b'1';
    /// PortalSuspended.
    PortalSuspended = "portal-suspended", b's';
    /// ReadyForQuery.
    ReadyForQuery = "ready-for-query", b'Z';
    /// RowDescription.
    RowDescription = "row-description", b'T';
    /// A type that is not known here.
    Other = "other";
}

/// Where within its subject a moment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before its first byte is forwarded.
    Before,
    /// When half of its bytes are forwarded. (HTTP: of its body; of a chunked body, of its first chunk.)
    Half,
    /// When its last byte is forwarded.
    After,
    /// COMMIT was forwarded and the server has answered; nothing of the answer was passed on.
    Sent,
    /// The CommandComplete that answers COMMIT was passed on, ReadyForQuery was not.
    Complete,
    /// The ReadyForQuery that follows COMMIT was passed on.
    Ready,
}

impl Phase {
    /// Every phase.
    pub const ALL: &'static [Phase] = &[Self::Before, Self::Half, Self::After, Self::Sent, Self::Complete, Self::Ready];

    /// The name used in moments.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Half => "half",
            Self::After => "after",
            Self::Sent => "sent",
            Self::Complete => "complete",
            Self::Ready => "ready",
        }
    }
}

/// What a moment is a moment of. Occurrences are counted over all connections, from when the rule was added.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A connection accepted, nothing of it forwarded (`connect`).
    Connect,
    /// A COMMIT, simple or extended (`commit`). One hidden in a string of several statements is not seen.
    Commit,
    /// A message of a PostgreSQL client, of one kind or any (`frame`, `frame(bind)`).
    Frame(Option<Front>),
    /// A message of a PostgreSQL server, of one kind or any (`reply`, `reply(error-response)`).
    Reply(Option<Back>),
    /// A message that carries rows into a table: Query or Bind of an INSERT or MERGE, each CopyData from the client
    /// (`batch`, `batch(laps)`: by the table's name without its schema).
    Batch(Option<String>),
    /// An HTTP request, any or those whose target contains the filter (`request`, `request(view_race)`).
    Request(Option<String>),
    /// The final HTTP response to the so counted request (`response`, `response(view_race)`).
    Response(Option<String>),
}

impl Subject {
    const NAMES: &'static str = "connect, commit, frame, reply, batch, request, response";

    fn name(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Commit => "commit",
            Self::Frame(_) => "frame",
            Self::Reply(_) => "reply",
            Self::Batch(_) => "batch",
            Self::Request(_) => "request",
            Self::Response(_) => "response",
        }
    }

    fn filter(&self) -> Option<&str> {
        match self {
            Self::Connect | Self::Commit => None,
            Self::Frame(kind) => kind.map(Front::name),
            Self::Reply(kind) => kind.map(Back::name),
            Self::Batch(text) | Self::Request(text) | Self::Response(text) => text.as_deref(),
        }
    }

    /// The phases that it has.
    #[must_use]
    pub fn phases(&self) -> &'static [Phase] {
        match self {
            Self::Connect => &[Phase::Before],
            Self::Commit => &[Phase::Before, Phase::Sent, Phase::Complete, Phase::Ready],
            _ => &[Phase::Before, Phase::Half, Phase::After],
        }
    }

    /// The protocol that it belongs to; none: any.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Connect => None,
            Self::Commit | Self::Frame(_) | Self::Reply(_) | Self::Batch(_) => Some(Protocol::Postgres),
            Self::Request(_) | Self::Response(_) => Some(Protocol::Http),
        }
    }
}

/// A moment on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Of what.
    pub subject: Subject,
    /// Which one, from 1, counted from when the rule was added.
    pub occurrence: u64,
    /// Where within it.
    pub phase: Phase,
}

/// Text that names no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// The subject is unknown.
    #[error("`{0}` is no wire moment: it must begin with one of {names}", names = Subject::NAMES)]
    Subject(String),
    /// A filter where there is none, an empty one, or a bracket that does not close.
    #[error("the filter of `{0}` cannot be read: write it as in `batch(laps)#2`; connect and commit have none")]
    Filter(String),
    /// A kind of message that does not exist.
    #[error("`{0}` is no kind of message; known are {1}")]
    Kind(String, String),
    /// The occurrence is no positive number.
    #[error("the occurrence in `{0}` is no number from 1 up")]
    Occurrence(String),
    /// The phase does not exist for this subject.
    #[error("`{phase}` is no phase of `{subject}`; its phases are {known}")]
    Phase {
        /// What was asked for.
        phase: String,
        /// Of what.
        subject: &'static str,
        /// What there is.
        known: String,
    },
}

fn kind<K: Copy>(text: &str, all: &[K], name: fn(K) -> &'static str) -> Result<K, MomentError> {
    all.iter()
        .copied()
        .find(|k| name(*k) == text)
        .ok_or_else(|| MomentError::Kind(text.to_owned(), all.iter().map(|k| name(*k)).collect::<Vec<_>>().join(", ")))
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad_filter = || MomentError::Filter(text.to_owned());
        // A filter may hold `#`, `:` and brackets of its own (it is part of a URL): it ends at the last bracket.
        let (name, filter, rest) = match text.find(['(', '#', ':']) {
            Some(open) if text[open..].starts_with('(') => {
                let close = text.rfind(')').filter(|c| *c > open + 1).ok_or_else(bad_filter)?;
                (&text[..open], Some(&text[open + 1..close]), &text[close + 1..])
            }
            Some(at) => (&text[..at], None, &text[at..]),
            None => (text, None, ""),
        };
        let own = filter.map(str::to_owned);
        let subject = match (name, filter) {
            ("connect", None) => Subject::Connect,
            ("commit", None) => Subject::Commit,
            ("connect" | "commit", Some(_)) => return Err(bad_filter()),
            ("frame", _) => Subject::Frame(filter.map(|f| kind(f, Front::ALL, Front::name)).transpose()?),
            ("reply", _) => Subject::Reply(filter.map(|f| kind(f, Back::ALL, Back::name)).transpose()?),
            ("batch", _) => Subject::Batch(own),
            ("request", _) => Subject::Request(own),
            ("response", _) => Subject::Response(own),
            _ => return Err(MomentError::Subject(text.to_owned())),
        };
        let (count, phase) = match rest.split_once(':') {
            Some((count, phase)) => (count, Some(phase)),
            None => (rest, None),
        };
        let occurrence = match count.strip_prefix('#') {
            None if count.is_empty() => 1,
            Some(n) => n.parse().ok().filter(|n| *n > 0).ok_or_else(|| MomentError::Occurrence(text.to_owned()))?,
            None => return Err(MomentError::Occurrence(text.to_owned())),
        };
        let phase = match phase {
            None => Phase::Before,
            Some(p) => subject.phases().iter().copied().find(|known| known.name() == p).ok_or_else(|| {
                let known = subject.phases().iter().map(|p| p.name()).collect::<Vec<_>>().join(", ");
                MomentError::Phase { phase: p.to_owned(), subject: subject.name(), known }
            })?,
        };
        Ok(Self { subject, occurrence, phase })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.subject.name())?;
        if let Some(filter) = self.subject.filter() {
            write!(f, "({filter})")?;
        }
        write!(f, "#{}", self.occurrence)?;
        if self.phase == Phase::Before && self.subject != Subject::Commit {
            Ok(())
        } else {
            write!(f, ":{}", self.phase.name())
        }
    }
}

impl serde::Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "commit#3:sent",
            "commit#1:before",
            "commit#2:complete",
            "commit#2:ready",
            "connect#4",
            "frame#12",
            "frame(bind)#2:half",
            "reply(error-response)#1:after",
            "batch#2:half",
            "batch(laps)#2:half",
            "request#5",
            "response#5:half",
            "request(/?p=view(1)#x:y)#7:after",
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.to_string(), text);
            assert_eq!(serde_json::from_str::<Moment>(&serde_json::to_string(&moment).unwrap()).unwrap(), moment);
        }
        assert_eq!("request".parse::<Moment>().unwrap().to_string(), "request#1");
        assert_eq!("commit#2".parse::<Moment>().unwrap().to_string(), "commit#2:before");
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_choices() {
        let refused = |text: &str| text.parse::<Moment>().unwrap_err().to_string();
        assert!(refused("comit#1").contains("commit, frame"));
        assert!(refused("commit#0").contains("from 1"));
        assert!(refused("commit3").contains("must begin"));
        assert!(refused("batch#x").contains("from 1"));
        assert!(refused("commit#1:half").contains("before, sent, complete, ready"));
        assert!(refused("frame(blind)#1").contains("bind"));
        assert!(refused("commit(x)#1").contains("filter"));
        assert!(refused("batch(laps#1").contains("filter"));
        assert!(refused("batch()#1").contains("filter"));
    }
}
