//! Finding and removing what dead runs left.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::Connection;

use super::{Identity, MOUNT_PREFIX, Thing, runtime_directory, start_of};
use crate::postgres::connect::{connect, quoted, run};
use crate::postgres::local::{cluster, home};
use crate::postgres::templates::drop_database;
use crate::postgres::{DATABASE_PREFIX, Error, ServerUrl};

/// Something that a dead run of this machine left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A process that should have ended with its run.
    Process {
        /// Its id.
        pid: i32,
        /// Its start, so that a reused id is not mistaken for it.
        start: u64,
        /// What it is.
        what: String,
    },
    /// A container.
    Container(String),
    /// A file system that was mounted on a directory of ours, and that directory.
    Mount(PathBuf),
    /// A control group.
    Group(PathBuf),
    /// A directory.
    Directory(PathBuf),
    /// A database on a server of others.
    Database {
        /// The server.
        server: ServerUrl,
        /// Its name.
        name: String,
    },
    /// A role on a server of others.
    Role {
        /// The server.
        server: ServerUrl,
        /// Its name.
        name: String,
    },
    /// The file in which a run wrote down what it had started.
    Record(PathBuf),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, what, .. } => write!(f, "process {pid} ({what})"),
            Self::Container(name) => write!(f, "container {name}"),
            Self::Mount(path) => write!(f, "mount {}", path.display()),
            Self::Group(path) => write!(f, "control group {}", path.display()),
            Self::Directory(path) => write!(f, "directory {}", path.display()),
            Self::Database { server, name } => write!(f, "database {name} on {}:{}", server.host(), server.port()),
            Self::Role { server, name } => write!(f, "role {name} on {}:{}", server.host(), server.port()),
            Self::Record(path) => write!(f, "record {}", path.display()),
        }
    }
}

impl Leftover {
    /// Order of removal: what holds something before what it holds. Records last, so that a failure is found again.
    fn rank(&self) -> u8 {
        match self {
            Self::Process { .. } => 0,
            Self::Container(_) => 1,
            Self::Mount(_) => 2,
            Self::Group(_) => 3,
            Self::Directory(_) => 4,
            Self::Database { .. } => 5,
            Self::Role { .. } => 6,
            Self::Record(_) => 7,
        }
    }
}

/// Looks on this machine, in the Docker daemon if one answers, and on the given servers of others.
///
/// # Errors
/// [`Error::Sql`] when one of the servers cannot be asked.
pub async fn find(servers: &[ServerUrl]) -> Result<Vec<Leftover>, Error> {
    let mut found = find_here();
    for container in containers().await {
        push(&mut found, Leftover::Container(container));
    }
    for server in servers {
        found.extend(on_server(server).await?);
    }
    found.sort_by_key(Leftover::rank);
    Ok(found)
}

/// Looks on this machine only: records, processes, directories.
#[must_use]
pub fn find_here() -> Vec<Leftover> {
    let mut found = Vec::new();
    from_records(&mut found);
    directories(&mut found, &temporary_directories(), home::PREFIX, Leftover::Directory);
    directories(&mut found, &temporary_directories(), MOUNT_PREFIX, Leftover::Mount);
    directories(&mut found, &[cluster::cache_directory()], cluster::SCRATCH, Leftover::Directory);
    servers_without_owner(&mut found);
    found.sort_by_key(Leftover::rank);
    found
}

fn push(found: &mut Vec<Leftover>, leftover: Leftover) {
    if !found.contains(&leftover) {
        found.push(leftover);
    }
}

