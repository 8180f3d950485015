//! Local servers: real ones, as whoever runs the tests.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres_support;

use std::path::Path;
use std::time::Duration;

use postgres_support::{alive_under, local, scalar, statement};
use sandbox::leftovers::start_of;
use sandbox::postgres::{Capability, Choice, Down, Error, Kind, Options, Server, connect, wal_position};

const DATA: &str = "SELECT current_setting('data_directory')";

#[tokio::test]
async fn a_server_starts_tells_what_it_is_and_leaves_nothing() {
    let server = local().await;
    let facts = server.facts();
    assert_eq!(facts.kind, Kind::Local);
    assert!(facts.version_num >= 130_000 && facts.version.starts_with(&facts.major().to_string()), "{facts:?}");
    for durable in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(facts.settings[durable], "on", "durability is at its default");
    }
    assert_eq!(facts.settings["max_connections"], "200");
    assert!(facts.pg_stat_statements);
    let shown = serde_json::to_string(facts).unwrap() + &format!("{server:?}");
    let password = server.admin_url().expose().split(['@', ':']).nth(2).unwrap().to_owned();
    assert_eq!(password.len(), 32);
    assert!(!shown.contains(&password), "no password in facts or debug output");

    let postmaster = server.postmaster().unwrap();
    let directory: String = scalar(server.admin_url(), DATA).await;
    assert!(Path::new(&directory).exists());
    server.dispose().await.unwrap();
    assert_eq!(start_of(postmaster), None);
    assert_eq!(alive_under(&directory), Vec::<i32>::new());
    assert!(!Path::new(&directory).parent().unwrap().exists());
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn dropping_a_server_ends_it() {
    let server = local().await;
    let directory: String = scalar(server.admin_url(), DATA).await;
    let lock_file = std::fs::read_to_string(Path::new(&directory).join("postmaster.pid")).unwrap();
    let segment = lock_file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    assert!(shared_memory().contains(&segment), "{segment}");
    drop(server);
    assert_eq!(alive_under(&directory), Vec::<i32>::new());
    assert!(!Path::new(&directory).parent().unwrap().exists());
    assert!(!shared_memory().contains(&segment), "killed, it could not take its segment with it");
}

/// Numbers of the System V segments that there are.
fn shared_memory() -> Vec<String> {
    let listed = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    listed.lines().skip(1).filter_map(|line| Some(line.split_whitespace().nth(1)?.to_owned())).collect()
}

#[tokio::test]
async fn the_engine_is_no_superuser_and_a_password_is_asked_for() {
    let server = local().await;
    let mine = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    assert!(!scalar::<bool>(&server.engine_url("postgres"), mine).await);
    for role in ["postgres", "engine"] {
        let error = connect(&server.admin_url().with_role(role, None)).await.unwrap_err();
        assert!(error.to_string().contains("connecting to postgresql://"), "{error}");
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_every_way_down() {
    let server = local().await;
    statement(&server, "CREATE TABLE kept (n int)").await;
    statement(&server, "INSERT INTO kept VALUES (1)").await;
    let port = server.admin_url().port();
    for (how, status) in [(Down::Kill, "signal SIGKILL"), (Down::Quit, "exit code 0"), (Down::Fast, "exit code 0")] {
        // A transaction that is open, in the middle of a long statement: it may neither hold the server up nor survive.
        let url = server.admin_url().clone();
        let busy = tokio::spawn(async move {
            let mut connection = connect(&url).await.unwrap();
            sqlx::raw_sql("BEGIN; INSERT INTO kept VALUES (2); SELECT count(*) FROM generate_series(1, 1000000000000)")
                .execute(&mut connection)
                .await
                .unwrap_err()
        });
        let is_busy =
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT%' AND backend_xid IS NOT NULL";
        postgres_support::until(&server, is_busy).await;
        let before = server.postmaster().unwrap();
        let restarted = server.restart(how).await.unwrap();
        busy.await.unwrap();
        assert_eq!(restarted.stopped.how, how);
        assert_eq!(restarted.stopped.status, status, "{how:?}");
        assert!(restarted.ready.took > Duration::ZERO);
        assert_ne!(server.postmaster().unwrap(), before);
        assert_eq!(server.admin_url().port(), port, "the address stays");
        let rows: i64 = scalar(server.admin_url(), "SELECT count(*) FROM kept").await;
        assert_eq!(rows, 1, "{how:?}");
    }
    let log = server.log_tail().await;
    assert!(log.contains("fast shutdown"), "{log}");
}

#[tokio::test]
async fn stop_and_start_refuse_what_makes_no_sense() {
    let server = local().await;
    assert!(matches!(server.start().await, Err(Error::State { state: "running", .. })));
    assert!(matches!(server.resume().await, Err(Error::State { state: "not paused", .. })));
    server.stop(Down::Kill).await.unwrap();
    assert!(matches!(server.stop(Down::Kill).await, Err(Error::State { state: "not running", .. })));
    assert!(matches!(server.pause().await, Err(Error::State { state: "not running", .. })));
    assert!(matches!(server.used(), Err(Error::State { .. })));
    assert!(connect(server.admin_url()).await.is_err(), "nothing listens");
    server.start().await.unwrap();
    let refused = server.disconnect().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Unsupported(why) if why.capability == Capability::NetworkDisconnect),
        "{refused}"
    );
    assert!(refused.to_string().contains("proxy"), "{refused}");
}

