//! The client against a mock server, and against sockets that misbehave as no mock does.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use ingest::liverc::client::{Advice, FetchCause};
use ingest::liverc::{Client, ClientSettings};
use ingest::retry::RetryPolicy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const PAGE: &str = "<html><body>ZOË</body></html>";

fn settings() -> ClientSettings {
    let budget = Duration::from_secs(120);
    let retry = RetryPolicy { attempts: 5, base: Duration::from_millis(1), cap: Duration::from_millis(20), budget };
    ClientSettings { retry, max_body: 1000, ..ClientSettings::unthrottled() }
}

fn client() -> Client {
    Client::new(settings()).unwrap()
}

fn html(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "text/html; charset=UTF-8")
}

async fn server(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for answer in answers {
        Mock::given(any()).respond_with(answer).up_to_n_times(1).mount(&server).await;
    }
    server
}

/// Accepts a connection and reads its request.
async fn accept(listener: &TcpListener) -> tokio::net::TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    let _ = socket.read(&mut [0; 4096]).await.unwrap();
    socket
}

/// A server that writes these bytes and closes the connection, once for each.
async fn raw_server(answers: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let mut socket = accept(&listener).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}/x")
}

#[tokio::test]
async fn a_page_is_fetched() {
    let server = server(vec![html(PAGE)]).await;
    let client = client();
    let page = client.fetch(&server.uri()).await.unwrap();
    assert_eq!((page.text.as_str(), page.bytes, page.attempts), (PAGE, PAGE.len(), 1));
    assert_eq!((client.counters().requests, client.counters().max_in_flight), (1, 1));
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let later = |seconds| Advice::RetryLater(Some(Duration::from_secs(seconds)));
    let json = ResponseTemplate::new(200).set_body_raw("{}", "application/json");
    let large = "<html>".repeat(400);
    for (answer, cause, advice) in [
        (ResponseTemplate::new(404), FetchCause::NotFound(404), Advice::Permanent),
        (ResponseTemplate::new(410), FetchCause::NotFound(410), Advice::Permanent),
        (ResponseTemplate::new(403), FetchCause::Status(403), Advice::Permanent),
        (ResponseTemplate::new(500), FetchCause::Status(500), Advice::RetryLater(None)),
        (ResponseTemplate::new(503).insert_header("Retry-After", "3"), FetchCause::Status(503), later(3)),
        (ResponseTemplate::new(429).insert_header("Retry-After", "7"), FetchCause::Status(429), later(7)),
        (
            ResponseTemplate::new(429).insert_header("Retry-After", "Mon, 01 Jan 2001 00:00:00 GMT"),
            FetchCause::Status(429),
            later(0),
        ),
        (ResponseTemplate::new(429), FetchCause::Status(429), Advice::RetryLater(None)),
        (json, FetchCause::NotHtml { content_type: "application/json".into() }, Advice::NextCall),
        (html(&large), FetchCause::TooLarge { limit: 1000 }, Advice::NextCall),
    ] {
        let server = server(vec![answer]).await;
        let error = client().fetch(&server.uri()).await.unwrap_err();
        assert_eq!((error.cause, error.advice), (cause, advice));
    }
}

#[tokio::test]
async fn a_cut_transfer_in_all_three_forms_is_tried_again() {
    let short = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 900\r\n\r\n<html>";
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n";
    let undeclared = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><p>half of i";
    let whole = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>";
    let url = raw_server(vec![short, chunked, undeclared, whole]).await;
    let mut seen = Vec::new();
    let page = client().fetch_with_retries(&url, |error, wait| seen.push((error.clone(), wait))).await.unwrap();
    assert_eq!((page.text.as_str(), page.attempts), ("<html></html>", 4));
    let told: Vec<_> = seen.iter().map(|(e, _)| (e.attempts, e.advice)).collect();
    assert_eq!(told, [(1, Advice::RetryNow), (2, Advice::RetryNow), (3, Advice::RetryNow)]);
    assert_eq!(seen[0].1, Duration::ZERO);
    assert!(matches!(seen[0].0.cause, FetchCause::Broken(_)) && matches!(seen[2].0.cause, FetchCause::CutShort(_)));
}

