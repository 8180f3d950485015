//! What the tests of servers share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use sandbox::postgres::{Choice, Options, Server, ServerUrl, connect};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Decode, Postgres, Row, Type};

/// A local server; the tests need one.
pub async fn local() -> Server {
    Server::obtain(&Choice::Local, &Options::default()).await.unwrap()
}

/// The first column of the first row.
pub async fn scalar<T>(url: &ServerUrl, sql: &'static str) -> T
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin,
{
    let mut connection = connect(url).await.unwrap();
    let row: PgRow = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    let value = row.get(0);
    connection.close().await.unwrap();
    value
}

/// Runs a statement as the admin.
pub async fn statement(server: &Server, sql: &'static str) {
    at(server.admin_url(), sql).await;
}

/// Runs a statement at a URL.
pub async fn at(url: &ServerUrl, sql: &str) {
    let mut connection = connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Asks again and again until the answer is true.
pub async fn until(server: &Server, sql: &'static str) {
    while !scalar::<bool>(server.admin_url(), sql).await {
        tokio::task::yield_now().await;
    }
}

/// The postmaster's process id: a backend's parent.
pub fn postmaster(server: &Server) -> i32 {
    server.postmaster().unwrap()
}

/// Scheduling states of a postmaster and its children.
pub fn states(postmaster: i32) -> Vec<char> {
    procfs::process::all_processes()
        .unwrap()
        .flatten()
        .filter_map(|process| process.stat().ok())
        .filter(|stat| stat.pid == postmaster || stat.ppid == postmaster)
        .map(|stat| stat.state)
        .collect()
}

/// Processes whose command line or working directory names a directory.
pub fn alive_under(directory: &str) -> Vec<i32> {
    procfs::process::all_processes()
        .unwrap()
        .flatten()
        .filter(|process| {
            let alive = process.stat().is_ok_and(|stat| stat.state != 'Z');
            let named = process.cmdline().is_ok_and(|words| words.iter().any(|word| word.contains(directory)));
            let inside = process.cwd().is_ok_and(|cwd| cwd.to_string_lossy().contains(directory));
            alive && (named || inside)
        })
        .map(|process| process.pid)
        .collect()
}
