//! A postmaster and its children: found, signalled, stopped.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::Process;

use super::super::figures;
use super::child::Child;
use crate::leftovers::start_of;

pub(super) fn children(postmaster: i32) -> Vec<Process> {
    let mut family = figures::family(postmaster);
    family.retain(|process| process.pid != postmaster);
    family
}

pub(super) fn identities(processes: &[Process]) -> Vec<(i32, u64)> {
    processes.iter().filter_map(|process| start_of(process.pid).map(|start| (process.pid, start))).collect()
}

/// Signals the postmaster, which passes it on. Returns the children it had.
pub(super) fn family_after(child: &Child, signal: Signal) -> std::io::Result<Vec<(i32, u64)>> {
    let family = identities(&children(child.pid()));
    child.signal(signal)?;
    Ok(family)
}

/// SIGKILL to all of them. Backends are sessions of their own, so no group kill finds them; and one in the middle of a long statement
/// would not notice for its length that the postmaster is gone.
pub(super) fn kill_family(child: &Child) -> std::io::Result<Vec<(i32, u64)>> {
    stop_postmaster(child)?;
    let family = children(child.pid());
    let known = identities(&family);
    // While it is stopped it reaps nothing, so the ids are theirs.
    for process in family {
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
    child.signal(Signal::SIGKILL)?;
    Ok(known)
}

/// Stops the postmaster, so that it makes no more children.
pub(super) fn stop_postmaster(child: &Child) -> std::io::Result<()> {
    child.signal(Signal::SIGSTOP)?;
    until_stopped(child.pid());
    Ok(())
}

/// Waits until a process has stopped: the signal only asks for that. Bounded, for one that cannot (in an uninterruptible read).
pub(super) fn until_stopped(pid: i32) {
    for _ in 0..20_000 {
        let state = Process::new(pid).and_then(|process| process.stat()).map(|stat| stat.state);
        if !matches!(state, Ok('R' | 'S' | 'D')) {
            break;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}
