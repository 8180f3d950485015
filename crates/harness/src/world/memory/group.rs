//! A control group for one process.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sandbox::leftovers::{GROUP_PREFIX, Identity, Registry, Thing};

/// The two versions of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn limit(self) -> &'static str {
        match self {
            Self::One => "memory.limit_in_bytes",
            Self::Two => "memory.max",
        }
    }

    /// Swap would let a process go on past its limit. Not there on every kernel.
    fn with_swap(self) -> &'static str {
        match self {
            Self::One => "memory.memsw.limit_in_bytes",
            Self::Two => "memory.swap.max",
        }
    }

    /// Where `oom_kill` is counted.
    fn events(self) -> &'static str {
        match self {
            Self::One => "memory.oom_control",
            Self::Two => "memory.events",
        }
    }
}

/// A group with a limit on memory, if any. Removed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    version: Version,
}

impl Group {
    /// Makes one below this process's own group, or beside it. `None`: without a limit yet.
    ///
    /// # Errors
    /// Why none can be had.
    pub(super) fn make(bytes: Option<u64>) -> Result<Self, String> {
        let mut why = "no memory controller is mounted".to_owned();
        for (parent, version) in parents() {
            match Self::below(&parent, version, bytes) {
                Ok(group) => return Ok(group),
                Err(error) => why = format!("{}: {error}", parent.display()),
            }
        }
        Err(why)
    }

    fn below(parent: &Path, version: Version, bytes: Option<u64>) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{GROUP_PREFIX}{}-{nth}", Identity::own()));
        let thing = Thing::Group(path.clone());
        Registry::own().note(thing.clone())?;
        if let Err(error) = fs::create_dir(&path) {
            Registry::own().forget(&thing);
            return Err(error);
        }
        let group = Self { path, version };
        // Absent where the parent does not hand its controller down.
        let limit = group.path.join(version.limit());
        if !limit.is_file() {
            return Err(io::Error::other("its groups have no memory controller"));
        }
        if let Some(bytes) = bytes {
            fs::write(limit, bytes.to_string())?;
            group.forbid_swap(bytes);
        }
        Ok(group)
    }

    /// Takes away all memory that its processes do not hold; in version 2 also that which they do.
    ///
    /// # Errors
    /// When the limit cannot be set.
    pub(super) fn starve(&self) -> io::Result<u64> {
        self.forbid_swap(0);
        let limit = self.path.join(self.version.limit());
        if self.version == Version::Two {
            // The kernel kills at once what it cannot take back.
            return fs::write(limit, "0").map(|()| 0);
        }
        // Version 1 refuses a limit below what is held. What could be taken back, and what is charged in advance, goes first.
        let mut last = io::Error::other("what its processes hold never stood still");
        for _ in 0..100 {
            let _ = fs::write(self.path.join("memory.force_empty"), "0");
            let held = fs::read_to_string(self.path.join("memory.usage_in_bytes"))?;
            let bytes: u64 = held.trim().parse().map_err(io::Error::other)?;
            match fs::write(&limit, bytes.to_string()) {
                Ok(()) => return Ok(bytes),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn forbid_swap(&self, bytes: u64) {
        let swap = if self.version == Version::One { bytes } else { 0 };
        let _ = fs::write(self.path.join(self.version.with_swap()), swap.to_string());
    }

    /// The file through which a process moves itself into it.
    pub(super) fn members(&self) -> io::Result<File> {
        File::options().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Processes of it that the kernel killed for want of memory.
    pub(super) fn kills(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.path.join(self.version.events()))?;
        kills(&text).ok_or_else(|| io::Error::other("no `oom_kill` in it"))
    }

    /// Its directory.
    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> &'static str {
        match self.version {
            Version::One => "a control group's limit (cgroup v1)",
            Version::Two => "a control group's limit (cgroup v2)",
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was killed just now may be in it for a moment longer.
        for _ in 0..200 {
            match fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => break,
                _ => return Registry::own().forget(&Thing::Group(self.path.clone())),
            }
        }
        tracing::warn!(group = %self.path.display(), "a control group is left over; `harness doctor --clean` removes it");
    }
}

fn kills(events: &str) -> Option<u64> {
    let mut words = events.lines().filter_map(|line| line.split_once(' '));
    words.find(|(name, _)| *name == "oom_kill").and_then(|(_, n)| n.trim().parse().ok())
}

/// Where a group may be made, the best place first: below our own group, else beside it. (In version 2 a group that holds
/// processes cannot hand its controllers down.)
fn parents() -> Vec<(PathBuf, Version)> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    places(&own, &mounts).into_iter().filter(|(path, _)| path.is_dir()).collect()
}

/// The same of the kernel's two texts.
fn places(own: &str, mounts: &str) -> Vec<(PathBuf, Version)> {
    let mut all = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let version = match controllers {
            "" => Version::Two,
            some if some.split(',').any(|c| c == "memory") => Version::One,
            _ => continue,
        };
        let Some((root, mount)) = mounted(mounts, version) else { continue };
        // In a container the mount may show only a part of the tree.
        let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path).trim_start_matches('/');
        let group = if below.is_empty() { mount.to_owned() } else { mount.join(below) };
        let beside = (!below.is_empty()).then(|| group.parent().map(Path::to_path_buf)).flatten();
        all.push((group, version));
        all.extend(beside.map(|path| (path, version)));
    }
    all
}

/// Where the memory controller of a version is mounted: (root of the mount within the tree, mount point).
fn mounted(mounts: &str, version: Version) -> Option<(&str, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut kind = right.split(' ');
        let fits = match (version, kind.next()?) {
            (Version::Two, "cgroup2") => true,
            (Version::One, "cgroup") => kind.next_back()?.split(',').any(|option| option == "memory"),
            _ => false,
        };
        let mut left = left.split(' ').skip(3);
        fits.then_some((left.next()?, PathBuf::from(left.next()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "36 25 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      45 25 0:40 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found_in_both_versions() {
        let found = places("4:memory:/a/b\n3:cpuset:/\n0::/\n", V1);
        let at = |path: &str, version| (PathBuf::from(path), version);
        assert_eq!(
            found,
            [
                at("/sys/fs/cgroup/memory/a/b", Version::One),
                at("/sys/fs/cgroup/memory/a", Version::One),
                at("/sys/fs/cgroup/unified", Version::Two),
            ]
        );
        let v2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = places("0::/user.slice/session-1.scope\n", v2);
        assert_eq!(found[0], at("/sys/fs/cgroup/user.slice/session-1.scope", Version::Two));
        assert_eq!(found[1], at("/sys/fs/cgroup/user.slice", Version::Two));
        let part = "30 25 0:26 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(places("4:memory:/docker/1f\n", part), [at("/sys/fs/cgroup/memory", Version::One)]);
    }

    #[test]
    fn the_count_of_kills_is_read_from_both_forms() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(kills("low 0\nhigh 0\nmax 14\noom 3\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(kills("max 1\n"), None);
    }
}
