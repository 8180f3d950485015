//! The looking itself. What a run would start is started, since only that proves that it can be.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::unistd::{AccessFlags, access};
use sandbox::postgres::{Backend as _, Binaries, Choice, Local, Options, ServerUrl, connect, docker_daemon};
use sqlx::{Connection as _, Row as _};

use super::findings::{Check, Findings, State};
use crate::report::format;

/// Below this a large event's write-ahead log may fill the disk of a local server (`max_wal_size` is 1 GB).
const TEMPORARY_BYTES: u64 = 2 << 30;

/// Below this a run's report and the logs of failed trials may not fit.
const REPORTS_BYTES: u64 = 100 << 20;

/// Below this engine, server and mock push each other out of memory.
const MEMORY_BYTES: u64 = 1 << 30;

const BUILD: &str =
    "fixtures/postgres-image/build makes one from this machine's own PostgreSQL, in seconds and without a registry";

/// Looks at everything but the leftovers.
pub async fn at_all(choice: &Choice, image: Option<&str>, out: &Path) -> Findings {
    let mut checks = Vec::new();
    let mut ways: Vec<String> = Vec::new();
    if let Choice::Url(url) = choice {
        let (check, way) = at_server(url).await;
        checks.push(check);
        ways.extend(way);
    }
    // What is not asked for is shown all the same, but stands in nobody's way.
    let of = |way: &Choice| *choice == Choice::Auto || choice == way;
    let (docker, way) = at_docker(image, *choice == Choice::Docker).await;
    checks.extend(docker);
    ways.extend(way.filter(|_| of(&Choice::Docker)));
    let (local, way) = at_local(of(&Choice::Local)).await;
    checks.push(local);
    ways.extend(way.filter(|_| of(&Choice::Local)));
    checks.push(cores());
    checks.extend(memory());
    checks.push(disk("reports", out, REPORTS_BYTES, "choose another folder with --out"));
    let temporary = std::env::temp_dir();
    checks.push(disk("temporary", &temporary, TEMPORARY_BYTES, "point TMPDIR at a larger disk"));
    let database = ways.into_iter().next();
    if database.is_some() && *choice == Choice::Auto {
        // The other way leads there.
        for check in checks.iter_mut().filter(|c| matches!(c.name, "Docker" | "image" | "PostgreSQL")) {
            if check.state == State::Problem {
                check.state = State::Note;
            }
        }
    }
    Findings::new(database, checks)
}

async fn at_docker(image: Option<&str>, asked_for: bool) -> (Vec<Check>, Option<String>) {
    let daemon = match docker_daemon(image).await {
        Ok(daemon) => daemon,
        Err(error) => {
            let state = if asked_for { State::Problem } else { State::Note };
            let advice = "start it (systemctl start docker), or go on with this machine's PostgreSQL: --postgres local";
            return (vec![Check::of("Docker", state, error.to_string(), advice)], None);
        }
    };
    let docker = Check::ok("Docker", format!("version {}, the daemon answers", daemon.version));
    match daemon.image {
        Some(image) => {
            let way = format!("docker, with the image {image}");
            (vec![docker, Check::ok("image", format!("{image} is there"))], Some(way))
        }
        None => {
            let wanted = daemon.wanted.first().cloned().unwrap_or_default();
            let state = if asked_for { State::Problem } else { State::Note };
            let advice = format!("docker pull {wanted} (a run would try that); or {BUILD}");
            let found = format!("none of {} is there", daemon.wanted.join(", "));
            (vec![docker, Check::of("image", state, found, advice)], None)
        }
    }
}

async fn at_local(asked_for: bool) -> (Check, Option<String>) {
    let state = if asked_for { State::Problem } else { State::Note };
    let binaries = match Binaries::find() {
        Ok(binaries) => binaries,
        Err(error) => {
            let advice =
                "install PostgreSQL 13 or newer (Debian: apt install postgresql), or point PG_BIN at its bin directory";
            return (Check::of("PostgreSQL", state, error.to_string(), advice), None);
        }
    };
    let (version, place) = (binaries.version().to_owned(), binaries.directory().display().to_string());
    let started = Instant::now();
    let tried = match Local::start_new(binaries, &Options::default()).await {
        Ok(server) => {
            let took = started.elapsed();
            server.dispose().await.map(|()| took)
        }
        Err(error) => Err(error),
    };
    match tried {
        Ok(took) => {
            let took = format::duration(took.as_micros() as f64);
            let found = format!("{version} in {place}; started and answered within {took}");
            (Check::ok("PostgreSQL", found), Some(format!("local, PostgreSQL {version}")))
        }
        Err(error) => {
            let advice = "mend what it says, or use Docker or a server: --postgres docker, --postgres postgres://…";
            let found = format!("{version} in {place} does not start: {error}");
            (Check::of("PostgreSQL", state, found, advice), None)
        }
    }
}