#[tokio::test]
async fn retries_end() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).expect(3).mount(&server).await;
    let client =
        Client::new(ClientSettings { retry: RetryPolicy { attempts: 3, ..settings().retry }, ..settings() }).unwrap();
    let mut retries = 0;
    let error = client.fetch_with_retries(&server.uri(), |_, _| retries += 1).await.unwrap_err();
    assert_eq!((error.attempts, retries, error.cause), (3, 2, FetchCause::Status(500)));
    assert_eq!(client.counters().requests, 3);
}

#[tokio::test]
async fn retries_end_with_their_budget_too() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    let budget = Duration::from_millis(200);
    let retry =
        RetryPolicy { attempts: u32::MAX, base: Duration::from_millis(20), cap: Duration::from_millis(40), budget };
    let client = Client::new(ClientSettings { retry, ..settings() }).unwrap();
    let error = client.fetch_with_retries(&server.uri(), |_, _| {}).await.unwrap_err();
    // Each pause is 20 ms or longer, so no more than ten begin within the budget.
    assert!((2..=11).contains(&error.attempts), "{error}");
}

#[tokio::test]
async fn a_body_may_neither_fall_silent_nor_take_for_ever() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    tokio::spawn(async move {
        // The first falls silent, the second goes on and on.
        let mut silent = accept(&listener).await;
        silent.write_all(HEAD).await.unwrap();
        let mut endless = accept(&listener).await;
        endless.write_all(HEAD).await.unwrap();
        while endless.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let long = Duration::from_secs(3600);
    let (short, max_body) = (Duration::from_millis(100), usize::MAX);
    let impatient = ClientSettings { silence_timeout: short, body_timeout: long, max_body, ..settings() };
    let error = Client::new(impatient).unwrap().fetch(&url).await.unwrap_err();
    let FetchCause::Timeout { what, limit } = error.cause else { panic!("{error}") };
    assert_eq!((what, limit), ("the next part of the body", short));
    let hurried = ClientSettings { silence_timeout: long, body_timeout: short, max_body, ..settings() };
    let error = Client::new(hurried).unwrap().fetch(&url).await.unwrap_err();
    assert!(matches!(error.cause, FetchCause::Timeout { what: "the body", .. }), "{error}");
    assert_eq!(error.advice, Advice::RetryLater(None));
}

#[tokio::test]
async fn a_page_too_large_is_not_read_to_its_end() {
    // Of no declared length, and without an end.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let sent = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").await.unwrap();
        while socket.write_all(&[b' '; 4096]).await.is_ok() {}
    });
    let error = client().fetch_with_retries(&url, |_, _| panic!("no retry in this call")).await.unwrap_err();
    assert_eq!((error.cause, error.advice), (FetchCause::TooLarge { limit: 1000 }, Advice::NextCall));
    sent.await.unwrap(); // the connection was closed
}

#[tokio::test]
async fn what_is_permanent_is_not_tried_again() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(404)).expect(1).mount(&server).await;
    let error = client().fetch_with_retries(&server.uri(), |_, _| panic!("no retry")).await.unwrap_err();
    assert_eq!(error.attempts, 1);
}

#[tokio::test]
async fn a_host_that_asks_for_too_long_a_pause_gets_it_from_all() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(429).insert_header("Retry-After", "3600");
    Mock::given(any()).respond_with(answer).expect(1).mount(&server).await;
    let client = client();
    let first = client.fetch_with_retries(&server.uri(), |_, _| panic!("no retry")).await.unwrap_err();
    assert_eq!(first.cause, FetchCause::Status(429));
    // Another fetch, of a clone, fails without a request.
    let second = client.clone().fetch_with_retries(&format!("{}/other", server.uri()), |_, _| panic!("no retry")).await;
    assert!(matches!(second.unwrap_err().cause, FetchCause::Closed { .. }));
}

