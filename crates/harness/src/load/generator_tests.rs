//! With tokio's clock paused: it moves only when everybody waits, so what is measured is exact but for the timer's 1 ms.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::{advance, sleep};

use super::super::generated::Quantile;
use super::*;
use crate::stats::Histogram;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn steady(rate: f64, requests: u64) -> Settings {
    Settings::new(Arrivals::new(Pattern::Steady { rate }, Length::Requests(requests)).unwrap())
}

fn users(users: u32, think: Duration, length: Length) -> Settings {
    Settings::new(Arrivals::new(Pattern::Users { users, think }, length).unwrap())
}

async fn go<Fut: Future<Output = Outcome> + Send + 'static>(
    settings: Settings,
    ask: impl Fn(Request) -> Fut,
) -> Generated {
    run(&settings, &CancellationToken::new(), ask).await
}

/// Neither lost nor counted twice.
fn adds_up(load: &Generated) {
    assert_eq!(load.due, load.started + load.dropped);
    assert_eq!(load.started, load.ended + load.unfinished);
    assert_eq!(load.ended, load.ok + load.failed);
    assert_eq!(load.ended, load.classes.values().sum::<u64>());
    assert_eq!((load.ok, load.ok), (load.latency.len(), load.from_start.len()));
    let sum = |of: fn(&super::super::rows::Row) -> u64| load.rows.iter().map(of).sum::<u64>();
    assert_eq!((sum(|r| r.due), sum(|r| r.dropped), sum(|r| r.late)), (load.due, load.dropped, load.late));
    assert_eq!((sum(|r| r.ok), sum(|r| r.failed), sum(|r| r.latency.len())), (load.ok, load.failed, load.ok));
}

/// Whether two times agree but for the timer's resolution and the histogram's three digits.
fn agree(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= 2_100 + a.max(b) / 500
}

/// A server behind one connection, as a closed-loop client would use it: one request after the other.
#[derive(Default)]
struct OneConnection {
    connection: tokio::sync::Mutex<()>,
    /// From the send to the answer: what such a client reports.
    from_send: Mutex<Histogram>,
    /// From the arrival at the queue to the answer: what the server itself would report.
    own: Mutex<Histogram>,
}

