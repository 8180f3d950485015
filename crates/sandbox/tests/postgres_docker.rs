//! Servers in containers, where a Docker daemon answers. Where none does, each test says `docker: absent` and passes.
//! The image is made by `fixtures/postgres-image/build` when it is not there.
#![cfg(feature = "docker")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres_support;

use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use postgres_support::{at, scalar, statement};
use sandbox::leftovers::{Identity, Leftover, clean, find};
use sandbox::postgres::{Capability, Choice, Down, Error, Kind, LOCAL_IMAGE, Options, Server, Templates, connect};

fn docker(arguments: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether there is a daemon, with the image on it.
fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = *THERE.get_or_init(|| {
        if docker(&["version", "--format", "{{.Server.Version}}"]).is_none() {
            return false;
        }
        if docker(&["image", "inspect", LOCAL_IMAGE]).is_none() {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/postgres-image/build");
            assert!(Command::new(script).status().unwrap().success(), "the image can be made");
        }
        true
    });
    println!("docker: {}", if there { "ran" } else { "absent" });
    there
}

fn options() -> Options {
    Options { image: Some(LOCAL_IMAGE.to_owned()), ..Options::default() }
}

async fn container() -> Server {
    Server::obtain(&Choice::Docker, &options()).await.unwrap()
}

/// Names of the containers of this process.
fn ours() -> Vec<String> {
    let filter = format!("label=liverc-harness={}", Identity::own());
    let names = docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}} {{.Ports}}"]).unwrap();
    names.lines().map(str::to_owned).collect()
}