#[tokio::test]
async fn a_pause_of_seconds_is_kept() {
    let server =
        server(vec![ResponseTemplate::new(429).insert_header("Retry-After", "1"), html(PAGE), html(PAGE)]).await;
    let client = client();
    let begin = std::time::Instant::now();
    let mut waits = Vec::new();
    let page = client.fetch_with_retries(&server.uri(), |_, wait| waits.push(wait)).await.unwrap();
    assert_eq!(page.attempts, 2);
    assert!(waits[0] >= Duration::from_secs(1));
    // A lower bound only: that the pause was kept.
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn no_more_in_flight_than_allowed() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(html(PAGE).set_delay(Duration::from_millis(20))).mount(&server).await;
    let client = Client::new(ClientSettings { max_in_flight: 2, ..settings() }).unwrap();
    let url = server.uri();
    let fetches = (0..8).map(|_| client.fetch(&url));
    assert!(futures::future::join_all(fetches).await.iter().all(Result::is_ok));
    let counters = client.counters();
    assert_eq!((counters.requests, counters.max_in_flight), (8, 2));
}

#[tokio::test]
async fn redirections_stay_on_the_host() {
    let server = MockServer::start().await;
    let to = |url: String| ResponseTemplate::new(302).insert_header("Location", url);
    Mock::given(path("/same")).respond_with(to("/page".into())).mount(&server).await;
    Mock::given(path("/other")).respond_with(to("http://localhost:9/page".into())).mount(&server).await;
    Mock::given(path("/loop")).respond_with(to("/loop".into())).mount(&server).await;
    Mock::given(path("/page")).respond_with(html(PAGE)).mount(&server).await;
    let client = client();
    assert!(client.fetch(&format!("{}/same", server.uri())).await.is_ok());
    for elsewhere in ["other", "loop"] {
        let error = client.fetch(&format!("{}/{elsewhere}", server.uri())).await.unwrap_err();
        assert!(matches!(error.cause, FetchCause::Redirect(_)), "{error}");
        assert_eq!(error.advice, Advice::Permanent);
    }
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_given_up() {
    // A listener whose queue is full (Linux: one more than the backlog) leaves a SYN without an answer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut queued = Vec::new();
    for _ in 0..2 {
        queued.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(3600));
    let hasty = ClientSettings { connect_timeout: short, first_byte_timeout: long, ..settings() };
    let client = Client::new(hasty).unwrap();
    let error = client.fetch(&format!("http://{address}/x")).await.unwrap_err();
    assert_eq!(error.cause, FetchCause::Timeout { what: "connecting", limit: short });
    assert_eq!(error.advice, Advice::RetryLater(None));
    drop((queued, full));
}

#[tokio::test]
async fn slow_answers_and_absent_hosts() {
    let server = server(vec![html(PAGE).set_delay(Duration::from_secs(30))]).await;
    let hasty = Client::new(ClientSettings { first_byte_timeout: Duration::from_millis(50), ..settings() }).unwrap();
    let error = hasty.fetch(&server.uri()).await.unwrap_err();
    assert!(matches!(error.cause, FetchCause::Timeout { what: "the answer", .. }), "{error}");
    assert_eq!(error.advice, Advice::RetryLater(None));

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client().fetch(&format!("http://user:secret@{free}/x")).await.unwrap_err();
    assert!(matches!(error.cause, FetchCause::Connect(_)), "{error}");
    assert_eq!(error.advice, Advice::RetryLater(None));
    assert!(!format!("{error} {error:?}").contains("secret"));
    let error = client().fetch("http://user:secret@ho st/").await.unwrap_err();
    assert!(matches!(error.cause, FetchCause::BadUrl(_)) && !format!("{error} {error:?}").contains("secret"));
}