/// What dead runs wrote down and is still there.
fn from_records(found: &mut Vec<Leftover>) {
    for file in entries(&runtime_directory()) {
        // Also a `.new`, of a run that was killed while it wrote.
        let Some(owner) =
            file.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Identity>().ok())
        else {
            continue;
        };
        if owner.is_alive() || !is_ours(&file) {
            continue;
        }
        let things: Vec<Thing> =
            fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        for thing in things {
            match thing {
                // Only what carries the run's identity in its name: a record that says `/home` is not believed.
                Thing::Directory(path) if names(&path, &owner) && is_ours(&path) => {
                    push(found, Leftover::Directory(path));
                }
                Thing::Process { pid, start, what } if start_of(pid) == Some(start) => {
                    push(found, Leftover::Process { pid, start, what });
                }
                Thing::Mount(path) if names(&path, &owner) && is_ours(&path) => push(found, Leftover::Mount(path)),
                Thing::Group(path) if names(&path, &owner) && is_ours(&path) => push(found, Leftover::Group(path)),
                // Containers are found by their label.
                Thing::Directory(_)
                | Thing::Process { .. }
                | Thing::Container(_)
                | Thing::Mount(_)
                | Thing::Group(_) => {}
            }
        }
        push(found, Leftover::Record(file));
    }
}

/// Directories whose name carries the identity of a dead run, written down or not.
fn directories(found: &mut Vec<Leftover>, parents: &[PathBuf], prefix: &str, kind: fn(PathBuf) -> Leftover) {
    for path in parents.iter().flat_map(|parent| entries(parent)) {
        let dead = owner_in_name(&path, prefix).is_some_and(|owner| !owner.is_alive());
        if dead && is_ours(&path) {
            push(found, kind(path));
        }
    }
}

/// Postmasters whose data directory carries the identity of a dead run, written down or not.
fn servers_without_owner(found: &mut Vec<Leftover>) {
    let Ok(all) = procfs::process::all_processes() else { return };
    for process in all.flatten() {
        let words = process.cmdline().unwrap_or_default();
        let is_server = words.first().is_some_and(|program| program.ends_with("/postgres"));
        let dead = || {
            let data = words.iter().skip_while(|word| *word != "-D").nth(1)?;
            owner_in_name(Path::new(data).parent()?, home::PREFIX).filter(|owner| !owner.is_alive())
        };
        if is_server
            && dead().is_some()
            && let Some(start) = start_of(process.pid)
        {
            let known = found.iter().any(|other| matches!(other, Leftover::Process { pid, .. } if *pid == process.pid));
            if !known {
                found.push(Leftover::Process { pid: process.pid, start, what: "postgres".to_owned() });
            }
        }
    }
}

fn temporary_directories() -> Vec<PathBuf> {
    let mut directories = vec![std::env::temp_dir()];
    directories.extend(["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from));
    directories = directories.iter().filter_map(|path| path.canonicalize().ok()).collect();
    directories.sort();
    directories.dedup();
    directories
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map(|dir| dir.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// The identity in a name like `<prefix><identity>-<number>`.
fn owner_in_name(path: &Path, prefix: &str) -> Option<Identity> {
    path.file_name()?.to_str()?.strip_prefix(prefix)?.split('-').next()?.parse().ok()
}

fn names(path: &Path, owner: &Identity) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(&owner.to_string()))
}

/// Whether it is there (not as a link) and this user's.
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).is_ok_and(|found| {
        !found.is_symlink() && (found.uid() == nix::unistd::geteuid().as_raw() || is_servers(&found))
    })
}

/// A socket's directory belongs to the server's user when root started it.
fn is_servers(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    nix::unistd::geteuid().is_root() && found.uid() != 0
}