/// That of a server, by its port.
fn name_of(server: &Server) -> String {
    let port = server.admin_url().port().to_string();
    let line = ours().into_iter().find(|line| line.contains(&port)).expect("a container with the server's port");
    line.split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_container_starts_tells_what_it_is_and_is_removed_with_its_volume() {
    if !is_there() {
        return;
    }
    let server = container().await;
    let facts = server.facts();
    assert_eq!((facts.kind, facts.image.as_deref()), (Kind::Docker, Some(LOCAL_IMAGE)));
    assert!(facts.pg_stat_statements && facts.version_num >= 130_000, "{facts:?}");
    assert_eq!((facts.settings["fsync"].as_str(), facts.settings["max_connections"].as_str()), ("on", "200"));
    let password = server.admin_url().expose().split(['@', ':']).nth(2).unwrap().to_owned();
    assert!(password.len() == 32 && !format!("{server:?}").contains(&password), "no password in debug output");
    let name = name_of(&server);
    let published = docker(&["port", &name]).unwrap();
    assert_eq!(published, format!("5432/tcp -> 127.0.0.1:{}", server.admin_url().port()), "on loopback only");
    let volume = docker(&["inspect", "--format", "{{range .Mounts}}{{.Name}}{{end}}", &name]).unwrap();
    assert!(docker(&["volume", "inspect", &volume]).is_some());
    server.dispose().await.unwrap();
    assert!(docker(&["inspect", &name]).is_none() && docker(&["volume", "inspect", &volume]).is_none());
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn dropping_a_container_removes_it() {
    if !is_there() {
        return;
    }
    let server = container().await;
    let name = name_of(&server);
    drop(server);
    assert!(docker(&["inspect", &name]).is_none());
}

#[tokio::test]
async fn what_was_committed_is_there_after_every_way_down_at_the_same_address() {
    if !is_there() {
        return;
    }
    let server = container().await;
    statement(&server, "CREATE TABLE kept (n int)").await;
    statement(&server, "INSERT INTO kept VALUES (1)").await;
    let address = server.admin_url().clone();
    for (how, status) in [(Down::Kill, "signal SIGKILL"), (Down::Quit, "exit code 0"), (Down::Fast, "exit code 0")] {
        let before = server.postmaster().unwrap();
        let restarted = server.restart(how).await.unwrap();
        assert_eq!((restarted.stopped.how, restarted.stopped.status.as_str()), (how, status));
        assert!(restarted.ready.took > Duration::ZERO);
        assert_ne!(server.postmaster().unwrap(), before);
        assert_eq!(scalar::<i64>(&address, "SELECT count(*) FROM kept").await, 1, "{how:?}");
    }
    server.stop(Down::Kill).await.unwrap();
    assert!(matches!(server.stop(Down::Kill).await, Err(Error::State { state: "not running", .. })));
    assert!(matches!(server.used(), Err(Error::State { .. })));
    assert!(connect(&address).await.is_err());
    server.start().await.unwrap();
    assert!(matches!(server.start().await, Err(Error::State { state: "running", .. })));
    assert!(server.log_tail().await.contains("database system was not properly shut down"));
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn pause_and_network_cut_heal_without_losing_the_server() {
    if !is_there() {
        return;
    }
    let server = container().await;
    let name = name_of(&server);
    statement(&server, "CREATE TABLE kept (n int)").await;
    server.pause().await.unwrap();
    assert_eq!(docker(&["inspect", "--format", "{{.State.Paused}}", &name]).as_deref(), Some("true"));
    assert!(matches!(server.stop(Down::Fast).await, Err(Error::State { state: "paused", .. })));
    server.resume().await.unwrap();
    assert_eq!(scalar::<i64>(server.admin_url(), "SELECT count(*) FROM kept").await, 0);
    // A crash while frozen.
    server.pause().await.unwrap();
    server.restart(Down::Kill).await.unwrap();

    server.disconnect().await.unwrap();
    let networks = docker(&["inspect", "--format", "{{len .NetworkSettings.Networks}}", &name]);
    assert_eq!(networks.as_deref(), Some("0"));
    assert!(connect(server.admin_url()).await.is_err(), "nobody reaches it");
    assert!(matches!(server.disconnect().await, Err(Error::State { .. })));
    server.reconnect().await.unwrap();
    assert_eq!(scalar::<i64>(server.admin_url(), "SELECT count(*) FROM kept").await, 0);
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn templates_and_figures_work_in_a_container_too() {
    if !is_there() {
        return;
    }
    let server = Arc::new(container().await);
    let templates = Templates::new(Arc::clone(&server));
    let migrate = |url| async move {
        at(&url, "CREATE TABLE laps (n int PRIMARY KEY)").await;
        Ok::<(), std::io::Error>(())
    };
    let template = templates.template("schema", migrate).await.unwrap();
    let trial = templates.create(&template, "one").await.unwrap();
    let meter = server.meter(Duration::from_millis(20)).unwrap();
    at(&trial.engine_url(), "INSERT INTO laps SELECT generate_series(1, 200000)").await;
    let measured = meter.finish().await.unwrap();
    assert!(measured.cpu.total_us() > 0 && measured.peak.rss_bytes > 10_000_000, "{measured:?}");
    trial.remove().await.unwrap();
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn a_failed_start_shows_the_servers_own_words_and_leaves_nothing() {
    if !is_there() {
        return;
    }
    let options = Options { settings: vec![("no_such_setting".into(), "1".into())], ..options() };
    let error = Server::obtain(&Choice::Docker, &options).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("unrecognized configuration parameter"), "{error}");
}

#[tokio::test]
async fn an_image_that_cannot_be_had_says_what_to_do() {
    if !is_there() {
        return;
    }
    let options = Options {
        image: Some("registry.invalid/liverc/postgres:none".to_owned()),
        pull_within: Duration::from_secs(20),
        ..Options::default()
    };
    let text = Server::obtain(&Choice::Docker, &options).await.unwrap_err().to_string();
    for part in ["registry.invalid/liverc/postgres:none", "fixtures/postgres-image/build", "--postgres-image"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn auto_takes_the_container() {
    if !is_there() {
        return;
    }
    let server = Server::obtain(&Choice::Auto, &options()).await.unwrap();
    assert_eq!(server.kind(), Kind::Docker);
    assert!(server.capabilities().has(Capability::NetworkDisconnect));
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn a_kept_container_outlives_its_server_and_is_no_leftover() {
    if !is_there() {
        return;
    }
    let server = container().await;
    let text = server.keep().await.unwrap();
    let kept = text.split_whitespace().find(|word| word.starts_with("liverc-kept-")).unwrap().to_owned();
    drop(server);
    let running = docker(&["inspect", "--format", "{{.State.Running}}", &kept]);
    assert!(docker(&["rm", "--force", "--volumes", &kept]).is_some());
    assert_eq!(running.as_deref(), Some("true"));
}

#[tokio::test]
async fn a_container_of_a_dead_run_is_found_and_removed_and_others_are_not() {
    if !is_there() {
        return;
    }
    let own = Identity::own().to_string();
    let make = |name: &str, label: &str| {
        let label = format!("liverc-harness={label}");
        docker(&["create", "--name", name, "--label", &label, LOCAL_IMAGE]).unwrap();
    };
    let name = |what: &str| format!("liverc-test-{what}-{own}");
    let (dead, live, kept) = (name("dead"), name("live"), format!("liverc-kept-{own}"));
    make(&dead, &format!("{own}9"));
    make(&live, &own);
    make(&kept, &format!("{own}9"));
    let found: Vec<Leftover> = find(&[]).await.unwrap();
    let is_found = |name: &String| found.contains(&Leftover::Container(name.clone()));
    let (of_dead, of_live, of_kept) = (is_found(&dead), is_found(&live), is_found(&kept));
    let cleaned = clean(vec![Leftover::Container(dead.clone())]).await;
    let gone = docker(&["inspect", &dead]).is_none();
    docker(&["rm", "--force", "--volumes", &live, &kept]);
    assert!(of_dead && !of_live && !of_kept, "{found:?}");
    assert!(gone && cleaned.iter().all(|(_, result)| result.is_ok()), "{cleaned:?}");
}

const OWNER: &str = "LIVERC_TEST_OWNER";

/// Not a test of its own: does nothing unless it was run again as an owner.
#[tokio::test]
async fn owner() {
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    let server = container().await;
    println!("\nCONTAINER {}", name_of(&server));
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn no_container_survives_a_killed_owner() {
    use std::io::{BufRead, BufReader};
    if !is_there() {
        return;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--nocapture"])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let name = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("CONTAINER ").map(str::to_owned)).unwrap();
    assert!(docker(&["inspect", &name]).is_some());
    owner.kill().unwrap();
    owner.wait().unwrap();
    while docker(&["inspect", &name]).is_some() {
        tokio::task::yield_now().await;
    }
}
