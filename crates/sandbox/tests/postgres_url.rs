//! A server of others, played by a local one.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres_support;

use std::sync::Arc;

use postgres_support::{at, local, scalar, statement};
use sandbox::leftovers::{Identity, Leftover, clean, find};
use sandbox::postgres::{
    Capability, Choice, DATABASE_PREFIX, Down, Error, Kind, Options, Server, ServerUrl, Templates,
};

async fn guest(url: &ServerUrl) -> Server {
    Server::obtain(&Choice::Url(url.clone()), &Options::default()).await.unwrap()
}

async fn migrate(url: ServerUrl) -> Result<(), std::io::Error> {
    at(&url, "CREATE TABLE laps (n int PRIMARY KEY)").await;
    Ok(())
}

async fn ours_on(host: &Server) -> i64 {
    scalar(
        host.admin_url(),
        "SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE 'liverc%') + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'liverc%')",
    )
    .await
}

#[tokio::test]
async fn trials_work_there_and_everything_of_ours_is_removed() {
    let host = local().await;
    let server = Arc::new(guest(host.admin_url()).await);
    assert_eq!(server.kind(), Kind::Url);
    assert_ne!(server.engine_role(), server.admin_url().role(), "statements are counted per role");
    let templates = Templates::new(Arc::clone(&server));
    let template = templates.template("schema", migrate).await.unwrap();
    let trial = templates.create(&template, "one").await.unwrap();
    at(&trial.engine_url(), "INSERT INTO laps VALUES (1)").await;
    assert_eq!(ours_on(&host).await, 3, "a template, a trial, a role");
    server.dispose().await.unwrap();
    assert_eq!(ours_on(&host).await, 0);
    server.dispose().await.unwrap();
    assert_eq!(scalar::<i32>(host.admin_url(), "SELECT 1").await, 1, "the server itself goes on");
}

#[tokio::test]
async fn a_kept_database_stays_with_its_role_under_names_that_no_sweep_takes() {
    let host = local().await;
    let server = Arc::new(guest(host.admin_url()).await);
    let templates = Templates::new(Arc::clone(&server));
    let template = templates.template("schema", migrate).await.unwrap();
    let kept = templates.create(&template, "one").await.unwrap().keep().await.unwrap();
    let line = server.psql(&kept);
    assert!(line.starts_with("psql 'postgresql://") && line.contains(&kept) && !line.contains("***"), "{line}");
    server.dispose().await.unwrap();
    assert_eq!(ours_on(&host).await, 2);
    let owner: String = scalar(
        &host.admin_url().with_database(&kept),
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()",
    )
    .await;
    assert!(!owner.starts_with(DATABASE_PREFIX), "{owner}");
}

#[tokio::test]
async fn what_hurts_others_is_refused_with_the_reason() {
    let host = local().await;
    let server = guest(host.admin_url()).await;
    let mut refused = vec![
        server.stop(Down::Kill).await.unwrap_err(),
        server.restart(Down::Fast).await.unwrap_err(),
        server.pause().await.unwrap_err(),
        server.disconnect().await.unwrap_err(),
        server.used().unwrap_err(),
    ];
    for error in refused.drain(..) {
        assert!(matches!(&error, Error::Unsupported(why) if why.kind == Kind::Url), "{error}");
        assert!(error.to_string().contains("others"), "{error}");
    }
    assert!(server.capabilities().has(Capability::WireFaults));
    server.dispose().await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_create_databases_only_is_enough() {
    let host = local().await;
    statement(&host, "CREATE ROLE modest LOGIN CREATEDB PASSWORD 'modest'").await;
    let server = Arc::new(guest(&host.admin_url().with_role("modest", Some("modest"))).await);
    assert_eq!(server.engine_role(), "modest");
    let templates = Templates::new(Arc::clone(&server));
    let template = templates.template("schema", migrate).await.unwrap();
    let trial = templates.create(&template, "one").await.unwrap();
    assert!(!trial.checkpointed(), "a checkpoint is not for everybody to make");
    at(&trial.engine_url(), "INSERT INTO laps VALUES (1)").await;
    server.dispose().await.unwrap();
    assert_eq!(ours_on(&host).await, 0);
}

#[tokio::test]
async fn a_role_that_may_create_roles_but_is_no_superuser_works_too() {
    let host = local().await;
    statement(&host, "CREATE ROLE manager LOGIN CREATEDB CREATEROLE PASSWORD 'manager'").await;
    let server = Arc::new(guest(&host.admin_url().with_role("manager", Some("manager"))).await);
    assert_ne!(server.engine_role(), "manager");
    let templates = Templates::new(Arc::clone(&server));
    let template = templates.template("schema", migrate).await.unwrap();
    let trial = templates.create(&template, "one").await.unwrap();
    at(&trial.engine_url(), "INSERT INTO laps VALUES (1)").await;
    server.dispose().await.unwrap();
    assert_eq!(ours_on(&host).await, 0);
}

#[tokio::test]
async fn an_unreachable_server_is_an_environment_failure_without_the_password() {
    let url: ServerUrl = "postgres://ann:s3cret@127.0.0.1:1/races".parse().unwrap();
    let error = Server::obtain(&Choice::Url(url), &Options::default()).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    let text = format!("{error} {error:?}");
    assert!(text.contains("127.0.0.1:1") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn leftovers_of_dead_runs_are_found_by_name_and_only_those_are_removed() {
    let host = local().await;
    // This process at another time is a dead run; `9` more digits make another start.
    let own = Identity::own().to_string();
    let dead = format!("{own}9");
    let foreign = own.replacen(own.get(..6).unwrap(), "000000", 1);
    for (name, role) in [
        (format!("{DATABASE_PREFIX}{dead}_d1"), format!("{DATABASE_PREFIX}{dead}_e1")),
        (format!("{DATABASE_PREFIX}{own}_d1"), format!("{DATABASE_PREFIX}{own}_e1")),
        (format!("{DATABASE_PREFIX}{foreign}_d1"), format!("{DATABASE_PREFIX}{foreign}_e1")),
        (format!("{DATABASE_PREFIX}mine"), "liverc_kept_role".to_owned()),
    ] {
        at(host.admin_url(), &format!("CREATE ROLE {role}")).await;
        at(host.admin_url(), &format!("CREATE DATABASE {name} OWNER {role}")).await;
    }
    let is_there = |leftover: &Leftover| matches!(leftover, Leftover::Database { .. } | Leftover::Role { .. });
    let found: Vec<Leftover> = find(&[host.admin_url().clone()]).await.unwrap().into_iter().filter(is_there).collect();
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{names:?}");
    assert!(names.iter().all(|name| name.contains(&dead)), "{names:?}");
    for (leftover, result) in clean(found).await {
        assert_eq!(result, Ok(()), "{leftover}");
    }
    assert_eq!(ours_on(&host).await, 6);
}
