//! PostgreSQL's protocol 3.0 in both directions: what a frame is, which reply answers which COMMIT.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::super::moment::{Back, Front, Phase};
use super::super::snapshot::{Hit, Installed, Sighting, take};
use super::sql::{Statement, classify};
use super::{Context, PEEK, Run, Step, go_opaque};

/// The largest message that PostgreSQL itself accepts; a longer one means that this is no PostgreSQL.
const LONGEST: u32 = 0x4000_0000;
/// The largest startup packet (`MAX_STARTUP_PACKET_LENGTH`).
const LONGEST_STARTUP: u32 = 10_000;
/// Names beyond so many are not followed: nobody prepares that many COMMITs.
const NAMES: usize = 10_000;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// What the server owes the client.
#[derive(Debug)]
enum Owed {
    /// The replies to a Query (or FunctionCall), up to ReadyForQuery.
    Query(Vec<Hit>),
    /// The replies to an Execute.
    Execute(Vec<Hit>),
    /// ReadyForQuery.
    Sync,
}

#[derive(Debug, Default)]
pub(in super::super) struct Session {
    owed: VecDeque<Owed>,
    /// The rules that act after the next ReadyForQuery.
    awaiting_ready: Vec<Arc<Installed>>,
    /// The client asked for encryption and the server owes one byte.
    encryption_asked: bool,
    /// The table that CopyData goes to.
    copy_table: Option<Arc<str>>,
    /// The server takes CopyData, and ignores Sync.
    copying: bool,
    /// Statements and portals that matter, by name.
    statements: HashMap<Vec<u8>, Statement>,
    portals: HashMap<Vec<u8>, Statement>,
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, b| n << 8 | u32::from(*b))
}

/// The text up to the next zero byte, and what follows it. A text that does not end is all there is.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|b| *b == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Client to server.
#[derive(Debug, Default)]
pub(in super::super) struct Up {
    started: bool,
    run: Option<Run>,
}

impl Up {
    pub(super) fn next(&mut self, input: &[u8], cx: &mut Context<'_>) -> Step {
        loop {
            if let Some(run) = &mut self.run {
                if let Some(step) = run.next(input.len(), false) {
                    return step;
                }
                self.run = None;
            }
            let before = match self.frame(input, cx) {
                Ok(before) => before,
                Err(step) => return step,
            };
            if !before.is_empty() {
                let detail = self.run.as_ref().map(|r| r.detail.clone()).unwrap_or_default();
                return Step::Fire(before, detail);
            }
        }
    }

    /// Recognises the frame that begins here. Ok: the rules that act ahead of it.
    fn frame(&mut self, input: &[u8], cx: &mut Context<'_>) -> Result<Vec<Arc<Installed>>, Step> {
        let header = if self.started { 5 } else { 8 };
        if input.len() < header {
            // A TLS handshake without asking first begins with this byte.
            return Err(if !self.started && input.first() == Some(&0x16) { go_opaque(input, cx) } else { Step::More });
        }
        let mut hits = Vec::new();
        let (total, kind, detail);
        if self.started {
            let length = be32(&input[1..]);
            if !(4..=LONGEST).contains(&length) {
                return Err(go_opaque(input, cx));
            }
            total = u64::from(length) + 1;
            let tag = Front::of_tag(input[0]);
            kind = tag;
            let want = usize::try_from(total).unwrap_or(PEEK).min(PEEK);
            let looks = matches!(tag, Front::Query | Front::Parse | Front::Bind | Front::Execute | Front::Close);
            if looks && input.len() < want {
                return Err(Step::More);
            }
            let payload = &input[5..want.min(input.len()).max(5)];
            detail = typed(tag, payload, &mut hits, cx);
        } else {
            let length = be32(input);
            if !(8..=LONGEST_STARTUP).contains(&length) {
                return Err(go_opaque(input, cx));
            }
            total = u64::from(length);
            kind = match be32(&input[4..]) {
                SSL_REQUEST => Front::SslRequest,
                GSSENC_REQUEST => Front::GssEncRequest,
                CANCEL_REQUEST => Front::CancelRequest,
                version if version >> 16 == 3 => Front::Startup,
                _ => return Err(go_opaque(input, cx)),
            };
            self.started = kind == Front::Startup;
            cx.session.postgres.encryption_asked = matches!(kind, Front::SslRequest | Front::GssEncRequest);
            detail = String::new();
        }
        cx.counts.touch().frames_up += 1;
        cx.snapshot.sight(Sighting::Frame(kind), &mut hits);
        let before = take(&mut hits, Phase::Before);
        self.run = Some(Run { detail, ..Run::new(total, &mut hits, Phase::After) });
        Ok(before)
    }
}

