//! The directory of a local server: its data, its socket, its log.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::error::Error;
use super::user::RunAs;
use crate::leftovers::{Identity, Registry, Thing};

/// Start of the names of such directories.
pub(crate) const PREFIX: &str = "liverc-pg-";

/// Start of the names of those that were kept.
const KEPT_PREFIX: &str = "liverc-kept-";

/// Longest path of a socket that is safe: `sun_path` has 108 bytes, less on some systems.
const SOCKET_PATH: usize = 100;

/// Most that is read of the end of a log.
const TAIL_BYTES: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Home {
    base: PathBuf,
    socket: PathBuf,
}

impl Home {
    /// Makes one under `parent`, removed when dropped, and known to the next run should this one be killed.
    pub(super) fn create(parent: &Path, run_as: Option<RunAs>) -> Result<Self, Error> {
        let base = make(parent, if run_as.is_some() { 0o711 } else { 0o700 })?;
        let mut home = Self { socket: base.join("s"), base };
        if home.socket.join(".s.PGSQL.65535.lock").as_os_str().len() >= SOCKET_PATH {
            home.socket = make(Path::new("/tmp"), 0o700)?;
        } else {
            DirBuilder::new().mode(0o700).create(&home.socket).map_err(Error::io("creating", &home.socket))?;
        }
        RunAs::give(run_as, &home.socket).map_err(Error::io("giving away", &home.socket))?;
        Ok(home)
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn log(&self) -> PathBuf {
        self.base.join("log")
    }

    pub(super) fn open_log(&self) -> Result<File, Error> {
        let log = self.log();
        OpenOptions::new().append(true).create(true).mode(0o600).open(&log).map_err(Error::io("opening", log))
    }

    pub(super) fn empty_log(&self) -> Result<(), Error> {
        self.open_log()?.set_len(0).map_err(Error::io("emptying", self.log()))
    }

    /// The last lines of the log.
    pub(super) fn log_tail(&self, lines: usize) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Lets the data outlive this process under a name that no sweep removes, which is returned. The socket's directory goes.
    pub(super) fn keep(&self) -> Result<PathBuf, Error> {
        let name = self.base.file_name().map(|name| name.to_string_lossy().replacen(PREFIX, KEPT_PREFIX, 1));
        let kept = self.base.with_file_name(name.unwrap_or_else(|| KEPT_PREFIX.to_owned()));
        fs::rename(&self.base, &kept).map_err(Error::io("renaming", &self.base))?;
        let _ = fs::remove_dir_all(kept.join("s"));
        self.remove()?;
        Ok(kept)
    }

    /// Removes everything. Idempotent.
    pub(super) fn remove(&self) -> Result<(), Error> {
        for directory in [&self.base, &self.socket] {
            match remove_tree(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("removing", directory)(error));
                }
                _ => Registry::own().forget(&Thing::Directory(directory.clone())),
            }
        }
        Ok(())
    }
}

/// Tries again where a process that is about to end made a file in between.
fn remove_tree(directory: &Path) -> io::Result<()> {
    crate::postgres::shared_memory::release(directory);
    for _ in 0..50 {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            result => return result,
        }
    }
    fs::remove_dir_all(directory)
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "a directory is left over; `harness doctor --clean` removes it");
        }
    }
}

/// Makes a directory that was not there, with a name that tells whose it is.
fn make(parent: &Path, mode: u32) -> Result<PathBuf, Error> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{nth}", Identity::own()));
        let thing = Thing::Directory(path.clone());
        Registry::own().note(thing.clone()).map_err(Error::io("writing to", crate::leftovers::runtime_directory()))?;
        match DirBuilder::new().mode(mode).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) => {
                Registry::own().forget(&thing);
                if error.kind() != io::ErrorKind::AlreadyExists {
                    return Err(Error::io("creating", path)(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_temporary_directory_gets_its_socket_elsewhere() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("d".repeat(90));
        fs::create_dir(&deep).unwrap();
        let home = Home::create(&deep, None).unwrap();
        let (base, socket) = (home.base().to_path_buf(), home.socket().to_path_buf());
        assert!(base.starts_with(&deep) && socket.starts_with("/tmp"));
        assert!(socket.join(".s.PGSQL.65535.lock").as_os_str().len() < SOCKET_PATH);
        drop(home);
        assert!(!base.exists() && !socket.exists());
    }

    #[test]
    fn the_tail_is_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let home = Home::create(parent.path(), None).unwrap();
        assert_eq!(home.log_tail(3), "");
        fs::write(home.log(), "1\n2\n3\n4\n").unwrap();
        assert_eq!(home.log_tail(2), "3\n4");
        home.empty_log().unwrap();
        assert_eq!(home.log_tail(2), "");
    }
}
