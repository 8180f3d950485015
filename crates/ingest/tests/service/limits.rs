//! Who may ask for what, and how much.

use std::process::Command;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use ingest::service::server::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::database;
use crate::help::{Server, answer, http, limits, post, site};

const TOKEN: &str = "a-token-that-is-secret";

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_opens_and_it_is_told_nowhere() {
    let db = database().await;
    let server = Server::start(&db, None, limits(), Some(TOKEN)).await;
    let ask =
        |token: &str| http().get(format!("{}/api/v1/events", server.url)).header("authorization", token.to_owned());
    for wrong in
        ["", "Bearer", "Bearer a-token-that-is-secre", "Bearer a-token-that-is-secret2", "Basic a-token-that-is-secret"]
    {
        let response = ask(wrong).send().await.unwrap();
        assert_eq!(response.status(), 401, "{wrong}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"ingest\"");
        assert!(!response.text().await.unwrap().contains(TOKEN));
    }
    assert_eq!(answer(ask(&format!("Bearer {TOKEN}"))).await.0, 200);
    assert_eq!(answer(http().get(format!("{}/healthz", server.url))).await.0, 200);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_the_server_fetch_another_host() {
    let (db, site) = (database().await, site(None).await);
    let server = Server::start(&db, Some(&site), limits(), None).await;
    for track in [
        "127.0.0.1",
        "localhost:5432",
        "evil.example",
        "evil.example/x?",
        "a@evil.example",
        "a#",
        "a/../b",
        "%65vil",
        "..",
        "-",
        "a-",
        "",
        " a",
        "a\u{0}b",
        "a\r\nhost: evil",
        "[::1]",
        "\u{ff41}",
        "a\u{3002}b",
        &"a".repeat(64),
    ] {
        let (status, problem) = answer(post(&server.url, "", &json!({"track": track, "event_id": 1}))).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid")), "{track:?}: {problem}");
    }
    for event in [json!(0), json!(u64::MAX)] {
        assert_eq!(answer(post(&server.url, "", &json!({"track": "a", "event_id": event}))).await.0, 422, "{event}");
    }
    for event in [json!(-1), json!(1.5), json!("1"), json!("1&p=x"), json!(null), json!([1]), json!({"id": 1})] {
        assert_eq!(answer(post(&server.url, "", &json!({"track": "a", "event_id": event}))).await.0, 400, "{event}");
    }
    for field in ["url", "host", "base_url", "liverc.base_url"] {
        assert_eq!(
            answer(post(&server.url, "", &json!({"track": "a", "event_id": 1, field: "http://evil"}))).await.0,
            400
        );
    }
    assert!(site.received_requests().await.unwrap().is_empty(), "nothing was fetched");
    assert_eq!(db.text("SELECT count(*)::text FROM ingest_jobs").await, "0");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let db = database().await;
    let server = Server::start(&db, None, Limits { rate: 2, ..limits() }, None).await;
    let mut limited = 0;
    for _ in 0..20 {
        let response = http().get(format!("{}/api/v1/events", server.url)).send().await.unwrap();
        if response.status() == 429 {
            limited += 1;
            assert_eq!(response.headers()["retry-after"], "1");
        }
        assert_eq!(answer(http().get(format!("{}/readyz", server.url))).await.0, 200, "who watches is not limited");
    }
    assert!(limited > 0);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_takes_longer_than_the_deadline() {
    let db = database().await;
    let server = Server::start(&db, None, Limits { deadline: Duration::from_secs(4), ..limits() }, None).await;
    let body = json!({"track": "t", "event_id": 1});
    let (status, job) = answer(post(&server.url, "?wait=600", &body)).await;
    assert_eq!((status, &job["state"]), (202, &json!("queued")), "a wait ends before the deadline");
    let mut locker = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE ingest_jobs").execute(&mut locker).await.unwrap();
    let (status, problem) = answer(post(&server.url, "", &json!({"track": "t", "event_id": 2}))).await;
    assert_eq!((status, &problem["code"]), (503, &json!("deadline")));
    sqlx::raw_sql("COMMIT").execute(&mut locker).await.unwrap();
    // What the answer said is true: whether it was queued is unknown. It was, a little later.
    crate::help::until("the job", async || db.text("SELECT count(*)::text FROM ingest_jobs").await == "2").await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_and_what_is_nowhere_is_answered_too() {
    let db = database().await;
    let server = Server::start(&db, None, limits(), None).await;
    let (status, problem) = answer(http().get(format!("{}/admin", server.url))).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not-found")));
    let (status, problem) = answer(http().get(format!("{}/api/v1/events/ingest", server.url))).await;
    assert!(status == 405 || status == 400, "{status} {problem}");
    let (status, problem) = answer(http().put(format!("{}/healthz", server.url))).await;
    assert_eq!((status, &problem["code"]), (405, &json!("method-not-allowed")));
    let mut stream = tokio::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n").await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    assert!(text.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&text));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_told_before_anything_is_started() {
    let db = database().await;
    let told = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = Command::new(cargo_bin!("ingest"));
        let output = command.env("DATABASE_URL", &db.url).args(args).envs(env.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (args, env, code, part) in [
        (vec!["serve", "--listen", "0.0.0.0:0"], ("X", ""), 2, "needs a token"),
        (vec!["serve", "--listen", "localhost"], ("X", ""), 2, "must be an address and a port"),
        (vec!["serve"], ("INGEST_TOKEN", "short"), 2, "16 characters"),
        (vec!["serve", "--token-file", "/nowhere"], ("X", ""), 2, "--token-file /nowhere"),
        (vec!["serve", "--queue-limit", "0"], ("X", ""), 2, "--queue-limit `0`"),
        (vec!["serve", "--deadline", "10"], ("X", ""), 2, "--deadline `10`"),
        (vec!["work", "--jobs", "0"], ("X", ""), 2, "nothing to do"),
        (vec!["work"], ("INGEST_LAESE", "1s"), 2, "INGEST_LAESE"),
        (vec!["work"], ("DATABASE_URL", "mysql://me:s3cret-word@x/y"), 2, "the form is postgres://"),
        (vec!["import", "t", "1"], ("X", ""), 2, "--server http://"),
        (vec!["import", "--server", "ftp://x", "t", "1"], ("X", ""), 2, "http://"),
        (vec!["import", "--server", "http://u:s3cret-word@x", "t", "1"], ("X", ""), 2, "INGEST_TOKEN"),
    ] {
        let (exit, text) = told(&args, &[env]);
        assert!(text.contains(part) && !text.contains("s3cret-word"), "{args:?}: {text}");
        assert_eq!(exit, Some(code), "{args:?}: {text}");
    }
    db.run("DROP TABLE ingest_requests, ingest_jobs").await;
    let (exit, text) = told(&["work"], &[]);
    assert!(exit == Some(1) && text.contains("run `ingest migrate`"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_password_nor_token_is_logged() {
    let (db, site) = (database().await, site(None).await);
    let (scheme, rest) = db.url.split_once("://").unwrap();
    let (user, place) = rest.split_once('@').unwrap();
    // A password that is wrong, too: the errors that follow must not tell it either.
    let wrong = format!("{scheme}://{}:s3cret-word@{place}", user.split(':').next().unwrap());
    let dir = tempfile::tempdir().unwrap();
    for url in [&db.url, &wrong] {
        let log = dir.path().join("log");
        let mut command = Command::new(cargo_bin!("ingest"));
        command.env("DATABASE_URL", url).env("LIVERC_BASE_URL", site.uri()).env("INGEST_LOG", "trace");
        command.env("INGEST_TOKEN", TOKEN).args(["serve", "--listen", "127.0.0.1:0"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut server = command.spawn().unwrap();
        let mut said = String::new();
        let mut out = std::io::BufReader::new(server.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut said).unwrap();
        if let Some(at) = said.trim().strip_prefix("listening on ") {
            for token in [TOKEN, "a-token-that-is-wrong"] {
                let mut import = Command::new(cargo_bin!("ingest"));
                import.env("INGEST_TOKEN", token).env("INGEST_LOG", "trace");
                import.args(["import", "--server", at, "--timeout", "20s", "testtrack", "700"]);
                let output = tokio::task::spawn_blocking(move || import.output().unwrap()).await.unwrap();
                let told = [output.stdout, output.stderr].map(|o| String::from_utf8_lossy(&o).into_owned()).concat();
                assert!(!told.contains(token), "{told}");
            }
        }
        let _ = server.kill();
        let _ = server.wait();
        let told = std::fs::read_to_string(&log).unwrap();
        assert!(told.contains("ingest"), "there is a log: {told}");
        let password = url.split_once("://").unwrap().1.split_once('@').unwrap().0.split(':').nth(1);
        for secret in password.into_iter().chain([TOKEN, "a-token-that-is-wrong"]) {
            let line = told.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{line:?}");
        }
    }
}
