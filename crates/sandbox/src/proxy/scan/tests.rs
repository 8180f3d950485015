use std::time::Instant;

use proptest::prelude::*;

use super::super::rule::{Effect, Rule, RuleId};
use super::*;

/// Both directions of a connection, without a connection.
struct Wire {
    up: Scanner,
    down: Scanner,
    snapshot: Snapshot,
    session: Session,
    counts: Local,
}

impl Wire {
    fn new(protocol: Protocol, moments: &[&str]) -> Self {
        let mut snapshot = Snapshot::new(([127, 0, 0, 1], 1).into());
        for (i, moment) in moments.iter().enumerate() {
            let rule = Rule::at(moment.parse().unwrap(), Effect::Reset);
            snapshot.install(Installed::new(RuleId(i as u64), rule), Instant::now(), 1);
        }
        Self {
            up: Scanner::new(protocol, Direction::Up),
            down: Scanner::new(protocol, Direction::Down),
            snapshot,
            session: Session::default(),
            counts: Local::default(),
        }
    }

    /// Feeds a stream in chunks of these sizes (over and over). What passed, with `(bytes passed, rule)` per firing.
    fn feed(&mut self, direction: Direction, stream: &[u8], chunks: &[usize]) -> (Vec<u8>, Vec<(usize, u64)>) {
        let (mut passed, mut fired) = (Vec::new(), Vec::new());
        let (mut at, mut there) = (0, 0);
        let shape = Shape::default();
        for n in chunks.iter().cycle() {
            there = (there + n).min(stream.len());
            loop {
                let mut cx = Context {
                    snapshot: &self.snapshot,
                    shape: &shape,
                    session: &mut self.session,
                    counts: &mut self.counts,
                };
                let scanner = if direction == Direction::Up { &mut self.up } else { &mut self.down };
                match scanner.next(&stream[at..there], &mut cx) {
                    Step::Pass { bytes, .. } => {
                        assert!(bytes > 0);
                        passed.extend_from_slice(&stream[at..at + bytes]);
                        at += bytes;
                    }
                    Step::Fire(rules, _) => fired.extend(rules.iter().map(|r| (at, r.id.0))),
                    Step::More => break,
                    Step::End => {}
                    other => panic!("{other:?}"),
                }
            }
            if there == stream.len() {
                break;
            }
        }
        (passed, fired)
    }

    fn up(&mut self, stream: &[u8]) -> Vec<(usize, u64)> {
        self.feed(Direction::Up, stream, &[usize::MAX / 2]).1
    }

    fn down(&mut self, stream: &[u8]) -> Vec<(usize, u64)> {
        self.feed(Direction::Down, stream, &[usize::MAX / 2]).1
    }
}

fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&(u32::try_from(payload.len()).unwrap() + 4).to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn startup() -> Vec<u8> {
    let mut out = vec![0, 0, 0, 17, 0, 3, 0, 0];
    out.extend_from_slice(b"user\0me\0\0");
    out
}

fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', format!("{sql}\0").as_bytes())
}

/// (request, its COMMIT begins at, reply, the answer begins at, ends at)
type Commit = (Vec<u8>, usize, Vec<u8>, usize, usize);

/// The simple and the extended way to say COMMIT, with the replies to it.
fn commits() -> [Commit; 2] {
    let complete = frame(b'C', b"COMMIT\0");
    let ready = frame(b'Z', b"I");
    let prepare = [frame(b'P', b"s1\0COMMIT\0\0\0"), frame(b'B', b"p1\0s1\0\0\0\0\0\0\0")].concat();
    let request = [prepare.clone(), frame(b'E', b"p1\0\0\0\0\0"), frame(b'S', b"")].concat();
    let parsed = [frame(b'1', b""), frame(b'2', b"")].concat();
    [
        (query("COMMIT"), 0, [complete.clone(), ready.clone()].concat(), 0, complete.len()),
        (
            request,
            prepare.len(),
            [&parsed[..], &complete, &ready].concat(),
            parsed.len(),
            parsed.len() + complete.len(),
        ),
    ]
}

