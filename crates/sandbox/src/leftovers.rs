//! What a run started, written down so that another run can clean up after one that was killed.
//!
//! Everything that a run makes outside of its report carries its [`Identity`]: directories, containers and databases in their names or
//! labels, processes in the [`Registry`]'s file. A leftover is what carries the identity of a run that is dead, on this machine. Nothing
//! else is ever touched: what belongs to another machine, a live run, or nobody known stays.

mod find;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fs, io};

use serde::{Deserialize, Serialize};

#[cfg(feature = "docker")]
pub(crate) use find::sweep_containers;
pub(crate) use find::sweep_server;
pub use find::{Leftover, clean, find, find_here, sweep_once, unmount};

/// Which process a thing belongs to, so that neither a reused process id nor another machine is mistaken for it. The text
/// form, `<machine>_<pid>_<start>`, is part of names of databases, labels and files: letters, digits and `_` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Hash of machine id, host name and process namespace.
    machine: u32,
    /// Hash of the boot id.
    boot: u16,
    /// Process id.
    pid: i32,
    /// Start of the process in ticks since boot, as procfs has it.
    start: u64,
}

impl Identity {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        static OWN: OnceLock<(u32, u16)> = OnceLock::new();
        let (machine, boot) = *OWN.get_or_init(|| {
            let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
            let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
            let machine = format!(
                "{}\n{}\n{}",
                read("/etc/machine-id").trim(),
                read("/proc/sys/kernel/hostname").trim(),
                namespace.display()
            );
            let boot = fnv1a(read("/proc/sys/kernel/random/boot_id").trim());
            ((fnv1a(&machine) & 0xff_ffff) as u32, (boot & 0xffff) as u16)
        });
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        Self { machine, boot, pid, start: start_of(pid).unwrap_or(0) }
    }

    /// Whether it is this machine's (and this process namespace's): only then can be told whether it lives.
    #[must_use]
    pub fn is_of_this_machine(&self) -> bool {
        self.machine == Self::own().machine
    }

    /// Whether the process still runs. Says `true` for another machine's, of which nothing is known.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        if !self.is_of_this_machine() {
            return true;
        }
        self.boot == Self::own().boot && start_of(self.pid) == Some(self.start)
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}{:04x}_{}_{}", self.machine, self.boot, self.pid, self.start)
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('_');
        let (Some(place), Some(pid), Some(start), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        if place.len() != 10 || !place.is_ascii() {
            return Err(());
        }
        let (machine, boot) = place.split_at(6);
        Ok(Self {
            machine: u32::from_str_radix(machine, 16).map_err(drop)?,
            boot: u16::from_str_radix(boot, 16).map_err(drop)?,
            pid: pid.parse().map_err(drop)?,
            start: start.parse().map_err(drop)?,
        })
    }
}

/// FNV-1a, 64 bits: stable over builds and versions, which the standard library's hasher is not.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Start of a process in ticks since boot; `None` when there is none, or only its zombie.
#[must_use]
pub fn start_of(pid: i32) -> Option<u64> {
    let stat = procfs::process::Process::new(pid).ok()?.stat().ok()?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
}

/// Something that a run started and has to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    /// A directory of ours. Its own name must contain the run's [`Identity`], else it will not be removed.
    Directory(PathBuf),
    /// A process.
    Process {
        /// Its id.
        pid: i32,
        /// Its start, see [`start_of`].
        start: u64,
        /// What it is.
        what: String,
    },
    /// A container, by name.
    Container(String),
    /// A directory of ours with a file system mounted on it. Named as a [`Thing::Directory`] is.
    Mount(PathBuf),
    /// A control group of ours. Named as a [`Thing::Directory`] is.
    Group(PathBuf),
}

/// Start of the names of control groups of ours; the run's [`Identity`], `-` and a number follow.
pub const GROUP_PREFIX: &str = "liverc-limit-";

/// Start of the names of directories of ours on which something is mounted; the run's [`Identity`], `-` and a number follow.
pub const MOUNT_PREFIX: &str = "liverc-disk-";

/// The things of this process, kept in a file while there are any.
#[derive(Debug)]
pub struct Registry {
    file: PathBuf,
    things: Mutex<Vec<Thing>>,
}

impl Registry {
    /// That of this process.
    pub fn own() -> &'static Self {
        static OWN: OnceLock<Registry> = OnceLock::new();
        OWN.get_or_init(|| Self {
            file: runtime_directory().join(format!("{}.json", Identity::own())),
            things: Mutex::new(Vec::new()),
        })
    }

    /// Writes a thing down. To be called before it is made, so that there is no moment in which it is there and unknown.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&self, thing: Thing) -> io::Result<()> {
        let mut things = self.lock();
        things.push(thing);
        self.write(&things)
    }

    /// Crosses a thing out after it is gone. With the last one the file goes.
    pub fn forget(&self, thing: &Thing) {
        let mut things = self.lock();
        if let Some(at) = things.iter().position(|known| known == thing) {
            things.remove(at);
        }
        if let Err(error) = self.write(&things) {
            tracing::debug!(%error, file = %self.file.display(), "the list of what this run started cannot be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Thing>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, things: &[Thing]) -> io::Result<()> {
        if things.is_empty() {
            return match fs::remove_file(&self.file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let directory = self.file.parent().unwrap_or(Path::new("/"));
        private_directory(directory)?;
        let next = self.file.with_extension("new");
        fs::write(&next, serde_json::to_vec(things)?)?;
        fs::rename(&next, &self.file)
    }
}

/// Where the lists are: `LIVERC_HARNESS_RUNTIME_DIR`, else a directory per user in the system's temporary one. Not
/// `XDG_RUNTIME_DIR`: that is not set everywhere (sudo, cron), and the next run must find what this one wrote.
#[must_use]
pub fn runtime_directory() -> PathBuf {
    std::env::var_os("LIVERC_HARNESS_RUNTIME_DIR")
        .map_or_else(|| std::env::temp_dir().join(format!("liverc-harness-{}", nix::unistd::geteuid())), PathBuf::from)
}

/// Makes a directory that only this user can write to, or checks that it is one.
///
/// # Errors
/// When it cannot be made, or is another user's: a name in `/tmp` is anybody's to take.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a directory that only this user can write to", path.display()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_text_and_knows_whether_it_lives() {
        let own = Identity::own();
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!(own.is_alive() && own.is_of_this_machine());
        assert!(!Identity { start: own.start + 1, ..own }.is_alive(), "the same id, started at another time");
        assert!(!Identity { boot: !own.boot, ..own }.is_alive(), "before the last boot");
        assert!(
            Identity { machine: own.machine ^ 1, start: 0, ..own }.is_alive(),
            "of another machine: not ours to judge"
        );
        for text in ["", "x", "0123456789_1", "0123456789_1_2_3", "012345678_1_2", "01234567é_1_2"] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
