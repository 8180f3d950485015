//! What becomes of a server when the process that owns it is killed. The owner is this test binary, run again.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres_support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use postgres_support::{alive_under, local, scalar};
use sandbox::leftovers::{clean, find_here};
use sandbox::postgres::connect;

const MODE: &str = "LIVERC_TEST_OWNER";

/// Not a test of its own: does nothing unless it was run again as an owner.
#[tokio::test]
async fn owner() {
    let Ok(mode) = std::env::var(MODE) else { return };
    let server = local().await;
    let directory: String = scalar(server.admin_url(), "SELECT current_setting('data_directory')").await;
    match mode.as_str() {
        "busy" => {
            let url = server.admin_url().clone();
            tokio::spawn(async move {
                let mut connection = connect(&url).await.unwrap();
                sqlx::raw_sql("SELECT 'burning', count(*) FROM generate_series(1, 1000000000000)")
                    .execute(&mut connection)
                    .await
                    .unwrap();
            });
            let burning = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'SELECT ''burning%' AND pid <> pg_backend_pid()";
            postgres_support::until(&server, burning).await;
        }
        "paused" => server.pause().await.unwrap(),
        _ => {}
    }
    println!("\nDIRECTORY {directory}");
    std::future::pending::<()>().await;
}

/// Starts an owner, and gives the data directory of its server.
fn start(mode: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--nocapture"])
        .env(MODE, mode)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let directory = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("DIRECTORY ").map(str::to_owned));
    (child, directory.expect("the owner says where its server is"))
}

async fn nothing_survives(mode: &str) {
    let (mut owner, directory) = start(mode);
    assert!(alive_under(&directory).len() >= 5, "a postmaster and its children");
    owner.kill().unwrap();
    owner.wait().unwrap();
    // Ends because they go. Were they to stay, the test would never end: there is no bound by which they would have to be gone.
    while !alive_under(&directory).is_empty() {
        tokio::task::yield_now().await;
    }
    for (leftover, result) in clean(find_here()).await {
        assert_eq!(result, Ok(()), "{leftover}");
    }
    assert!(!Path::new(&directory).exists(), "the next run removes the directory");
    let of_owner = format!("_{}_", owner.id());
    let records = std::fs::read_dir(sandbox::leftovers::runtime_directory()).unwrap().flatten();
    let left: Vec<_> =
        records.map(|entry| entry.file_name()).filter(|n| n.to_string_lossy().contains(&of_owner)).collect();
    assert!(left.is_empty(), "and the record: {left:?}");
}

#[tokio::test]
async fn no_process_survives_a_killed_owner() {
    nothing_survives("idle").await;
}

#[tokio::test]
async fn nor_one_in_the_middle_of_a_statement() {
    nothing_survives("busy").await;
}

#[tokio::test]
async fn nor_one_that_is_paused() {
    nothing_survives("paused").await;
}

#[tokio::test]
async fn a_live_owners_server_is_no_leftover() {
    let (mut owner, directory) = start("idle");
    for leftover in find_here() {
        assert!(
            !leftover.to_string().contains(Path::new(&directory).parent().unwrap().to_str().unwrap()),
            "{leftover}"
        );
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    while !alive_under(&directory).is_empty() {
        tokio::task::yield_now().await;
    }
    clean(find_here()).await;
}