#[test]
fn a_commit_is_met_at_each_of_its_four_moments() {
    for (request, begins, reply, answer, complete) in commits() {
        let moments = ["commit#2:before", "commit#2:sent", "commit#2:complete", "commit#2:ready"];
        let mut wire = Wire::new(Protocol::Postgres, &moments);
        assert_eq!(wire.up(&startup()), []);
        assert_eq!(wire.down(&frame(b'Z', b"I")), []);
        for (n, fires) in [(1, false), (2, true), (3, false)] {
            let expected = |at: &[(usize, u64)]| if fires { at.to_vec() } else { Vec::new() };
            assert_eq!(wire.up(&request), expected(&[(begins, 0)]), "commit {n}");
            assert_eq!(wire.down(&reply), expected(&[(answer, 1), (complete, 2), (reply.len(), 3)]), "commit {n}");
        }
        assert_eq!(wire.counts.commits, 3);
        assert_eq!(wire.counts.round_trips, 4);
        assert_eq!(wire.counts.sessions, 1);
    }
}

#[test]
fn a_commit_that_fails_is_answered_but_not_completed() {
    let mut wire = Wire::new(Protocol::Postgres, &["commit#1:sent", "commit#1:complete", "commit#1:ready"]);
    wire.up(&startup());
    wire.up(&query("COMMIT"));
    let error = frame(b'E', b"SERROR\0C23503\0\0");
    let reply = [error, frame(b'Z', b"I")].concat();
    assert_eq!(wire.down(&reply), [(0, 0), (reply.len(), 2)]);
}

#[test]
fn replies_find_their_commit_in_a_pipeline_with_errors() {
    let mut wire = Wire::new(Protocol::Postgres, &["commit#1:complete", "commit#1:ready"]);
    wire.up(&startup());
    let sync = frame(b'S', b"");
    let execute = |sql: &str| {
        [frame(b'P', format!("\0{sql}\0\0\0").as_bytes()), frame(b'B', &[0; 8]), frame(b'E', &[0; 5])].concat()
    };
    // A statement that fails, one that is skipped, then COMMIT behind the Sync.
    wire.up(&[execute("SELECT 1"), execute("SELECT 2"), sync.clone(), execute("COMMIT"), sync].concat());
    let error = [frame(b'E', b"C22012\0\0"), frame(b'Z', b"E")].concat();
    assert_eq!(wire.down(&error), []);
    let done = [frame(b'1', b""), frame(b'2', b""), frame(b'C', b"ROLLBACK\0"), frame(b'Z', b"I")].concat();
    assert_eq!(wire.down(&done), [(done.len() - 6, 0), (done.len(), 1)]);
}

#[test]
fn copy_in_the_extended_protocol_ignores_the_sync_that_came_along() {
    let mut wire = Wire::new(Protocol::Postgres, &["batch(laps)#2:half", "commit#1:ready"]);
    wire.up(&startup());
    let copy =
        [frame(b'P', b"\0COPY public.laps FROM STDIN\0\0\0"), frame(b'B', &[0; 8]), frame(b'E', &[0; 5])].concat();
    wire.up(&[copy, frame(b'S', b"")].concat());
    assert_eq!(wire.down(&frame(b'G', &[0, 0, 0])), []);
    let rows = frame(b'd', &[7; 95]);
    assert_eq!(wire.up(&[rows.clone(), rows].concat()), [(150, 0)]);
    wire.up(&[frame(b'c', b""), frame(b'S', b""), query("COMMIT")].concat());
    assert_eq!(wire.down(&[frame(b'C', b"COPY 2\0"), frame(b'Z', b"T")].concat()), []);
    let reply = [frame(b'C', b"COMMIT\0"), frame(b'Z', b"I")].concat();
    assert_eq!(wire.down(&reply), [(reply.len(), 1)]);
    assert_eq!(wire.counts.batches, 2);
}