#[tokio::test]
async fn a_paused_server_answers_nobody_until_it_is_resumed() {
    let server = local().await;
    let mut connection = connect(server.admin_url()).await.unwrap();
    server.pause().await.unwrap();
    // Proof by state, not by time: every process of it is stopped.
    let states = postgres_support::states(server.postmaster().unwrap());
    assert!(states.len() > 3 && states.iter().all(|&state| state == 'T'), "{states:?}");
    assert!(matches!(server.pause().await, Err(Error::State { .. })));
    assert!(matches!(server.stop(Down::Fast).await, Err(Error::State { state: "paused", .. })));
    server.resume().await.unwrap();
    sqlx::query("SELECT 1").execute(&mut connection).await.unwrap();
    // A crash while frozen.
    server.pause().await.unwrap();
    server.restart(Down::Kill).await.unwrap();
    assert_eq!(scalar::<i32>(server.admin_url(), "SELECT 1").await, 1);
}

#[tokio::test]
async fn a_server_that_died_by_itself_can_be_started_again() {
    let server = local().await;
    let postmaster = nix::unistd::Pid::from_raw(server.postmaster().unwrap());
    nix::sys::signal::kill(postmaster, nix::sys::signal::Signal::SIGKILL).unwrap();
    while server.postmaster().is_ok() {
        tokio::task::yield_now().await;
    }
    server.start().await.unwrap();
    assert_eq!(scalar::<i32>(server.admin_url(), "SELECT 1").await, 1);
}

#[tokio::test]
async fn a_setting_that_does_not_exist_shows_the_servers_own_words() {
    let options = Options { settings: vec![("no_such_setting".into(), "1".into())], ..Options::default() };
    let error = Server::obtain(&Choice::Local, &options).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("unrecognized configuration parameter \"no_such_setting\""), "{error}");
}

#[tokio::test]
async fn settings_can_be_given_for_a_positive_control() {
    let options = Options { settings: vec![("synchronous_commit".into(), "off".into())], ..Options::default() };
    let server = Server::obtain(&Choice::Local, &options).await.unwrap();
    assert_eq!(server.facts().settings["synchronous_commit"], "off");
}

