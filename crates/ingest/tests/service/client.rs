//! The client on a bad line: it is never wrong about what became of an import.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use ingest::service::client::{Importer, Patience, Told, Verdict};
use ingest::service::model::ImportRequest;
use ingest::service::server::{Limits, Token};
use nix::sys::signal::Signal;
use sandbox::proxy::{Effect, Keep, Moment, Protocol, Proxy, Rule, Truncation};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::common::{Db, database};
use crate::help::{EVENT, Process, Server, answer, limits, post, request, site, until};

/// As the default, but quick.
const QUICK: Patience = Patience {
    whole: Duration::from_secs(60),
    recovery: Duration::from_millis(50),
    poll: Duration::from_millis(20),
    wait: Duration::from_secs(10),
};

fn importer(url: &str, patience: Patience) -> Importer {
    Importer::new(url, None, patience).unwrap()
}

async fn import(url: &str, request: &ImportRequest) -> Told {
    importer(url, QUICK).import(request, |_| {}).await
}

async fn relay(server: &Server, moment: &str, effect: Effect) -> (Proxy, String) {
    let upstream: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let rule = Rule::at(moment.parse::<Moment>().unwrap(), effect);
    let proxy = Proxy::start(upstream, Protocol::Http, vec![rule], 1).await.unwrap();
    let url = format!("http://{}", proxy.addr());
    (proxy, url)
}

fn refresh() -> ImportRequest {
    ImportRequest { refresh: true, ..request(EVENT) }
}

async fn complete(server: &Server) {
    let (_, job) = answer(post(&server.url, "?wait=60", &json!({"track": "testtrack", "event_id": EVENT}))).await;
    assert_eq!(job["state"], "completed", "{job:#}");
}