#[test]
fn rows_are_known_by_their_table_and_frames_by_their_kind() {
    let mut wire = Wire::new(Protocol::Postgres, &["batch(laps)#2:half", "frame(bind)#1:after", "frame#3"]);
    let insert =
        |name: &str, table: &str| frame(b'P', format!("{name}\0INSERT INTO {table} VALUES ($1)\0\0\0").as_bytes());
    let bind = |name: &str, n: usize| frame(b'B', &[format!("\0{name}\0").as_bytes(), &vec![1; n]].concat());
    assert_eq!(wire.up(&startup()), []);
    assert_eq!(wire.up(&insert("l", "laps")), []);
    assert_eq!(wire.up(&insert("r", "results")), [(0, 2)]);
    let first = bind("l", 2000);
    assert_eq!(wire.up(&first), [(first.len(), 1)]);
    assert_eq!(wire.up(&bind("r", 10)), []);
    let second = bind("l", 200_000);
    assert_eq!(wire.up(&second), [(second.len() / 2, 0)]);
    // Closed, the name means nothing.
    wire.up(&frame(b'C', b"Sl\0"));
    wire.up(&bind("l", 10));
    assert_eq!(wire.counts.batches, 3);
}

#[test]
fn encryption_is_asked_for_and_refused_or_taken() {
    let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut wire = Wire::new(Protocol::Postgres, &["frame(ssl-request)#1:after", "frame(startup)#1"]);
    assert_eq!(wire.up(&ssl), [(8, 0)]);
    wire.down(b"N");
    assert_eq!(wire.up(&startup()), [(0, 1)]);
    assert_eq!((wire.counts.frames_up, wire.counts.opaque), (2, 0));

    let mut wire = Wire::new(Protocol::Postgres, &[]);
    wire.up(&ssl);
    wire.down(b"S");
    assert_eq!(wire.feed(Direction::Up, &[0xff; 100], &[7]).0, [0xff; 100]);
    assert_eq!(wire.counts.opaque, 1);

    let mut wire = Wire::new(Protocol::Postgres, &["frame(cancel-request)#1"]);
    assert_eq!(wire.up(&[0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2]), [(0, 0)]);
}

/// A message of the client: (bytes, statements, commits, batches).
fn message() -> impl Strategy<Value = (Vec<u8>, u64, u64, u64)> {
    let payload = || prop::collection::vec(any::<u8>(), 0..3000);
    prop_oneof![
        payload().prop_map(|p| (frame(b'd', &p), 0, 0, 0)),
        payload().prop_map(|p| (frame(b'D', &p), 0, 0, 0)),
        Just((frame(b'S', b""), 0, 0, 0)),
        Just((query("COMMIT"), 1, 1, 0)),
        Just((query("END"), 1, 1, 0)),
        "[a-z ]{0,1500}".prop_map(|text| (query(&format!("SELECT '{text}'")), 1, 0, 0)),
        "[a-z ]{0,1500}".prop_map(|text| (query(&format!("INSERT INTO t VALUES ('{text}')")), 1, 0, 1)),
        Just(([frame(b'P', b"\0COMMIT\0\0\0"), frame(b'B', &[0; 8]), frame(b'E', &[0; 5])].concat(), 1, 1, 0)),
    ]
}