#[tokio::test]
async fn cpu_counts_exited_backends_and_former_incarnations() {
    let server = local().await;
    let meter = server.meter(Duration::from_millis(20)).unwrap();
    statement(&server, "SELECT sum(sqrt(n)) FROM generate_series(1, 1500000) n").await;
    let seen = server.used().unwrap();
    assert!(seen.processes >= 5 && seen.rss_bytes > 10_000_000, "{seen:?}");
    server.restart(Down::Kill).await.unwrap();
    let after = server.used().unwrap();
    assert!(after.cpu.total_us() >= seen.cpu.total_us(), "{after:?} is less than {seen:?}");
    let measured = meter.finish().await.unwrap();
    assert!(measured.cpu.user_us >= 50_000, "1.5 million square roots take more than 50 ms: {measured:?}");
    assert!(measured.peak.samples > 0 && measured.peak.rss_bytes > 10_000_000, "{measured:?}");
    if let Some(pss) = measured.peak.pss_bytes {
        assert!(pss > 1_000_000 && pss < measured.peak.rss_bytes, "{measured:?}");
    }
}

#[tokio::test]
async fn the_log_position_moves_by_what_is_written() {
    let server = local().await;
    let mut connection = connect(server.admin_url()).await.unwrap();
    let start = wal_position(&mut connection).await.unwrap();
    statement(&server, "CREATE TABLE filled AS SELECT repeat('x', 50) || n FROM generate_series(1, 20000) n").await;
    let end = wal_position(&mut connection).await.unwrap();
    assert!((1_000_000..50_000_000).contains(&end.bytes_since(start)), "{}", end.bytes_since(start));
    assert_eq!(start.bytes_since(end), 0);
}

#[tokio::test]
async fn servers_side_by_side_share_the_cache_and_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let cache = parent.path().join("cache");
    let options = Options { cache: Some(cache.clone()), ..Options::default() };
    let (a, b) = tokio::join!(Server::obtain(&Choice::Local, &options), Server::obtain(&Choice::Local, &options));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_ne!(a.admin_url().port(), b.admin_url().port());
    statement(&a, "CREATE TABLE only_here (n int)").await;
    let is_there = "SELECT to_regclass('only_here') IS NOT NULL";
    assert!(!scalar::<bool>(b.admin_url(), is_there).await);
    let kept: Vec<_> = std::fs::read_dir(&cache).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(kept.len(), 1, "one finished copy and no scratch: {kept:?}");
    // From the cache now.
    let c = Server::obtain(&Choice::Local, &options).await.unwrap();
    assert!(!scalar::<bool>(c.admin_url(), is_there).await);
}

#[tokio::test]
async fn a_kept_server_leaves_its_data_under_a_name_that_no_sweep_takes() {
    let server = local().await;
    statement(&server, "CREATE TABLE kept (n int)").await;
    let directory: String = scalar(server.admin_url(), DATA).await;
    let text = server.keep().await.unwrap();
    drop(server);
    let kept =
        text.split_whitespace().find(|word| word.contains("liverc-kept-")).unwrap().trim_end_matches('.').to_owned();
    let has_data = Path::new(&kept).join("data/PG_VERSION").exists();
    let is_shut_down = !Path::new(&kept).join("data/postmaster.pid").exists();
    std::fs::remove_dir_all(&kept).unwrap();
    assert!(has_data && is_shut_down, "{text}");
    assert!(!Path::new(&directory).exists() && alive_under(&directory).is_empty());
}

const NOWHERE: &str = "LIVERC_TEST_NOWHERE";

/// Runs this binary again, without a Docker daemon and without binaries.
#[tokio::test]
async fn with_nothing_to_be_had_the_message_says_how_to_get_either() {
    if std::env::var_os(NOWHERE).is_some() {
        let error = Server::obtain(&Choice::Auto, &Options::default()).await.unwrap_err();
        println!("\nEXIT {} {error}", error.exit_code());
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_nothing_to_be_had_the_message_says_how_to_get_either", "--nocapture"])
        .env(NOWHERE, "1")
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .env("PG_BIN", "/nonexistent/bin")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.split("EXIT ").nth(1).unwrap();
    assert!(said.starts_with("5 "), "{said}");
    for part in [
        "docker:",
        "PG_BIN is /nonexistent/bin",
        "fixtures/postgres-image/build",
        "apt install",
        "--postgres postgres://",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
