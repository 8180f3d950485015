//! Each effect on bytes, in front of a server that sends them back.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sandbox::proxy::{Cut, Direction, Effect, Outcome, Protocol, Proxy, Rule, RuleId, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{connect_and_read, count, echo, noise, proxy, read_all, sink, through, until};

async fn in_front_of_echo(rules: Vec<Rule>) -> (Proxy, TcpStream) {
    let proxy = proxy(echo().await, Protocol::Http, rules).await;
    let client = TcpStream::connect(proxy.addr()).await.unwrap();
    (proxy, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rules_all_passes_and_is_counted() {
    let (proxy, mut client) = in_front_of_echo(vec![]).await;
    let data = noise(5_000_000);
    assert_eq!(through(&mut client, &data).await.unwrap(), data);
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, (vec![], None), "the end is passed on both ways");
    let stats = proxy.stats();
    assert_eq!((stats.bytes_up, stats.bytes_down), (5_000_000, 5_000_000));
    assert_eq!((stats.connections, stats.opaque), (1, 1));
    until(|| proxy.stats().connections_ended == 1).await;
    assert!(proxy.log().is_empty());
    proxy.close().await;
}

#[tokio::test]
async fn shaped_traffic_arrives_whole_and_in_order() {
    let rules = vec![
        Rule::always(Effect::Latency {
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(3),
            way: Way::Both,
        }),
        Rule::always(Effect::Bandwidth { bytes_per_second: 5_000_000, way: Way::Down }),
        Rule::always(Effect::Slice { max_bytes: 700, gap: Duration::from_micros(50), way: Way::Up }),
    ];
    let (proxy, mut client) = in_front_of_echo(rules).await;
    let began = Instant::now();
    let data = noise(200_000);
    assert_eq!(through(&mut client, &data).await.unwrap(), data);
    assert!(began.elapsed() >= Duration::from_millis(10), "a byte cannot be back before its delay both ways");
    let applied = |rule, direction| {
        proxy.log().iter().any(|r| {
            r.rule == RuleId(rule)
                && r.outcome == Outcome::Applied
                && r.connection == Some(1)
                && r.direction == Some(direction)
        })
    };
    assert!(applied(1, Direction::Up) && applied(1, Direction::Down));
    assert!(applied(2, Direction::Down) && !applied(2, Direction::Up));
    assert!(applied(3, Direction::Up) && !applied(3, Direction::Down));
    proxy.close().await;
}

#[tokio::test]
async fn a_delay_costs_no_throughput() {
    // More than the sockets' own buffers hold is taken in while the first byte of it still waits: a proxy that delays
    // one piece after the other would not read on, and this would never end.
    let hour = Effect::Latency { delay: Duration::from_secs(3600), jitter: Duration::ZERO, way: Way::Up };
    let (proxy, mut client) = in_front_of_echo(vec![Rule::always(hour)]).await;
    client.write_all(&vec![0xff; 60_000_000]).await.unwrap();
    assert_eq!(proxy.stats().bytes_up, 0);
    proxy.close().await;
}

#[tokio::test]
async fn a_reset_is_a_reset_on_both_sides() {
    let (upstream, mut told) = sink().await;
    let proxy = proxy(upstream, Protocol::Http, vec![]).await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    client.write_all(&noise(1000)).await.unwrap();
    until(|| proxy.stats().bytes_up == 1000).await;
    let rule = proxy.add_rule(Rule::always(Effect::Reset)).unwrap();
    assert_eq!(read_all(&mut client).await, (vec![], Some(ErrorKind::ConnectionReset)));
    assert_eq!(told.recv().await.unwrap(), (noise(1000), Some(ErrorKind::ConnectionReset)));
    assert_eq!(proxy.fired(rule).await.connection, Some(1));
    // While it stands, new connections meet the same.
    assert_eq!(connect_and_read(proxy.addr()).await, Some(ErrorKind::ConnectionReset));
    proxy.remove_rule(rule);
    let mut third = TcpStream::connect(proxy.addr()).await.unwrap();
    third.write_all(&noise(5)).await.unwrap();
    third.shutdown().await.unwrap();
    assert_eq!(told.recv().await.unwrap(), (noise(5), None));
    proxy.close().await;
}

#[tokio::test]
async fn a_close_lets_what_was_forwarded_arrive() {
    let (upstream, mut told) = sink().await;
    let proxy = proxy(upstream, Protocol::Http, vec![]).await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    client.write_all(&noise(1000)).await.unwrap();
    until(|| proxy.stats().bytes_up == 1000).await;
    proxy.add_rule(Rule::always(Effect::Close)).unwrap();
    assert_eq!(read_all(&mut client).await, (vec![], None));
    assert_eq!(told.recv().await.unwrap(), (noise(1000), None));
    proxy.close().await;
}

#[tokio::test]
async fn a_black_hole_heals_and_loses_nothing() {
    let (proxy, mut client) = in_front_of_echo(vec![]).await;
    assert_eq!(through(&mut client, &noise(10)).await.unwrap(), noise(10));
    let rule = proxy.add_rule(Rule::switched("net", Effect::black_hole())).unwrap();
    assert_eq!(count(&proxy, rule, Outcome::Fired), 0);
    proxy.set_switch("net", true);
    // In force for all. A connection that stands still may be told of first.
    until(|| proxy.log().iter().any(|r| r.rule == rule && r.outcome == Outcome::Fired && r.connection.is_none())).await;
    let data = noise(300_000);
    let (mut from, mut to) = client.split();
    let mut back = vec![0; data.len()];
    let during = async {
        // The connection and a new one both stand still: the log says that each has met it.
        let mut second = TcpStream::connect(proxy.addr()).await.unwrap();
        second.write_all(&data).await.unwrap();
        until(|| {
            let met = |n| {
                let is = |r: &sandbox::proxy::Fired| r.rule == rule && r.outcome == Outcome::Applied;
                proxy.log().iter().any(|r| is(r) && r.connection == Some(n))
            };
            met(1) && met(2)
        })
        .await;
        assert_eq!(proxy.stats().bytes_up, 10);
        proxy.set_switch("net", false);
        proxy.healed(rule).await;
        let mut back = vec![0; data.len()];
        second.read_exact(&mut back).await.unwrap();
        assert_eq!(back, data);
    };
    let (sent, read, ()) = tokio::join!(to.write_all(&data), from.read_exact(&mut back), during);
    sent.unwrap();
    read.unwrap();
    assert_eq!(back, data);
    proxy.close().await;
}

#[tokio::test]
async fn an_effect_of_limited_time_ends_by_itself() {
    let hole = Rule::always(Effect::black_hole()).lasting(Duration::from_millis(20));
    let (proxy, mut client) = in_front_of_echo(vec![hole]).await;
    assert_eq!(through(&mut client, &noise(1000)).await.unwrap(), noise(1000));
    let (fired, healed) = (proxy.fired(RuleId(1)).await, proxy.healed(RuleId(1)).await);
    assert!(healed.at_us >= fired.at_us + 20_000);
    proxy.close().await;
}

#[tokio::test]
async fn refused_connections_are_refused_and_the_port_comes_back() {
    let (proxy, mut client) = in_front_of_echo(vec![]).await;
    assert_eq!(through(&mut client, &noise(10)).await.unwrap(), noise(10));
    for _ in 0..2 {
        let rule = proxy.add_rule(Rule::always(Effect::Refuse)).unwrap();
        proxy.fired(rule).await;
        for _ in 0..3 {
            let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
        assert_eq!(through(&mut client, &noise(10)).await.unwrap(), noise(10), "what exists goes on");
        proxy.remove_rule(rule);
        proxy.healed(rule).await;
        let mut again = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(through(&mut again, &noise(10)).await.unwrap(), noise(10));
    }
    proxy.close().await;
}

#[tokio::test]
async fn a_connection_is_cut_after_exactly_so_many_bytes() {
    for (bytes, how, error) in
        [(1000, Cut::Reset, Some(ErrorKind::ConnectionReset)), (70_001, Cut::Close, None), (0, Cut::Close, None)]
    {
        let (upstream, mut told) = sink().await;
        let rules = vec![Rule::always(Effect::CutAfter { bytes, way: Way::Up, how })];
        let proxy = proxy(upstream, Protocol::Http, rules).await;
        let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
        // The end of it may meet the cut already.
        let _ = client.write_all(&noise(100_000)).await;
        let (got, ended) = told.recv().await.unwrap();
        assert_eq!(got, noise(usize::try_from(bytes).unwrap().max(1))[..usize::try_from(bytes).unwrap()]);
        assert_eq!(ended, error);
        let fired = proxy.fired(RuleId(1)).await;
        assert_eq!((fired.direction, fired.detail), (Some(Direction::Up), format!("after {bytes} bytes")));
        proxy.close().await;
    }
}

#[tokio::test]
async fn the_nth_connection_can_be_held_released_and_cut() {
    let proxy = proxy(echo().await, Protocol::Http, vec![]).await;
    let second = proxy.hold("connect#2".parse().unwrap()).unwrap();
    let third = proxy.hold("connect#3".parse().unwrap()).unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(proxy.addr()).await.unwrap());
    }
    assert_eq!(through(&mut clients[0], &noise(9)).await.unwrap(), noise(9));
    assert_eq!(second.reached().await.connection, Some(2));
    assert_eq!(third.reached().await.connection, Some(3));
    second.release();
    assert_eq!(through(&mut clients[1], &noise(9)).await.unwrap(), noise(9));
    third.cut();
    assert_eq!(read_all(&mut clients[2]).await.1, Some(ErrorKind::ConnectionReset));
    proxy.close().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_reset() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = proxy(gone, Protocol::Postgres, vec![]).await;
    assert_eq!(connect_and_read(proxy.addr()).await, Some(ErrorKind::ConnectionReset));
    until(|| proxy.stats().connections_ended == 1).await;
    assert_eq!(proxy.stats().upstream_failures, 1);
    proxy.set_upstream(echo().await);
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(through(&mut client, &noise(9)).await.unwrap(), noise(9));
    proxy.close().await;
}

