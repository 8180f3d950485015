//! A limit on the memory of one process: a control group of its own where one can be made, else a limit on its data.
//!
//! In a group (cgroup v2 `memory.max`, v1 `memory.limit_in_bytes`) the kernel kills the process that goes past the limit, as it
//! does on a machine that is full, and counts the kills. A limit on data (`RLIMIT_DATA`: heap, stacks and other private
//! writable memory) makes an allocation fail, on which most programs abort.

mod group;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use group::Group;

use crate::quantity::Bytes;
use crate::trial::record::Exit;

/// A limit on the memory of one process, which may come later than the process. Must live as long as that; dropped, its group is
/// removed.
#[derive(Debug)]
pub struct MemoryLimit {
    /// `None`: none yet.
    bytes: Option<u64>,
    means: Means,
}

#[derive(Debug)]
enum Means {
    Group(Group),
    /// And why there is no group.
    Data {
        why_no_group: String,
    },
}

/// What became of a process under a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// It went past the limit: the kernel's count of kills rose, or it aborted on an allocation that failed.
    Yes(String),
    /// It did not, as far as can be told.
    No(String),
}

impl MemoryLimit {
    /// A limit for a process that is yet to be started: it may have this many bytes.
    #[must_use]
    pub fn of(bytes: u64) -> Self {
        Self::new(Some(bytes), Group::make(Some(bytes)))
    }

    /// For a process that is yet to be started and may have its memory taken away later, by [`Self::starve`].
    #[must_use]
    pub fn none_yet() -> Self {
        Self::new(None, Group::make(None))
    }

    fn new(bytes: Option<u64>, group: Result<Group, String>) -> Self {
        let means = match group {
            Ok(group) => Means::Group(group),
            Err(why_no_group) => Means::Data { why_no_group },
        };
        Self { bytes, means }
    }

    /// Puts the process that a command will start under the limit, before its program begins.
    ///
    /// # Errors
    /// When the group cannot be opened.
    #[expect(unsafe_code, reason = "pre_exec runs between fork and exec; only write and setrlimit are called")]
    pub fn on_command(&self, command: &mut Command) -> io::Result<()> {
        match (&self.means, self.bytes) {
            (Means::Group(group), _) => {
                let members = group.members()?;
                // SAFETY: write(2) on an open descriptor is async-signal-safe and touches no memory of the parent.
                unsafe { command.pre_exec(move || nix::unistd::write(&members, b"0").map(drop).map_err(Into::into)) };
            }
            (Means::Data { .. }, Some(bytes)) => {
                let limit = nix::libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
                // SAFETY: setrlimit is a plain system call on a value that the closure owns.
                unsafe {
                    command.pre_exec(move || match nix::libc::setrlimit(nix::libc::RLIMIT_DATA, &raw const limit) {
                        0 => Ok(()),
                        _ => Err(io::Error::last_os_error()),
                    })
                };
            }
            (Means::Data { .. }, None) => {}
        }
        Ok(())
    }

    /// Lets its process, which runs, have no more memory than it holds; in a group of version 2 not even that.
    ///
    /// # Errors
    /// When the limit cannot be set.
    pub fn starve(&mut self, pid: u32) -> io::Result<()> {
        self.bytes = Some(match &self.means {
            Means::Group(group) => group.starve()?,
            Means::Data { .. } => {
                let bytes = data_of(pid)?;
                limit_data(pid, bytes)?;
                bytes
            }
        });
        Ok(())
    }

    /// How it limits, for evidence and reports.
    #[must_use]
    pub fn describe(&self) -> String {
        let bytes = self.bytes.map_or_else(|| "no bytes yet".to_owned(), |bytes| Bytes(bytes).to_string());
        match &self.means {
            Means::Group(group) => format!("{} of {bytes}", group.name()),
            Means::Data { why_no_group } => {
                format!("a limit of {bytes} on its data (no control group: {why_no_group})")
            }
        }
    }

    /// What became of its process, which ended in this way.
    #[must_use]
    pub fn met(&self, exit: Exit) -> Met {
        let limit = self.describe();
        match &self.means {
            Means::Group(group) => match group.kills() {
                Ok(0) => Met::No(format!("under {limit} the kernel killed nothing")),
                Ok(n) => Met::Yes(format!("{limit}: the kernel's count of kills for want of memory rose to {n}")),
                Err(error) => Met::No(format!("{limit}: the kernel's count of kills cannot be read: {error}")),
            },
            Means::Data { .. } if exit == Exit::Signal(6) => {
                Met::Yes(format!("the process died of signal 6 (it aborts when an allocation fails) under {limit}"))
            }
            Means::Data { .. } => Met::No(format!("under {limit} it did not abort")),
        }
    }
}

/// What a process has of data, bytes.
fn data_of(pid: u32) -> io::Result<u64> {
    let process = i32::try_from(pid).map_err(io::Error::other)?;
    let status = procfs::process::Process::new(process).and_then(|p| p.status()).map_err(io::Error::other)?;
    let kilobytes = status.vmdata.ok_or_else(|| io::Error::other("the kernel does not tell VmData"))?;
    Ok(kilobytes * 1024)
}

#[expect(unsafe_code, reason = "nix has no prlimit")]
fn limit_data(pid: u32, bytes: u64) -> io::Result<()> {
    let process = i32::try_from(pid).map_err(io::Error::other)?;
    let limit = nix::libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the new limit is a live local, the old one is not asked for.
    let set = unsafe { nix::libc::prlimit(process, nix::libc::RLIMIT_DATA, &raw const limit, std::ptr::null_mut()) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
