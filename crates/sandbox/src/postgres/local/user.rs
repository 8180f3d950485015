//! Whom the server runs as. PostgreSQL refuses to run as root.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User, chown, geteuid};

use super::super::error::Error;

/// The account that a server runs under, when it is another than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunAs {
    uid: Uid,
    gid: Gid,
}

impl RunAs {
    /// `None` when we are not root: the server then runs as we do. Else `postgres`, else `nobody`.
    pub(super) fn find() -> Result<Option<Self>, Error> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name)
                && !user.uid.is_root()
            {
                return Ok(Some(Self { uid: user.uid, gid: user.gid }));
            }
        }
        Err(Error::Local(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as. \
             Run this as another user"
                .to_owned(),
        ))
    }

    /// Makes a command run under it. `Command` also drops the supplementary groups then.
    pub(super) fn apply(run_as: Option<Self>, command: &mut Command) {
        if let Some(run_as) = run_as {
            command.uid(run_as.uid.as_raw()).gid(run_as.gid.as_raw());
        }
    }

    /// Gives a path to it.
    pub(super) fn give(run_as: Option<Self>, path: &Path) -> io::Result<()> {
        match run_as {
            Some(run_as) => chown(path, Some(run_as.uid), Some(run_as.gid)).map_err(io::Error::from),
            None => Ok(()),
        }
    }

    /// Whether it can reach what is inside `directory`: every directory on the way must let it search.
    fn reaches(self, directory: &Path) -> bool {
        directory.ancestors().all(|step| {
            fs::metadata(step).is_ok_and(|found| {
                let bit = if found.uid() == self.uid.as_raw() {
                    0o100
                } else if found.gid() == self.gid.as_raw() {
                    0o010
                } else {
                    0o001
                };
                found.mode() & bit != 0
            })
        })
    }
}

/// Room that a server's data are given in memory, bytes: a log of the default size and some databases.
const ROOM: u64 = 2_000_000_000;

/// The machine's file system in memory, where it is there and has room for a server's data (2 GB): no commit waits for a
/// disk there. For [`Options::temporary`](super::super::Options::temporary).
#[must_use]
pub fn memory() -> Option<PathBuf> {
    let found = nix::sys::statvfs::statvfs(SHARED_MEMORY).ok()?;
    (found.blocks_available() * found.fragment_size() >= ROOM).then(|| SHARED_MEMORY.into())
}

/// Linux's file system in memory that every process may use.
const SHARED_MEMORY: &str = "/dev/shm";

/// A directory for temporary files that the server's user can search all the way down to: `wanted` if given, else the
/// system's, else `/tmp` or `/var/tmp` (root's own `TMPDIR` is often private).
pub(super) fn temporary_parent(run_as: Option<RunAs>, wanted: Option<&Path>) -> Result<PathBuf, Error> {
    let candidates = match wanted {
        Some(wanted) => vec![wanted.to_path_buf()],
        None => vec![std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")],
    };
    for candidate in &candidates {
        let Ok(directory) = candidate.canonicalize() else { continue };
        if run_as.is_none_or(|run_as| run_as.reaches(&directory)) {
            return Ok(directory);
        }
    }
    let tried: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(Error::Local(format!(
        "the user that PostgreSQL runs as cannot reach any of {}: every directory on the way must be searchable (chmod o+x), or \
         set TMPDIR to one that is",
        tried.join(", ")
    )))
}