impl OneConnection {
    async fn ask(&self, takes: Duration) {
        let arrived = Instant::now();
        let connection = self.connection.lock().await;
        let sent = Instant::now();
        sleep(takes).await;
        self.from_send.lock().unwrap().record(us(sent.elapsed()));
        self.own.lock().unwrap().record(us(arrived.elapsed()));
        drop(connection);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_of_a_second_is_in_p99_though_only_one_request_in_a_thousand_was_under_way_in_it() {
    let server = Arc::new(OneConnection::default());
    let settings = steady(100.0, 1_000);
    let load = go(settings, |request| {
        let server = Arc::clone(&server);
        async move {
            server.ask(ms(if request.number == 500 { 1_000 } else { 5 })).await;
            Outcome::ok("answered")
        }
    })
    .await;
    adds_up(&load);
    assert_eq!((load.ok, load.missing(), load.harness_limited()), (1_000, 0, None));
    let Quantile::At(p99) = load.quantile(0.99) else { panic!("1,000 requests support p99") };
    assert!(p99 >= 900_000, "{p99} µs: the stall has been hidden");
    // It is the due time that brings it to light: measured from the send, all but one request took 5 ms.
    let from_send = server.from_send.lock().unwrap();
    assert!(from_send.quantile(0.99).unwrap() <= 7_000, "{from_send:?}");
    assert!(from_send.max().unwrap() >= 1_000_000);
    // And in the timeline it stands where it was: at 5 s, and in no row before.
    let slow: Vec<u64> =
        load.rows.iter().filter(|r| r.latency.max().is_some_and(|us| us > 500_000)).map(|r| r.from_us).collect();
    assert!(slow.first().is_some_and(|&from| (4_800_000..=5_000_000).contains(&from)), "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn latencies_are_the_servers_own_also_when_it_is_overloaded() {
    // 100 requests a second are what it can do.
    for (rate, overloaded) in [(50.0, false), (200.0, true)] {
        let server = Arc::new(OneConnection::default());
        let load = go(steady(rate, 2_000), |_| {
            let server = Arc::clone(&server);
            async move {
                server.ask(ms(10)).await;
                Outcome::ok("answered")
            }
        })
        .await;
        adds_up(&load);
        let own = server.own.lock().unwrap();
        for q in [0.5, 0.9, 0.99, 0.999] {
            let (seen, of_server) = (load.latency.quantile(q).unwrap(), own.quantile(q).unwrap());
            assert!(agree(seen, of_server), "{rate}/s, {q}: {seen} µs here, {of_server} µs there");
        }
        // 2,000 requests in 10 s; served at 100 a second the last one is answered after 20 s.
        let max = load.latency.max().unwrap();
        assert!(if overloaded { agree(max, 10_000_000) } else { agree(max, 10_000) }, "{max}");
        assert_eq!(load.dropped, 0);
        assert!((load.throughput() - rate.min(100.0)).abs() < 1.0, "{}", load.throughput());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_while_too_many_are_in_flight_is_dropped_and_counted() {
    let settings = Settings { max_in_flight: 5, ..steady(100.0, 100) };
    let load = go(settings, async |_| {
        sleep(ms(500)).await;
        Outcome::ok("answered")
    })
    .await;
    adds_up(&load);
    // Five in flight for 500 ms each, twice in a second.
    assert_eq!((load.due, load.ok, load.dropped), (100, 10, 90));
    assert_eq!((load.max_in_flight, load.in_flight_limit), (5, 5));
    assert_eq!(load.quantile(0.5), Quantile::Never, "nine of ten were never made");
    assert!(load.notes().iter().any(|note| note.contains("90 of 100 requests were due and not made")));
}

#[tokio::test(start_paused = true)]
async fn a_generator_that_cannot_keep_up_says_so_and_hides_nothing() {
    let load = go(steady(100.0, 100), async |request: Request| {
        if request.number == 50 {
            // As if this process had not been given the CPU for a quarter of a second.
            advance(ms(250)).await;
        }
        Outcome::ok("answered")
    })
    .await;
    adds_up(&load);
    // Those due within the gap, but for the last 10 ms of it.
    assert!((23..=25).contains(&load.late), "{}", load.late);
    assert!(load.lag.max().unwrap() >= 230_000, "{:?}", load.lag);
    assert!(load.latency.max().unwrap() >= 230_000, "what was late took that long: {:?}", load.latency);
    assert!(load.harness_limited().unwrap().contains("of 100 requests"));
    let undisturbed = go(steady(100.0, 100), async |_| Outcome::ok("answered")).await;
    assert_eq!((undisturbed.late, undisturbed.harness_limited()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_given_up_after_the_drain_and_counted() {
    let settings = Settings { drain: ms(3_000), ..steady(10.0, 20) };
    let load = go(settings, async |request: Request| {
        if request.number.is_multiple_of(4) {
            sleep(Duration::MAX).await;
        }
        Outcome::ok("answered")
    })
    .await;
    adds_up(&load);
    assert_eq!((load.ok, load.unfinished, load.cut_short), (15, 5, false));
    assert!(agree(load.took_us, 1_900_000 + 3_000_000), "{}", load.took_us);
    assert_eq!(load.quantile(0.9), Quantile::Never);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_load_ends_at_once_with_what_it_has() {
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    tokio::spawn(async move {
        sleep(ms(1_005)).await;
        stop.cancel();
    });
    let settings = steady(10.0, 1_000);
    let load = run(&settings, &cancel, async |_| {
        sleep(ms(150)).await;
        Outcome::ok("answered")
    })
    .await;
    adds_up(&load);
    assert!(load.cut_short);
    assert_eq!((load.due, load.ok, load.unfinished), (11, 9, 2));
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_apart_and_marks_count_from_due() {
    let load = go(steady(10.0, 30), async |request: Request| {
        sleep(ms(20)).await;
        let accepted = ("accepted", Instant::now());
        sleep(ms(80)).await;
        match request.number % 3 {
            0 => Outcome { class: "complete", ok: true, marks: vec![accepted] },
            1 => Outcome { class: "refused", ok: false, marks: vec![accepted] },
            _ => Outcome::failed("not-done"),
        }
    })
    .await;
    adds_up(&load);
    let expected = [("complete", 10), ("not-done", 10), ("refused", 10)].map(|(class, n)| (class.to_owned(), n));
    assert_eq!(load.classes, BTreeMap::from(expected));
    assert_eq!((load.ok, load.failed, load.failed_latency.len()), (10, 20, 20));
    let accepted = &load.marks["accepted"];
    assert_eq!(accepted.len(), 20);
    assert!(agree(accepted.max().unwrap(), 20_000) && agree(load.latency.max().unwrap(), 100_000), "{load:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_panics_is_a_failed_one() {
    let load = go(steady(10.0, 10), async |request: Request| {
        assert_ne!(request.number, 3, "on purpose");
        Outcome::ok("answered")
    })
    .await;
    assert_eq!((load.ok, load.failed, load.classes[PANICKED]), (9, 1, 1));
    assert_eq!((load.due, load.missing()), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn users_wait_for_their_answer_and_think_before_they_ask_again() {
    let busy = Arc::new(AtomicU32::new(0));
    let ask = |busy: &Arc<AtomicU32>| {
        let busy = Arc::clone(busy);
        async move {
            assert!(busy.fetch_add(1, Ordering::SeqCst) < 3, "more at once than there are users");
            sleep(ms(100)).await;
            busy.fetch_sub(1, Ordering::SeqCst);
            Outcome::ok("answered")
        }
    };
    // A turn takes 100 ms and 400 ms of thinking: twenty turns in 10 s.
    let settings = users(3, ms(400), Length::Time(ms(10_000)));
    let load = go(settings, |_| ask(&busy)).await;
    adds_up(&load);
    assert!((57..=60).contains(&load.ok), "{}", load.ok);
    assert_eq!((load.failed, load.max_in_flight, load.in_flight_limit), (0, 3, 3));
    assert!(load.latency.max().unwrap() <= 103_000, "thinking is no latency: {:?}", load.latency);
    // By number, and fewer of them than users.
    let load = go(users(3, ms(0), Length::Requests(100)), |_| ask(&busy)).await;
    assert_eq!((load.due, load.ok, load.failed), (100, 100, 0));
    let load = go(users(3, ms(0), Length::Requests(2)), |_| ask(&busy)).await;
    assert_eq!((load.due, load.ok, load.max_in_flight), (2, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn users_are_not_given_up_while_they_wait_in_time() {
    let slow = async |_| {
        sleep(ms(20_000)).await;
        Outcome::ok("answered")
    };
    // Longer than the drain, but within the time or the number of the load.
    let settings = |length| Settings { drain: ms(1_000), ..users(2, ms(0), length) };
    let load = go(settings(Length::Time(ms(30_000))), slow).await;
    assert_eq!((load.ok, load.unfinished), (2, 2), "20 s, and from there beyond 31 s");
    let load = go(settings(Length::Requests(5)), slow).await;
    assert_eq!((load.ok, load.unfinished), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_times_the_requests_take_no_more_memory() {
    let size = async |requests: u64| {
        let settings = Settings { max_rows: 16, row_width: ms(10), ..steady(1_000.0, requests) };
        let load = go(settings, async |request: Request| {
            sleep(ms(1 + request.number % 50)).await;
            Outcome { class: "answered", ok: true, marks: vec![("accepted", Instant::now())] }
        })
        .await;
        adds_up(&load);
        assert_eq!(load.ok, requests);
        assert!(load.rows.len() <= 16, "{}", load.rows.len());
        serde_json::to_string(&load).unwrap().len()
    };
    let (few, many) = (size(500).await, size(50_000).await);
    assert!(many < few * 2, "{few} bytes of record for 500 requests, {many} for 50,000");
}