async fn jobs(db: &Db) -> String {
    db.text("SELECT count(*)::text FROM ingest_jobs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_answer_is_lost_is_success() {
    let short = Effect::Truncate { form: Truncation::ShortLength, keep: Keep::Percent(50) };
    for (moment, effect) in
        [("response(ingest)", Effect::Reset), ("response(ingest)", Effect::Close), ("response(ingest)", short)]
    {
        for request in [request(EVENT), refresh()] {
            let (db, site) = (database().await, site(None).await);
            let server = Server::start(&db, Some(&site), limits(), None).await;
            let (proxy, url) = relay(&server, moment, effect.clone()).await;
            let told = import(&url, &request).await;
            let words = told.words().unwrap();
            assert!(
                words.contains("event 700 is complete") && words.contains("its answer was lost on the way"),
                "{words}"
            );
            assert_eq!((told.exit(), told.recovered, told.failed_calls), (0, true, 1), "{moment}: {told:?}");
            assert_eq!(proxy.log().len(), 1, "the answer was lost indeed");
            assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full");
            assert_eq!(jobs(&db).await, "1", "nothing was asked for twice");
            server.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_failed_is_told_so_though_its_answer_was_lost() {
    let (db, site) = (database().await, site(Some("9003")).await);
    let server = Server::start(&db, Some(&site), limits(), None).await;
    let (_proxy, url) = relay(&server, "response(ingest)", Effect::Reset).await;
    let told = import(&url, &request(EVENT)).await;
    let words = told.words().unwrap_err();
    assert!(words.contains("was not imported completely") && words.contains("race 9003: "), "{words}");
    assert!(told.exit() != 0 && told.recovered && matches!(told.verdict, Verdict::Failed { .. }), "{told:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_came_is_told_so_with_what_was_tried() {
    let db = database().await;
    let server = Server::start(&db, None, limits(), None).await;
    let (_proxy, url) = relay(&server, "request(ingest)", Effect::Reset).await;
    let told = import(&url, &request(EVENT)).await;
    assert_eq!((&told.verdict, told.exit()), (&Verdict::NotDone, 75));
    let words = told.words().unwrap_err();
    assert!(words.contains(&format!("tried POST {url}/api/v1/events/ingest")) && words.contains("reset"), "{words}");
    assert_eq!(jobs(&db).await, "0");
    assert_eq!(
        db.text("SELECT count(*)::text FROM ingest_requests WHERE job_id IS NULL").await,
        "1",
        "and will not come"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_after_it_was_given_up_is_refused() {
    let db = database().await;
    let server = Server::start(&db, None, limits(), None).await;
    let (proxy, url) = relay(&server, "connect#99", Effect::Hold).await;
    let held = proxy.hold("request(ingest):half".parse().unwrap()).unwrap();
    let patience = Patience { whole: Duration::from_millis(300), ..QUICK };
    let told = importer(&url, patience).import(&request(EVENT), |_| {}).await;
    assert_eq!((&told.verdict, told.exit()), (&Verdict::NotDone, 75), "{told:?}");
    held.release();
    until("the end of every connection", async || {
        let stats = proxy.stats();
        stats.connections_ended == stats.connections && stats.connections > 0
    })
    .await;
    assert_eq!(jobs(&db).await, "0");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_event_is_no_proof_of_a_refresh() {
    let (db, mock) = (database().await, site(None).await);
    let server = Server::start(&db, Some(&mock), limits(), None).await;
    complete(&server).await;
    let (_proxy, url) = relay(&server, "request(ingest)", Effect::Reset).await;
    assert_eq!(import(&url, &refresh()).await.verdict, Verdict::NotDone);
    let (_proxy, url) = relay(&server, "request(ingest)", Effect::Reset).await;
    let told = import(&url, &request(EVENT)).await;
    assert!(told.exit() == 0 && told.recovered, "without refresh it is all that was wanted: {told:?}");
    server.end().await;

    let nowhere = Server::start(&db, Some(&MockServer::start().await), limits(), None).await;
    let (_proxy, url) = relay(&nowhere, "response(ingest)", Effect::Reset).await;
    let told = import(&url, &refresh()).await;
    assert!(matches!(told.verdict, Verdict::Failed { .. }) && told.exit() != 0, "{told:?}");
    assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full");
    nowhere.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_again_finishes_what_it_took() {
    let (db, site) = (database().await, site(None).await);
    let arm = [("HARNESS_ARM", "after-commit#2=kill")];
    let args = ["serve", "--lease", "1s", "--rate-limit", "0", "--listen"];
    let mut first = Process::start(&db, &site, &[&args[..], &["127.0.0.1:0"]].concat(), &arm);
    let url = first.url();
    let importing = tokio::spawn({
        let url = url.clone();
        async move { import(&url, &request(EVENT)).await }
    });
    assert!(!first.wait().success());
    let at = url.strip_prefix("http://").unwrap();
    let _second = Process::start(&db, &site, &[&args[..], &[at]].concat(), &[]);
    let told = importing.await.unwrap();
    assert_eq!((told.exit(), told.recovered), (0, true), "{told:?}");
    assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full");
    assert_eq!(db.text("SELECT takeovers::text FROM ingest_jobs").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_not_done_and_gone_for_good_is_unknown() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = import(&format!("http://{nobody}"), &request(EVENT)).await;
    assert_eq!((&told.verdict, told.exit(), told.failed_calls), (&Verdict::NotDone, 75, 2));
    assert!(told.words().unwrap_err().contains("refused"), "{told:?}");

    let db = database().await;
    let server = Server::start(&db, None, limits(), None).await;
    let (proxy, url) = relay(&server, "response(ingest)", Effect::Reset).await;
    proxy.add_rule(Rule::at("response(ingest)".parse().unwrap(), Effect::Refuse).on_all()).unwrap();
    let patience = Patience { whole: Duration::from_secs(6), recovery: Duration::from_millis(20), ..QUICK };
    let patience = Patience { wait: Duration::ZERO, ..patience };
    let told = importer(&url, patience).import(&request(EVENT), |_| {}).await;
    assert_eq!((&told.verdict, told.exit()), (&Verdict::Unknown, 75), "{told:?}");
    assert!(told.words().unwrap_err().contains("cannot be found out"));
    assert_eq!(jobs(&db).await, "1", "it was taken, which the client could not know");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_longer_than_the_user_goes_on() {
    let db = database().await;
    let server = Server::start(&db, None, limits(), None).await;
    let patience = Patience { whole: Duration::from_millis(200), wait: Duration::ZERO, ..QUICK };
    let told = importer(&server.url, patience).import(&request(EVENT), |_| {}).await;
    assert!(matches!(told.verdict, Verdict::GoesOn { .. }) && told.exit() == 75, "{told:?}");
    assert!(told.words().unwrap_err().contains("goes on"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_and_what_it_may_take_later_is_asked_again() {
    let db = database().await;
    let server = Server::start(&db, None, Limits { queue: 1, ..limits() }, Some("a-token-of-the-test")).await;
    let told = import(&server.url, &request(EVENT)).await;
    assert_eq!(told.exit(), 2, "{told:?}");
    let token = Token::new("a-token-of-the-test").unwrap();
    let patience = Patience { whole: Duration::from_secs(5), wait: Duration::ZERO, ..QUICK };
    let importer = Importer::new(&server.url, Some(token), patience).unwrap();
    let told = importer.import(&ImportRequest { track: "a.b".to_owned(), ..request(1) }, |_| {}).await;
    assert_eq!(told.exit(), 2, "{told:?}");
    let body = json!({"track": "testtrack", "event_id": 1});
    post(&server.url, "", &body).header("authorization", "Bearer a-token-of-the-test").send().await.unwrap();
    let told = importer.import(&request(2), |_| {}).await;
    assert_eq!(told.exit(), 75, "full: {told:?}");
    assert!(told.words().unwrap_err().contains("queue is full"), "{told:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_than_the_service_is_no_import() {
    for (template, verdict) in [
        (ResponseTemplate::new(404), Verdict::NotDone),
        (ResponseTemplate::new(403).set_body_string("<html>forbidden</html>"), Verdict::NotDone),
        (ResponseTemplate::new(200).set_body_string("<html>welcome</html>"), Verdict::Unknown),
        (ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:9/"), Verdict::Unknown),
    ] {
        let other = MockServer::start().await;
        Mock::given(wiremock::matchers::any()).respond_with(template).mount(&other).await;
        let told = import(&other.uri(), &request(EVENT)).await;
        assert_eq!((&told.verdict, told.exit()), (&verdict, 75), "{told:?}");
    }
}

fn command(url: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(cargo_bin!("ingest"));
    command.args(["import", "--server", url, "--recovery-wait", "50ms", "testtrack", "700"]).args(args);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_became_of_it() {
    let (db, site) = (database().await, site(None).await);
    let server = Server::start(&db, Some(&site), limits(), None).await;
    let (_proxy, url) = relay(&server, "response(ingest)", Effect::Reset).await;
    let run = |url: String, args: &'static [&'static str]| tokio::task::spawn_blocking(move || command(&url, args));
    let (exit, out, err) = run(url, &[]).await.unwrap();
    assert_eq!(exit, Some(0), "{out}{err}");
    assert!(out.contains("event 700 is complete: 5 races listed, 5 written"), "{out}");
    assert!(err.contains("asking what became of it in 50ms"), "{err}");
    let (exit, out, _) = run(server.url.clone(), &["--refresh", "--json"]).await.unwrap();
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &told["verdict"], &told["exit"]), (Some(0), &json!("complete"), &json!(0)), "{told:#}");
    assert_eq!(told["job"]["outcome"]["unchanged"], 5);
    let mut child = Process::start(&db, &site, &["serve", "--listen", "127.0.0.1:0"], &[]);
    let url = child.url();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.wait().code(), Some(0));
    let (exit, out, err) = run(url.clone(), &["--json"]).await.unwrap();
    assert_eq!(exit, Some(75));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["verdict"], "not-done");
    assert!(err.contains("was not imported: the request did not reach the server") && err.contains(&url), "{err}");
    server.end().await;
}
