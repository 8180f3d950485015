//! A real PostgreSQL behind the proxy: sqlx in front of it, and what is in the table afterwards.

use std::net::{Ipv4Addr, SocketAddr};

use sandbox::postgres::{Choice, Options, Server, ServerUrl, connect};
use sandbox::proxy::{Effect, Protocol, Proxy, Rule, Stats};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};

use crate::support::{proxy, until};

async fn real() -> (Server, Proxy, ServerUrl, PgConnection) {
    let server = Server::obtain(&Choice::local_first(), &Options::default()).await.unwrap();
    let mut admin = connect(server.admin_url()).await.unwrap();
    admin.execute("CREATE TABLE laps (n int PRIMARY KEY, t text)").await.unwrap();
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, server.admin_url().port()));
    let proxy = proxy(upstream, Protocol::Postgres, vec![]).await;
    let through = server.admin_url().with_address(proxy.addr());
    (server, proxy, through, admin)
}

async fn rows(admin: &mut PgConnection) -> i64 {
    admin.fetch_one("SELECT count(*) FROM laps").await.unwrap().get(0)
}

/// Inserts one row in a transaction through the proxy. The error of its COMMIT, if there was one.
async fn insert(url: &ServerUrl, n: i32) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await.unwrap();
    let mut tx = connection.begin().await?;
    sqlx::query("INSERT INTO laps (n) VALUES ($1)").bind(n).execute(&mut *tx).await?;
    tx.commit().await
}

fn since(now: &Stats, then: &Stats) -> (u64, u64, u64) {
    (now.round_trips - then.round_trips, now.statements - then.statements, now.commits - then.commits)
}

#[tokio::test]
async fn sqlx_is_counted_and_its_commits_are_lost_on_either_side() {
    let (server, proxy, url, mut admin) = real().await;

    let mut connection = connect(&url).await.unwrap();
    let before = proxy.stats();
    assert_eq!((before.sessions, before.opaque), (1, 0));
    let mut tx = connection.begin().await.unwrap();
    for n in [1, 2, 3] {
        sqlx::query("INSERT INTO laps (n) VALUES ($1)").bind(n).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    // BEGIN, prepare once, three executions, COMMIT.
    assert_eq!(since(&proxy.stats(), &before), (6, 5, 1));
    assert_eq!(proxy.stats().batches - before.batches, 3);
    connection.close().await.unwrap();

    let lost = proxy.add_rule(Rule::at("commit#1:before".parse().unwrap(), Effect::Reset)).unwrap();
    insert(&url, 10).await.unwrap_err();
    proxy.fired(lost).await;
    assert_eq!(rows(&mut admin).await, 3, "COMMIT never came");

    let ambiguous = proxy.add_rule(Rule::at("commit#1:sent".parse().unwrap(), Effect::Reset)).unwrap();
    insert(&url, 11).await.unwrap_err();
    proxy.fired(ambiguous).await;
    assert_eq!(rows(&mut admin).await, 4, "it was committed, and the client does not know");

    proxy.close().await;
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn a_copy_is_cut_in_the_middle_of_a_frame() {
    let (server, proxy, url, mut admin) = real().await;
    let line = format!("1\t{}\n", "x".repeat(300_000));
    let whole = {
        let mut connection = connect(&url).await.unwrap();
        let mut copy = connection.copy_in_raw("COPY laps FROM STDIN").await.unwrap();
        copy.send(line.as_bytes()).await.unwrap();
        copy.finish().await.unwrap()
    };
    assert_eq!((whole, rows(&mut admin).await), (1, 1));
    assert!(proxy.stats().bytes_up > 300_000);

    let hold = proxy.hold("batch(laps)#2:half".parse().unwrap()).unwrap();
    let mut connection = connect(&url).await.unwrap();
    let client = tokio::spawn(async move {
        let mut copy = connection.copy_in_raw("COPY laps FROM STDIN").await?;
        for n in 2..20 {
            copy.send(line.replacen('1', &n.to_string(), 1).as_bytes()).await?;
        }
        copy.finish().await
    });
    let fired = hold.reached().await;
    assert_eq!(fired.detail, "rows for laps");
    hold.cut();
    client.await.unwrap().unwrap_err();
    assert_eq!(rows(&mut admin).await, 1, "nothing of a statement that was cut is stored");
    until(|| proxy.stats().connections_ended == 2).await;
    proxy.close().await;
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn the_server_restarts_while_a_client_is_held_and_the_latency_stays_out_of_the_bytes() {
    let (server, proxy, url, mut admin) = real().await;
    proxy.add_rule(Rule::always(Effect::rtt(std::time::Duration::from_millis(2)))).unwrap();
    insert(&url, 1).await.unwrap();
    let hold = proxy.hold("commit#1:sent".parse().unwrap()).unwrap();
    let client = {
        let url = url.clone();
        tokio::spawn(async move { insert(&url, 2).await })
    };
    hold.reached().await;
    assert_eq!(rows(&mut admin).await, 2, "held behind the server's answer: it is durable");
    server.restart(sandbox::postgres::Down::Kill).await.unwrap();
    hold.release();
    // The answer was on the way before the server died.
    client.await.unwrap().unwrap();
    assert_eq!(rows(&mut connect(server.admin_url()).await.unwrap()).await, 2);
    insert(&url, 3).await.unwrap();
    proxy.close().await;
    server.dispose().await.unwrap();
}