/// A server of others: only asked.
async fn at_server(url: &ServerUrl) -> (Check, Option<String>) {
    let place = format!("{}:{}", url.host(), url.port());
    let asked = async {
        let mut connection = connect(url).await.map_err(|error| error.to_string())?;
        let row = sqlx::query(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int, \
             (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user), current_user::text",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(|error| error.to_string())?;
        let _ = connection.close().await;
        let read = || -> Result<_, sqlx::Error> {
            Ok((row.try_get::<String, _>(0)?, row.try_get::<i32, _>(1)?, row.try_get::<bool, _>(2)?, row.try_get(3)?))
        };
        read().map_err(|error| error.to_string())
    };
    let asked: Result<(String, i32, bool, String), String> = asked.await;
    match asked {
        Err(why) => {
            let advice = "check address, role and password; or use --postgres local or docker";
            (Check::of("server", State::Problem, format!("{place}: {why}"), advice), None)
        }
        Ok((version, number, _, _)) if number < 130_000 => {
            let found = format!("{place} has PostgreSQL {version}");
            (Check::of("server", State::Problem, found, "PostgreSQL 13 or newer is needed"), None)
        }
        Ok((_, _, false, role)) => {
            let found = format!("{place}: the role {role} may not create databases");
            let advice = format!("ALTER ROLE {role} CREATEDB CREATEROLE; each trial has a database of its own");
            (Check::of("server", State::Problem, found, advice), None)
        }
        Ok((version, _, true, _)) => {
            let found = format!("{place} answers: PostgreSQL {version}");
            (Check::ok("server", found), Some(format!("the server {place}, PostgreSQL {version}")))
        }
    }
}

fn cores() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let found = format::plural(cores, "core");
    if cores >= 4 {
        return Check::ok("cores", found);
    }
    let advice = "engine, server and harness share them: times are comparable within a run only, and the report says when the \
                  harness took too much";
    Check::of("cores", State::Note, found, advice)
}

fn memory() -> Option<Check> {
    use procfs::Current as _;
    let available = procfs::Meminfo::current().ok()?.mem_available?;
    let found = format!("{} available", format::bytes(available as f64));
    Some(if available >= MEMORY_BYTES {
        Check::ok("memory", found)
    } else {
        Check::of(
            "memory",
            State::Note,
            found,
            "close something: large events need about 1 GiB for engine, server and mock",
        )
    })
}

/// Free space at a folder, or where it would be made.
fn disk(name: &'static str, path: &Path, enough: u64, elsewhere: &str) -> Check {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there: PathBuf = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_path_buf();
    let shown = absolute.display();
    if !there.is_dir() {
        return Check::of(name, State::Problem, format!("{} is no folder", there.display()), elsewhere);
    }
    if access(&there, AccessFlags::W_OK).is_err() {
        return Check::of(name, State::Problem, format!("{shown} cannot be written to"), elsewhere);
    }
    match nix::sys::statvfs::statvfs(&there) {
        Ok(found) => {
            let free = found.blocks_available().saturating_mul(found.fragment_size());
            let text = format!("{} free at {shown}", format::bytes(free as f64));
            match free {
                0 => Check::of(name, State::Problem, text, format!("free space there, or {elsewhere}")),
                free if free < enough => Check::of(
                    name,
                    State::Note,
                    text,
                    format!("a large event may need more: free space there, or {elsewhere}"),
                ),
                _ => Check::ok(name, text),
            }
        }
        Err(error) => Check::of(name, State::Note, format!("{shown}: free space unknown: {error}"), elsewhere),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_looked_at_where_it_would_be() {
        let dir = tempfile::tempdir().unwrap();
        let check = disk("reports", &dir.path().join("a/b"), 1, "elsewhere");
        assert_eq!(check.state, State::Ok, "{check:?}");
        assert!(check.found.contains("a/b"), "{check:?}");
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(disk("reports", &dir.path().join("file/b"), 1, "elsewhere").state, State::Problem);
        assert_eq!(disk("reports", dir.path(), u64::MAX, "elsewhere").state, State::Note);
    }
}