/// What a typed message of the client means for the session. Hits at phases of the reply stay with what is owed; those
/// of the frame itself are added to `hits`.
fn typed(tag: Front, payload: &[u8], hits: &mut Vec<Hit>, cx: &mut Context<'_>) -> String {
    let session = &mut cx.session.postgres;
    match tag {
        Front::Query => {
            cx.counts.touch().statements += 1;
            let statement = classify(text(payload).0);
            let reply = executed(&statement, hits, cx);
            if let Statement::Rows(table) = &statement {
                batch(&Arc::clone(table), hits, cx);
            }
            cx.session.postgres.owed.push_back(Owed::Query(reply));
            return said(text(payload).0);
        }
        Front::FunctionCall => session.owed.push_back(Owed::Query(Vec::new())),
        Front::Parse => {
            let (name, rest) = text(payload);
            let sql = text(rest).0;
            remember(&mut session.statements, name, classify(sql));
            return said(sql);
        }
        Front::Bind => {
            let (portal, rest) = text(payload);
            let statement = session.statements.get(text(rest).0).cloned().unwrap_or(Statement::Other);
            remember(&mut session.portals, portal, statement.clone());
            if let Statement::Rows(table) = statement {
                batch(&table, hits, cx);
                return format!("rows for {table}");
            }
        }
        Front::Execute => {
            cx.counts.touch().statements += 1;
            let statement = session.portals.get(text(payload).0).cloned().unwrap_or(Statement::Other);
            let reply = executed(&statement, hits, cx);
            cx.session.postgres.owed.push_back(Owed::Execute(reply));
            if statement == Statement::Commit {
                return "COMMIT".to_owned();
            }
        }
        Front::Close => match payload.split_first() {
            Some((b'S', name)) => drop(session.statements.remove(text(name).0)),
            Some((b'P', name)) => drop(session.portals.remove(text(name).0)),
            _ => {}
        },
        // While it takes CopyData the server ignores Sync.
        Front::Sync if !session.copying => session.owed.push_back(Owed::Sync),
        Front::CopyData => {
            if let Some(table) = session.copy_table.clone() {
                batch(&table, hits, cx);
                return format!("rows for {table}");
            }
        }
        Front::CopyDone | Front::CopyFail => {
            session.copying = false;
            session.copy_table = None;
        }
        _ => {}
    }
    String::new()
}

/// A statement is executed: returns the hits that wait for its reply.
fn executed(statement: &Statement, hits: &mut Vec<Hit>, cx: &mut Context<'_>) -> Vec<Hit> {
    match statement {
        Statement::Commit => {
            cx.counts.touch().commits += 1;
            let mut reply = Vec::new();
            cx.snapshot.sight(Sighting::Commit, &mut reply);
            hits.extend(reply.extract_if(.., |hit| hit.phase == Phase::Before));
            reply
        }
        Statement::CopyIn(table) => {
            cx.session.postgres.copy_table = Some(Arc::clone(table));
            Vec::new()
        }
        Statement::Rows(_) | Statement::Other => Vec::new(),
    }
}

fn batch(table: &Arc<str>, hits: &mut Vec<Hit>, cx: &mut Context<'_>) {
    cx.counts.touch().batches += 1;
    cx.snapshot.sight(Sighting::Batch(table), hits);
}

fn remember(names: &mut HashMap<Vec<u8>, Statement>, name: &[u8], statement: Statement) {
    if statement == Statement::Other {
        names.remove(name);
    } else if names.len() < NAMES || names.contains_key(name) {
        names.insert(name.to_vec(), statement);
    }
}

/// The beginning of a statement, for the log: its verb and object, none of its values.
fn said(sql: &[u8]) -> String {
    let head = &sql[..sql.len().min(40)];
    let end = head.iter().position(|b| *b == b'(' || *b == b'\'' || *b == b'=').unwrap_or(head.len());
    String::from_utf8_lossy(&head[..end]).trim().to_owned()
}

/// Server to client.
#[derive(Debug, Default)]
pub(in super::super) struct Down {
    session_ready: bool,
    run: Option<Run>,
}

impl Down {
    pub(super) fn next(&mut self, input: &[u8], cx: &mut Context<'_>) -> Step {
        loop {
            if let Some(run) = &mut self.run {
                if let Some(step) = run.next(input.len(), false) {
                    return step;
                }
                self.run = None;
            }
            if cx.session.postgres.encryption_asked {
                match input.first() {
                    None => return Step::More,
                    // An ErrorResponse of a server that does not know the question.
                    Some(b'E') => cx.session.postgres.encryption_asked = false,
                    Some(answer) => {
                        cx.session.postgres.encryption_asked = false;
                        if *answer == b'N' {
                            return Step::Pass { bytes: 1, body: false };
                        }
                        return go_opaque(input, cx);
                    }
                }
            }
            let before = match self.frame(input, cx) {
                Ok(before) => before,
                Err(step) => return step,
            };
            if !before.is_empty() {
                let detail = self.run.as_ref().map(|r| r.detail.clone()).unwrap_or_default();
                return Step::Fire(before, detail);
            }
        }
    }