#[cfg(feature = "docker")]
async fn containers() -> Vec<String> {
    use crate::postgres::docker;
    match docker::client().await {
        Ok(client) => docker::of_dead_runs(&client).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

#[cfg(not(feature = "docker"))]
async fn containers() -> Vec<String> {
    Vec::new()
}

/// Databases and roles of dead runs on a server of others. The identity is in their names, so that those of other machines are left alone.
async fn on_server(server: &ServerUrl) -> Result<Vec<Leftover>, Error> {
    let mut connection = connect(server).await?;
    let list = |sql| sqlx::query_scalar::<_, String>(sql).bind(DATABASE_PREFIX);
    let databases = list("SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1)")
        .fetch_all(&mut connection)
        .await
        .map_err(Error::sql("listing databases"))?;
    let roles = list("SELECT rolname::text FROM pg_roles WHERE starts_with(rolname::text, $1)")
        .fetch_all(&mut connection)
        .await
        .map_err(Error::sql("listing roles"))?;
    let _ = connection.close().await;
    let dead = |name: &String| owner_of_database(name).is_some_and(|owner| !owner.is_alive());
    let databases = databases.into_iter().filter(dead);
    let databases = databases.map(|name| Leftover::Database { server: server.clone(), name });
    let roles = roles.into_iter().filter(dead).map(|name| Leftover::Role { server: server.clone(), name });
    Ok(databases.chain(roles).collect())
}

/// The identity in a name like `liverc_harness_<machine>_<pid>_<start>_<rest>`.
fn owner_of_database(name: &str) -> Option<Identity> {
    let words: Vec<&str> = name.strip_prefix(DATABASE_PREFIX)?.split('_').collect();
    words.get(..3)?.join("_").parse().ok()
}

/// Removes them, in an order that works. What could not be removed comes back with the reason; it is found again next time.
pub async fn clean(leftovers: Vec<Leftover>) -> Vec<(Leftover, Result<(), String>)> {
    let mut leftovers = leftovers;
    leftovers.sort_by_key(Leftover::rank);
    let mut done = Vec::new();
    for leftover in leftovers {
        let result = remove(&leftover).await;
        done.push((leftover, result));
    }
    done
}

async fn remove(leftover: &Leftover) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    match leftover {
        Leftover::Process { pid, start, .. } => end(*pid, *start).await,
        Leftover::Container(name) => remove_container(name).await,
        Leftover::Mount(path) => unmount(path).map_err(words),
        // A group has files that nobody can remove; they go with it.
        Leftover::Group(path) => fs::remove_dir(path).or_else(absent_is_fine).map_err(words),
        Leftover::Directory(path) => {
            crate::postgres::shared_memory::release(path);
            fs::remove_dir_all(path).or_else(absent_is_fine).map_err(words)
        }
        Leftover::Record(path) => fs::remove_file(path).or_else(absent_is_fine).map_err(words),
        Leftover::Database { server, name } => {
            let mut connection = connect(server).await.map_err(|error| error.to_string())?;
            drop_database(&mut connection, name).await.map_err(|error| error.to_string())
        }
        Leftover::Role { server, name } => {
            let mut connection = connect(server).await.map_err(|error| error.to_string())?;
            let sql = format!("DROP ROLE IF EXISTS {}", quoted(name));
            run(&mut connection, sql).await.map_err(|error| error.to_string())
        }
    }
}

/// Unmounts what is mounted on a directory of ours, if anything is, and removes the directory. Nothing below a mount is deleted:
/// that goes with the file system, which is one in memory.
///
/// # Errors
/// When it stays.
pub fn unmount(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::symlink_metadata(path).map(|found| found.dev()).ok();
    let own = device(path);
    if own.is_some() && own != path.parent().and_then(device) {
        // Detached, it goes as soon as the last process that still uses it has ended.
        let output = std::process::Command::new("umount").arg("-l").arg(path).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    fs::remove_dir(path).or_else(absent_is_fine)
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Ends a process with its children, and waits until it is gone. The children of a postmaster exit by themselves, unless stopped.
async fn end(pid: i32, start: u64) -> Result<(), String> {
    if start_of(pid) != Some(start) {
        return Ok(());
    }
    for child in crate::postgres::children(pid) {
        let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
    }
    kill(Pid::from_raw(pid), Signal::SIGKILL).map_err(|error| error.to_string())?;
    for _ in 0..500 {
        if start_of(pid) != Some(start) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Err("it is still there after SIGKILL".to_owned())
}

#[cfg(feature = "docker")]
async fn remove_container(name: &str) -> Result<(), String> {
    use crate::postgres::docker;
    let client = docker::client().await.map_err(|error| error.to_string())?;
    docker::remove(&client, name).await.map_err(|error| docker::chain(&error))
}

#[cfg(not(feature = "docker"))]
async fn remove_container(_: &str) -> Result<(), String> {
    Err("this program was built without the feature `docker`".to_owned())
}

/// Removes what dead runs left on this machine, at the first call of a process. Failures are only logged: they are no reason not to run.
pub async fn sweep_once() {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    ONCE.get_or_init(|| async {
        sweep(tokio::task::spawn_blocking(find_here).await.unwrap_or_default()).await;
    })
    .await;
}

/// Removes what dead runs of this machine left on a server of others. Failures are only logged.
pub(crate) async fn sweep_server(server: &ServerUrl) {
    match on_server(server).await {
        Ok(found) => sweep(found).await,
        Err(error) => tracing::debug!(%error, "leftovers on the server cannot be listed"),
    }
}

/// Removes the containers of dead runs of this machine. Failures are only logged.
#[cfg(feature = "docker")]
pub(crate) async fn sweep_containers() {
    sweep(containers().await.into_iter().map(Leftover::Container).collect()).await;
}

async fn sweep(found: Vec<Leftover>) {
    for (leftover, result) in clean(found).await {
        match result {
            Ok(()) => tracing::info!(%leftover, "removed what a killed run left"),
            Err(error) => tracing::warn!(%leftover, error, "what a killed run left cannot be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that is dead: this process at another time.
    fn dead() -> Identity {
        let own = Identity::own();
        Identity { start: own.start.wrapping_add(1), ..own }
    }

    #[test]
    fn names_tell_whose_they_are() {
        let path = PathBuf::from(format!("/tmp/{}{}-3", home::PREFIX, dead()));
        assert_eq!(owner_in_name(&path, home::PREFIX), Some(dead()));
        assert_eq!(owner_in_name(Path::new("/tmp/liverc-pg-mine"), home::PREFIX), None);
        let database = format!("{DATABASE_PREFIX}{}_d3_large", dead());
        assert_eq!(owner_of_database(&database), Some(dead()));
        assert_eq!(owner_of_database(&format!("{DATABASE_PREFIX}production")), None);
        assert_eq!(owner_of_database("races"), None);
    }

    #[tokio::test]
    async fn only_what_dead_runs_left_is_found_and_removed() {
        // A place of its own: sweeps of other processes look into the usual ones.
        let parent = tempfile::tempdir().unwrap();
        let of = |owner: Identity, nth: u32| parent.path().join(format!("{}{owner}-{nth}", home::PREFIX));
        let (left, live) = (of(dead(), 1), of(Identity::own(), 1));
        let foreign = of(Identity { machine: Identity::own().machine ^ 1, ..dead() }, 1);
        for path in [&left, &live, &foreign] {
            fs::create_dir_all(path.join("data")).unwrap();
        }
        std::os::unix::fs::symlink(&live, of(dead(), 2)).unwrap();
        fs::create_dir(parent.path().join("liverc-pg-somebody")).unwrap();
        let mut found = Vec::new();
        directories(&mut found, &[parent.path().to_path_buf()], home::PREFIX, Leftover::Directory);
        assert_eq!(found, [Leftover::Directory(left.clone())]);
        for (leftover, result) in clean(found).await {
            assert_eq!(result, Ok(()), "{leftover}");
        }
        assert!(!left.exists() && live.exists() && foreign.exists());
    }

    #[tokio::test]
    async fn a_process_is_ended_but_not_one_that_took_its_id() {
        let mut child = std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start = start_of(pid).unwrap();
        end(pid, start + 1).await.unwrap();
        assert_eq!(start_of(pid), Some(start), "another start: another process");
        end(pid, start).await.unwrap();
        child.wait().unwrap();
    }
}
