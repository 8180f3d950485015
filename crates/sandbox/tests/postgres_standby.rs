//! A standby of a local server takes the primary's place.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres_support;

use std::path::{Path, PathBuf};

use postgres_support::{alive_under, local, scalar, statement};
use sandbox::postgres::{Capability, Error, Replication, Server};

const ROWS: &str = "SELECT count(*) FROM kept";
const DATA: &str = "SELECT current_setting('data_directory')";

async fn home(server: &Server) -> PathBuf {
    Path::new(&scalar::<String>(server.admin_url(), DATA).await).parent().unwrap().to_owned()
}

fn data_directories(home: &Path) -> usize {
    let names = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("data")).count()
}

#[tokio::test]
async fn a_synchronous_standby_takes_the_primarys_place_and_has_all_that_was_acknowledged() {
    let server = local().await;
    let home = home(&server).await;
    let port = server.admin_url().port();
    statement(&server, "CREATE TABLE kept (n int)").await;
    // Each is made of what the last one became.
    for nth in 1..=2 {
        server.add_standby(Replication::Synchronous).await.unwrap();
        let sync = "SELECT string_agg(sync_state, ',') FROM pg_stat_replication";
        assert_eq!(scalar::<String>(server.admin_url(), sync).await, "sync");
        statement(&server, "INSERT INTO kept VALUES (1)").await;
        let over = server.fail_over().await.unwrap();
        assert_eq!(over.primary.status, "signal SIGKILL");
        assert_eq!((over.primary_timeline, over.timeline), (nth, nth + 1));
        assert!(over.standby_at >= over.primary_at, "{over:?}");
        server.start().await.unwrap();
        assert_eq!(server.admin_url().port(), port, "the address stays");
        assert!(!scalar::<bool>(server.admin_url(), "SELECT pg_is_in_recovery()").await);
        assert_eq!(scalar::<i64>(server.admin_url(), ROWS).await, i64::from(nth));
        assert_eq!(data_directories(&home), 1, "the old primary is gone");
    }
    assert_eq!(scalar::<String>(&server.engine_url("postgres"), "SELECT current_user::text").await, "engine");
    server.dispose().await.unwrap();
    assert_eq!(alive_under(home.to_str().unwrap()), Vec::<i32>::new());
    assert!(!home.exists());
}

#[tokio::test]
async fn what_an_asynchronous_standby_did_not_receive_is_lost() {
    let server = local().await;
    statement(&server, "CREATE TABLE kept (n int)").await;
    server.add_standby(Replication::Asynchronous).await.unwrap();
    statement(&server, "INSERT INTO kept VALUES (1)").await;
    let held = server.hold_standby_back().await.unwrap();
    assert!(held.contains("receives no more"), "{held}");
    statement(&server, "INSERT INTO kept VALUES (2)").await;
    let over = server.fail_over().await.unwrap();
    assert!(over.primary_at > over.standby_at, "{over:?}");
    server.start().await.unwrap();
    assert_eq!(scalar::<i64>(server.admin_url(), ROWS).await, 1, "the second row was acknowledged and is lost");
    statement(&server, "INSERT INTO kept VALUES (3)").await;
}

#[tokio::test]
async fn a_standby_that_is_not_needed_goes_and_the_primary_waits_for_nobody() {
    let server = local().await;
    let home = home(&server).await;
    assert!(matches!(server.fail_over().await, Err(Error::State { state: "without a standby", .. })));
    server.add_standby(Replication::Synchronous).await.unwrap();
    assert!(matches!(server.add_standby(Replication::Synchronous).await, Err(Error::State { .. })));
    server.remove_standby().await.unwrap();
    server.remove_standby().await.unwrap();
    statement(&server, "CREATE TABLE kept (n int)").await;
    assert_eq!(data_directories(&home), 1);
    // Dropped with one: both end.
    server.add_standby(Replication::Synchronous).await.unwrap();
    drop(server);
    assert_eq!(alive_under(home.to_str().unwrap()), Vec::<i32>::new());
    assert!(!home.exists());
}

#[tokio::test]
async fn a_server_of_others_has_no_standby_of_ours() {
    let server = local().await;
    let url = server.admin_url().expose().parse().unwrap();
    let others = Server::obtain(&sandbox::postgres::Choice::Url(url), &Default::default()).await.unwrap();
    let refused = others.add_standby(Replication::Synchronous).await.unwrap_err();
    assert!(matches!(&refused, Error::Unsupported(why) if why.capability == Capability::Failover), "{refused}");
    others.dispose().await.unwrap();
}