    fn frame(&mut self, input: &[u8], cx: &mut Context<'_>) -> Result<Vec<Arc<Installed>>, Step> {
        if input.len() < 5 {
            return Err(Step::More);
        }
        let length = be32(&input[1..]);
        if !(4..=LONGEST).contains(&length) {
            return Err(go_opaque(input, cx));
        }
        let total = u64::from(length) + 1;
        let tag = Back::of_tag(input[0]);
        let want = usize::try_from(total).unwrap_or(PEEK).min(PEEK);
        if matches!(tag, Back::CommandComplete | Back::ErrorResponse) && input.len() < want {
            return Err(Step::More);
        }
        cx.counts.touch().frames_down += 1;
        let mut hits = Vec::new();
        cx.snapshot.sight(Sighting::Reply(tag), &mut hits);
        let mut before = take(&mut hits, Phase::Before);
        let mut run = Run::new(total, &mut hits, Phase::After);
        let answers = matches!(
            tag,
            Back::CommandComplete | Back::EmptyQueryResponse | Back::ErrorResponse | Back::PortalSuspended
        );
        match tag {
            Back::CommandComplete => run.detail = String::from_utf8_lossy(text(&input[5..want]).0).into_owned(),
            Back::ErrorResponse => {
                cx.counts.touch().errors += 1;
                run.detail = format!("error {}", sqlstate(&input[5..want]));
            }
            Back::ReadyForQuery => "ready for query".clone_into(&mut run.detail),
            _ => {}
        }
        if answers {
            before.extend(self.answered(tag, &mut run, cx));
        } else if tag == Back::CopyInResponse {
            let session = &mut cx.session.postgres;
            session.copying = true;
            // The Syncs that were sent along with the Execute are ignored by the server.
            session.owed.retain(|owed| !matches!(owed, Owed::Sync));
        } else if tag == Back::ReadyForQuery {
            self.ready(&mut run, cx);
        }
        self.run = Some(run);
        Ok(before)
    }

    /// A statement was answered: the rules that act ahead of the answer; those behind it go to the run.
    fn answered(&mut self, tag: Back, run: &mut Run, cx: &mut Context<'_>) -> Vec<Arc<Installed>> {
        let session = &mut cx.session.postgres;
        session.copying = false;
        let (Some(Owed::Query(hits)) | Some(Owed::Execute(hits))) = session.owed.front_mut() else {
            return Vec::new();
        };
        let sent = take(hits, Phase::Sent);
        let complete = take(hits, Phase::Complete);
        if tag == Back::CommandComplete {
            run.after.extend(complete);
        }
        if matches!(session.owed.front(), Some(Owed::Execute(_))) && tag != Back::ErrorResponse {
            // Replies come in order: the next ReadyForQuery is the one that covers this statement.
            if let Some(Owed::Execute(mut hits)) = session.owed.pop_front() {
                session.awaiting_ready.extend(take(&mut hits, Phase::Ready));
            }
        }
        sent
    }

    fn ready(&mut self, run: &mut Run, cx: &mut Context<'_>) {
        let counts = cx.counts.touch();
        counts.round_trips += 1;
        if !self.session_ready {
            self.session_ready = true;
            counts.sessions += 1;
        }
        let session = &mut cx.session.postgres;
        session.copying = false;
        run.after.append(&mut session.awaiting_ready);
        // After an error the server skips to the Sync: so does what it owed.
        while let Some(owed) = session.owed.pop_front() {
            match owed {
                Owed::Execute(mut hits) => run.after.extend(take(&mut hits, Phase::Ready)),
                Owed::Query(mut hits) => {
                    run.after.extend(take(&mut hits, Phase::Ready));
                    break;
                }
                Owed::Sync => break,
            }
        }
    }
}

/// The SQLSTATE of an ErrorResponse (field `C`).
fn sqlstate(mut fields: &[u8]) -> String {
    while let Some((code, rest)) = fields.split_first() {
        let (value, next) = text(rest);
        match code {
            0 => break,
            b'C' => return String::from_utf8_lossy(value).into_owned(),
            _ => fields = next,
        }
    }
    "of unknown SQLSTATE".to_owned()
}