#[tokio::test]
async fn closing_leaves_no_thread_and_no_connection() {
    let upstream = echo().await;
    let rules = vec![Rule::at("connect#3".parse().unwrap(), Effect::Hold)];
    let proxy = proxy(upstream, Protocol::Http, rules).await;
    let addr = proxy.addr();
    let mut clients = Vec::new();
    for n in 0..3 {
        let mut client = TcpStream::connect(addr).await.unwrap();
        if n < 2 {
            through(&mut client, &noise(9)).await.unwrap();
        }
        clients.push(client);
    }
    // One of them in the middle of a transfer that nobody takes.
    clients[0].try_write(&noise(1_000_000)).unwrap();
    proxy.fired(RuleId(1)).await;
    let name = format!("proxy-{}", addr.port());
    assert!(threads().contains(&name), "{:?}", threads());
    proxy.close().await;
    // Its tasks are gone when it says so; the thread itself is, a moment later.
    until(|| !threads().contains(&name)).await;
    assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // It never got a byte: the end is not an error.
    assert_eq!(read_all(&mut clients[2]).await, (vec![], None));
}

/// Names of the threads of this process.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

#[tokio::test]
async fn rules_are_replaced_as_a_whole_or_not_at_all() {
    let (proxy, mut client) = in_front_of_echo(vec![Rule::always(Effect::black_hole())]).await;
    client.write_all(&noise(9)).await.unwrap();
    let bad = vec![Rule::always(Effect::Reset), Rule::at("commit#1:sent".parse().unwrap(), Effect::Reset)];
    proxy.set_rules(bad).unwrap_err();
    let ids = proxy.set_rules(vec![Rule::always(Effect::rtt(Duration::from_micros(300)))]).unwrap();
    assert_eq!(ids, [RuleId(2)]);
    let mut back = vec![0; 9];
    client.read_exact(&mut back).await.unwrap();
    assert_eq!(back, noise(9));
    proxy.healed(RuleId(1)).await;
    proxy.close().await;
}
