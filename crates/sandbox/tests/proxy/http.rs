//! HTTP/1.1 through the proxy: counted, cut short in three forms, held in the middle of a body.

use std::io::ErrorKind;
use std::net::SocketAddr;

use sandbox::proxy::{Cut, Direction, Effect, Keep, Outcome, Protocol, Proxy, Rule, RuleId, Truncation, Way};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{proxy, read_all};

const BODY: &str = "<html>1234567890</html>";

fn length() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len())
}

fn chunked() -> String {
    let (a, b) = BODY.split_at(10);
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", b.len())
}

fn until_close() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{BODY}")
}

/// Answers by the path: `/length`, `/chunked`, `/close` (which ends the connection), `/none` (no body).
async fn site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                loop {
                    let mut target = None;
                    loop {
                        let mut line = String::new();
                        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                            return;
                        }
                        if line == "\r\n" {
                            break;
                        }
                        target.get_or_insert(line);
                    }
                    let target = target.unwrap_or_default();
                    let answer = match target.split(' ').nth(1).unwrap_or("") {
                        "/chunked" => chunked(),
                        "/close" => until_close(),
                        "/none" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                        _ if target.starts_with("HEAD") => length().replace(BODY, ""),
                        _ => length(),
                    };
                    let over = answer == until_close() || stream.write_all(answer.as_bytes()).await.is_err();
                    if over {
                        let _ = stream.write_all(answer.as_bytes()).await;
                        return;
                    }
                }
            });
        }
    });
    addr
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: track\r\n\r\n")
}

/// Asks for paths on one connection and reads to its end.
async fn ask(addr: SocketAddr, requests: &str) -> (String, Option<ErrorKind>) {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(requests.as_bytes()).await.unwrap();
    let (got, error) = read_all(&mut client).await;
    (String::from_utf8(got).unwrap(), error)
}

#[tokio::test]
async fn every_framing_passes_untouched_and_is_counted() {
    let proxy = proxy(site().await, Protocol::Http, vec![]).await;
    let head = get("/length").replace("GET", "HEAD");
    let requests = [get("/length"), get("/chunked"), head, get("/none"), get("/length"), get("/close")].concat();
    let (got, error) = ask(proxy.addr(), &requests).await;
    let none = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    assert_eq!(got, [length(), chunked(), length().replace(BODY, ""), none, length(), until_close()].concat());
    assert_eq!(error, None);
    let stats = proxy.stats();
    assert_eq!((stats.requests, stats.responses, stats.responses_failed, stats.opaque), (6, 6, 0, 0));
    assert_eq!(stats.requests_by_target["/length"], 3);
    proxy.close().await;
}

#[tokio::test]
async fn a_body_is_truncated_in_each_form_whatever_its_framing() {
    use Truncation::{NoLength, ShortLength, UnterminatedChunks};
    let proxy = proxy(site().await, Protocol::Http, vec![]).await;
    for (form, path, expected) in [
        (ShortLength, "/length", length().replace(&BODY[7..], "")),
        (UnterminatedChunks, "/chunked", chunked().split_inclusive(&BODY[..7]).next().unwrap().to_owned()),
        (NoLength, "/close", until_close().replace(&BODY[7..], "")),
        (
            UnterminatedChunks,
            "/length",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n7\r\n{}",
                &BODY[..7]
            ),
        ),
        (
            NoLength,
            "/length",
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nconnection: close\r\n\r\n{}", &BODY[..7]),
        ),
        (NoLength, "/chunked", format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", &BODY[..7])),
        (
            ShortLength,
            "/chunked",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000007\r\nconnection: close\r\n\r\n{}", &BODY[..7]),
        ),
    ] {
        let cut = Effect::Truncate { form, keep: Keep::Bytes(7) };
        let rule = Rule::at("response#2".parse().unwrap(), cut);
        let ids = proxy.set_rules(vec![rule]).unwrap();
        let (got, error) = ask(proxy.addr(), &[get("/none"), get(path), get("/none")].concat()).await;
        let whole = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(got.strip_prefix(whole), Some(expected.as_str()), "{form:?} of {path}");
        assert_eq!(error, None, "the connection is closed, not reset");
        let fired = proxy.fired(ids[0]).await;
        assert!(fired.detail.contains("after 7 bytes") && fired.detail.contains(path), "{}", fired.detail);
        assert_eq!(fired.direction, Some(Direction::Down));
    }
    // A switch: every response while it is on. By hundredths: of the length.
    let half = Effect::Truncate { form: ShortLength, keep: Keep::Percent(50) };
    proxy.set_rules(vec![Rule::switched("cut", half)]).unwrap();
    assert_eq!(ask(proxy.addr(), &[get("/length"), get("/close")].concat()).await.0, length() + &until_close());
    proxy.set_switch("cut", true);
    assert_eq!(ask(proxy.addr(), &get("/length")).await.0, length().replace(&BODY[BODY.len() / 2..], ""));
    proxy.close().await;
}

#[tokio::test]
async fn what_is_too_short_to_be_cut_is_not_said_to_have_been() {
    let cut = |keep| Effect::Truncate { form: Truncation::NoLength, keep };
    let rules = vec![
        Rule::at("response#1".parse().unwrap(), cut(Keep::Bytes(1000))),
        Rule::at("response#2".parse().unwrap(), cut(Keep::Percent(0))),
    ];
    let proxy = proxy(site().await, Protocol::Http, rules).await;
    let (got, _) = ask(proxy.addr(), &[get("/length"), get("/none"), get("/close")].concat()).await;
    assert_eq!(got, length() + "HTTP/1.1 204 No Content\r\n\r\n" + &until_close());
    assert_eq!(proxy.log(), []);
    proxy.close().await;
}