/// An HTTP message with a body, framed by length or in chunks.
fn framed(start: &str, body: &[u8], chunks: Option<usize>) -> Vec<u8> {
    let mut out = format!("{start}\r\nHost: x\r\n").into_bytes();
    match chunks {
        None => {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            out.extend_from_slice(body);
        }
        Some(n) => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for chunk in body.chunks(n) {
                out.extend_from_slice(format!("{:x};x=y\r\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\nTrailer: 1\r\n\r\n");
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn postgres_passes_unchanged_and_counted_however_it_is_cut(
        messages in prop::collection::vec(message(), 0..30),
        chunks in prop::collection::vec(1usize..4000, 1..20),
        replies in prop::collection::vec((0usize..6, prop::collection::vec(any::<u8>(), 0..3000)), 0..40),
    ) {
        let mut wire = Wire::new(Protocol::Postgres, &["commit#9999:sent", "batch#9999:half", "reply#9999"]);
        let mut stream = startup();
        for m in &messages {
            stream.extend_from_slice(&m.0);
        }
        prop_assert_eq!(&wire.feed(Direction::Up, &stream, &chunks), &(stream.clone(), vec![]));
        prop_assert_eq!(wire.counts.statements, messages.iter().map(|m| m.1).sum::<u64>());
        prop_assert_eq!(wire.counts.commits, messages.iter().map(|m| m.2).sum::<u64>());
        prop_assert_eq!(wire.counts.batches, messages.iter().map(|m| m.3).sum::<u64>());
        let frames = messages.iter().map(|m| if m.0[0] == b'P' { 3 } else { 1 }).sum::<u64>();
        prop_assert_eq!(wire.counts.frames_up, 1 + frames);

        let stream = replies.iter().flat_map(|(tag, p)| frame(b"DCZEGT"[*tag], p)).collect::<Vec<_>>();
        prop_assert_eq!(&wire.feed(Direction::Down, &stream, &chunks), &(stream.clone(), vec![]));
        prop_assert_eq!(wire.counts.frames_down, replies.len() as u64);
        prop_assert_eq!(wire.counts.round_trips, replies.iter().filter(|r| r.0 == 2).count() as u64);
        prop_assert_eq!(wire.counts.errors, replies.iter().filter(|r| r.0 == 3).count() as u64);
        prop_assert_eq!(wire.counts.opaque, 0);
    }

    #[test]
    fn http_passes_unchanged_and_counted_however_it_is_cut(
        bodies in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), prop::option::of(1usize..900)), 1..12),
        chunks in prop::collection::vec(1usize..2000, 1..20),
    ) {
        let mut wire = Wire::new(Protocol::Http, &["response#9999:half", "request#9999"]);
        let (mut requests, mut responses) = (Vec::new(), Vec::new());
        for (i, (body, chunked)) in bodies.iter().enumerate() {
            requests.extend(framed(&format!("POST /p?{} HTTP/1.1", i % 3), body, *chunked));
            if i % 4 == 1 {
                responses.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
            }
            responses.extend(framed(if i % 2 == 0 { "HTTP/1.1 200 OK" } else { "HTTP/1.1 503 No" }, body, *chunked));
        }
        prop_assert_eq!(&wire.feed(Direction::Up, &requests, &chunks), &(requests.clone(), vec![]));
        prop_assert_eq!(&wire.feed(Direction::Down, &responses, &chunks), &(responses.clone(), vec![]));
        let n = bodies.len() as u64;
        prop_assert_eq!((wire.counts.requests, wire.counts.responses), (n, n));
        prop_assert_eq!(wire.counts.responses_failed, n / 2);
        prop_assert_eq!(wire.counts.opaque, 0);
    }

    #[test]
    fn whatever_comes_passes_in_full(
        stream in prop::collection::vec(any::<u8>(), 0..3000),
        chunks in prop::collection::vec(1usize..500, 1..5),
        http in any::<bool>(),
    ) {
        let mut wire = Wire::new(if http { Protocol::Http } else { Protocol::Postgres }, &["commit#1:sent"]);
        for direction in [Direction::Up, Direction::Down] {
            // What is held back at the end (a frame that is not whole) is forwarded by the pump.
            let passed = wire.feed(direction, &stream, &chunks).0;
            prop_assert!(stream.starts_with(&passed));
        }
    }
}

#[test]
fn a_response_is_counted_by_its_request_and_cut_at_half_its_body() {
    let moments = ["response(race)#2:half", "request(race)#2:after", "response#1", "response(race)#1:half"];
    let mut wire = Wire::new(Protocol::Http, &moments);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\n\r\n").into_bytes();
    let mut requests = Vec::new();
    for target in ["/event", "/race?1", "/race?2"] {
        requests.extend(get(target));
    }
    assert_eq!(wire.up(&requests), [(requests.len(), 1)]);
    let plain = framed("HTTP/1.1 200 OK", &[1; 100], None);
    assert_eq!(wire.down(&plain), [(0, 2)]);
    let chunked = framed("HTTP/1.1 200 OK", &[1; 100], Some(60));
    let first = chunked.windows(2).position(|w| w == [1, 1]).unwrap();
    assert_eq!(wire.down(&chunked), [(first + 30, 3)]);
    assert_eq!(wire.down(&plain), [(plain.len() - 50, 0)]);
}
