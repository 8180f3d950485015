//! Data directories: made by `initdb`, or copied from one that an earlier run made.
//!
//! `initdb` takes about half a second, a copy a tenth of that. The cache holds one finished directory per build of PostgreSQL and
//! user; it comes to be by a rename, so a concurrent run sees all of it or nothing.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{AccessFlags, access};

use super::super::error::Error;
use super::binaries::Binaries;
use super::user::RunAs;
use crate::leftovers::{Identity, fnv1a, private_directory};

/// What `initdb` is told. No locale, so that text sorts alike on every machine; a container is told the same. Local
/// connections go through a private directory and need no password; TCP does.
const INITDB: &[&str] = &[
    "--no-sync",
    "--username=postgres",
    "--encoding=UTF8",
    "--no-locale",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
];

/// Start of the names of copies that are being made in the cache.
pub(crate) const SCRATCH: &str = "new-";

/// Makes a new data directory at `data`, which must not exist.
pub(super) fn create(
    binaries: &Binaries,
    run_as: Option<RunAs>,
    data: &Path,
    cache: Option<&Path>,
) -> Result<(), Error> {
    let cached = cache.map(|cache| cache.join(cache_key(binaries)));
    if let Some(cached) = &cached
        && is_usable(cached)
    {
        match copy(cached, data, run_as) {
            Ok(()) => return Ok(()),
            Err(error) => {
                // A cache that is being cleared by somebody is no reason to fail.
                tracing::debug!(%error, cache = %cached.display(), "the cached data directory could not be copied");
                fs::remove_dir_all(data).or_else(absent_is_fine).map_err(Error::io("removing", data))?;
            }
        }
    }
    initdb(binaries, run_as, data)?;
    if let Some(cached) = &cached
        && let Err(error) = keep(data, cached)
    {
        tracing::debug!(%error, cache = %cached.display(), "the data directory could not be cached");
    }
    Ok(())
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn initdb(binaries: &Binaries, run_as: Option<RunAs>, data: &Path) -> Result<(), Error> {
    fs::create_dir(data).map_err(Error::io("creating", data))?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700)).map_err(Error::io("closing", data))?;
    RunAs::give(run_as, data).map_err(Error::io("giving away", data))?;
    let mut command = Command::new(binaries.program("initdb"));
    command.args(INITDB).arg("-D").arg(data).stdin(Stdio::null());
    quiet_environment(&mut command);
    command.current_dir(data);
    RunAs::apply(run_as, &mut command);
    // This thread waits for it, so it lives as long.
    crate::process::die_with_us(&mut command);
    let output =
        command.output().map_err(Error::process(format!("running {}", binaries.program("initdb").display())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Local(format!("initdb failed ({}): {}", output.status, said.trim())))
}

/// Takes away what a user's environment would change: `PGDATA`, `PGPORT`, `PGOPTIONS` and their like, and the locale.
pub(super) fn quiet_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") || text.starts_with("LC_") || text == "LANG" || text == "LANGUAGE" {
            command.env_remove(&name);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC");
}

/// A name that changes with everything that the content depends on: the build (file, size, time) and what `initdb` is told.
fn cache_key(binaries: &Binaries) -> String {
    let program = binaries.program("postgres");
    let stamp = fs::metadata(&program).map(|found| (found.len(), found.mtime(), found.ino())).ok();
    let text = format!("{}\n{stamp:?}\n{}\n{INITDB:?}", program.display(), binaries.version());
    format!("postgres-{}-{:016x}", binaries.major(), fnv1a(&text))
}

/// Only what this user made: the files become a server's program.
fn is_usable(cached: &Path) -> bool {
    fs::symlink_metadata(cached).is_ok_and(|found| {
        found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && cached.join("PG_VERSION").is_file()
    })
}

fn keep(data: &Path, cached: &Path) -> io::Result<()> {
    let parent = cached.parent().unwrap_or(Path::new("/"));
    private_directory(parent)?;
    // Another server of this process may be doing the same just now.
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let nth = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let scratch = parent.join(format!("{SCRATCH}{}-{nth}", Identity::own()));
    let done = copy(data, &scratch, None).and_then(|()| match fs::rename(&scratch, cached) {
        // Another run was faster, and its copy is as good.
        Err(error) if is_usable(cached) => {
            tracing::debug!(%error, "the data directory is already cached");
            Ok(())
        }
        result => result,
    });
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    done
}

/// Copies a directory, with modes, and gives it to the server's user. A data directory holds directories and plain files.
fn copy(from: &Path, to: &Path, run_as: Option<RunAs>) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, run_as)?;
        } else {
            fs::copy(entry.path(), &target)?;
            RunAs::give(run_as, &target)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    RunAs::give(run_as, to)
}

/// Where the cache is: `XDG_CACHE_HOME`, `~/.cache`, or a directory per user in the system's temporary one.
pub(crate) fn cache_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // A home that is not there or not ours (`HOME=/nonexistent`, sudo) is passed over.
    let home = variable("HOME").filter(|home| home.is_dir()).map(|home| home.join(".cache"));
    match variable("XDG_CACHE_HOME").or(home) {
        Some(base) if fs::create_dir_all(&base).is_ok() && access(&base, AccessFlags::W_OK).is_ok() => {
            base.join("liverc-harness")
        }
        _ => std::env::temp_dir().join(format!("liverc-harness-{}", nix::unistd::geteuid())).join("cache"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_files_and_modes() {
        let from = tempfile::tempdir().unwrap();
        fs::create_dir(from.path().join("base")).unwrap();
        fs::write(from.path().join("base/1"), "one").unwrap();
        fs::set_permissions(from.path().join("base/1"), fs::Permissions::from_mode(0o600)).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let to = parent.path().join("copy");
        copy(from.path(), &to, None).unwrap();
        assert_eq!(fs::read_to_string(to.join("base/1")).unwrap(), "one");
        assert_eq!(fs::metadata(to.join("base/1")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o777, fs::metadata(from.path()).unwrap().mode() & 0o777);
    }

    #[test]
    fn what_is_kept_first_stays_and_no_scratch_is_left() {
        let parent = tempfile::tempdir().unwrap();
        let make = |text: &str| {
            let data = tempfile::tempdir().unwrap();
            fs::write(data.path().join("PG_VERSION"), text).unwrap();
            data
        };
        let cached = parent.path().join("cache").join("postgres-15");
        keep(make("first").path(), &cached).unwrap();
        keep(make("second").path(), &cached).unwrap();
        assert_eq!(fs::read_to_string(cached.join("PG_VERSION")).unwrap(), "first");
        assert_eq!(fs::read_dir(parent.path().join("cache")).unwrap().count(), 1);
    }
}