#[tokio::test]
async fn a_response_is_held_halfway_and_cut() {
    let proxy = proxy(site().await, Protocol::Http, vec![]).await;
    let hold = proxy.hold("response(length)#1:half".parse().unwrap()).unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    client.write_all((get("/none") + &get("/length")).as_bytes()).await.unwrap();
    let fired = hold.reached().await;
    assert_eq!(fired.detail, "200 to GET /length");
    let expected = "HTTP/1.1 204 No Content\r\n\r\n".to_owned() + &length().replace(&BODY[BODY.len() / 2..], "");
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), expected);
    hold.cut();
    assert_eq!(read_all(&mut client).await, (vec![], Some(ErrorKind::ConnectionReset)));
    proxy.close().await;
}

#[tokio::test]
async fn a_request_can_be_stopped_before_it_reaches_the_site() {
    let rule = Rule::at("request(chunked)#1".parse().unwrap(), Effect::Reset);
    let proxy = proxy(site().await, Protocol::Http, vec![rule]).await;
    let (got, error) = ask(proxy.addr(), &(get("/length") + &get("/chunked"))).await;
    assert!(length().starts_with(&got), "at most the first answer came");
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    assert_eq!(proxy.stats().bytes_up, get("/length").len() as u64);
    let detail = proxy.fired(RuleId(1)).await.detail;
    assert!(detail.starts_with("GET /chunked; not answered whole: ") && detail.ends_with("GET /chunked"), "{detail}");
    proxy.close().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_tells_which_answers_its_client_did_not_get_whole() {
    // By the time the client has seen the end. The log tells it too, in its own time.
    let lost = async |proxy: &Proxy| {
        let cut: Vec<String> = proxy.cut_answers().into_iter().map(|cut| cut.request).collect();
        let detail = proxy.fired(RuleId(1)).await.detail;
        assert!(detail.ends_with(&cut.join(" ")), "{detail}");
        cut
    };
    // Two answers that came whole, and then a request that is never sent on.
    let rule = Rule::at("request#3".parse().unwrap(), Effect::Reset);
    let proxy = proxy(site().await, Protocol::Http, vec![rule]).await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let expected = chunked() + &length();
    client.write_all((get("/chunked") + &get("/length")).as_bytes()).await.unwrap();
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).await.unwrap();
    client.write_all(get("/length").as_bytes()).await.unwrap();
    read_all(&mut client).await;
    assert_eq!(lost(&proxy).await, ["GET /length"]);
    proxy.close().await;

    // Cut right behind an answer: it had come whole. In its middle: it had not.
    for (moment, expected) in [("response#2:after", &[][..]), ("response#2:half", &["GET /length", "GET /none"])] {
        let rule = Rule::at(moment.parse().unwrap(), Effect::Reset);
        let proxy = crate::support::proxy(site().await, Protocol::Http, vec![rule]).await;
        let requests = [get("/chunked"), get("/length")].concat()
            + if !expected.is_empty() { "GET /none HTTP/1.1\r\n\r\n" } else { "" };
        ask(proxy.addr(), &requests).await;
        assert_eq!(lost(&proxy).await, expected, "{moment}");
        proxy.close().await;
    }
}

#[tokio::test]
async fn a_rule_that_is_added_while_a_request_stands_still_may_be_for_its_response() {
    let proxy = proxy(site().await, Protocol::Http, vec![]).await;
    let hold = proxy.hold("request(length)#1".parse().unwrap()).unwrap();
    let addr = proxy.addr();
    let client = tokio::spawn(async move { ask(addr, &get("/length")).await });
    hold.reached().await;
    let cut = Effect::Truncate { form: Truncation::UnterminatedChunks, keep: Keep::Percent(50) };
    let rule = proxy.add_rule(Rule::at("response(length)#1".parse().unwrap(), cut)).unwrap();
    drop(hold);
    let (got, _) = client.await.unwrap();
    assert!(got.contains("transfer-encoding: chunked") && got.len() < length().len() + 60, "{got}");
    // It is told when the connection has ended, which the client may notice first.
    assert_eq!(proxy.fired(rule).await.connection, Some(1));
    proxy.close().await;
}

#[tokio::test]
async fn a_connection_is_cut_so_many_bytes_after_a_moment() {
    let cut = Effect::CutAfter { bytes: 20, way: Way::Down, how: Cut::Close };
    let rule = Rule::at("response#2".parse().unwrap(), cut);
    let proxy = proxy(site().await, Protocol::Http, vec![rule]).await;
    let (got, error) = ask(proxy.addr(), &(get("/length") + &get("/chunked"))).await;
    assert_eq!(got, length() + &chunked()[..20]);
    assert_eq!(error, None);
    assert_eq!(proxy.fired(RuleId(1)).await.connection, Some(1));
    assert_eq!(ask(proxy.addr(), &get("/close")).await.0, until_close(), "only that connection");
    proxy.close().await;
}

#[tokio::test]
async fn a_slow_body_comes_whole_and_only_that_one_is_slow() {
    let slow = Effect::SlowBody { bytes_per_second: 2000 };
    let rule = Rule::at("response#2".parse().unwrap(), slow);
    let proxy = proxy(site().await, Protocol::Http, vec![rule]).await;
    let requests = [get("/length"), get("/chunked"), get("/length"), get("/close")].concat();
    let (got, _) = ask(proxy.addr(), &requests).await;
    assert_eq!(got, [length(), chunked(), length(), until_close()].concat());
    let log = proxy.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!((log[0].outcome, log[0].connection), (Outcome::Fired, Some(1)));
    proxy.close().await;
}
