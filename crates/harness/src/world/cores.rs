//! Which cores a process may use.

use std::io;

use nix::libc;

/// The cores of a thread or process, as the kernel has them.
type Set = libc::cpu_set_t;

/// Processes that were put on one core, and get back what they had when this is dropped.
#[derive(Debug)]
pub struct Kept {
    all: Vec<(i32, Set)>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        for (pid, set) in &self.all {
            let _ = allow(*pid, set);
        }
    }
}

/// Keeps a process and its children on the first core. Children that they make later inherit it.
///
/// # Errors
/// When the process is not there, or is not ours to command.
pub fn keep_on_first(parent: i32) -> io::Result<Kept> {
    let children = procfs::process::all_processes()
        .map_err(io::Error::other)?
        .flatten()
        .filter(|process| process.stat().is_ok_and(|stat| stat.ppid == parent));
    let pids: Vec<i32> = std::iter::once(parent).chain(children.map(|c| c.pid)).collect();
    let mut kept = Kept { all: Vec::new() };
    for pid in pids {
        match of(pid).and_then(|set| first_only(pid).map(|()| set)) {
            Ok(set) => kept.all.push((pid, set)),
            // A child may have ended meanwhile.
            Err(_) if pid != parent => {}
            Err(e) => return Err(e),
        }
    }
    Ok(kept)
}

/// Keeps a process, or the calling thread (0), on the first of its cores.
///
/// # Errors
/// When it is not there, or is not ours to command.
pub fn first_only(pid: i32) -> io::Result<()> {
    let had = of(pid)?;
    let mut set = empty();
    let first = (0..libc::CPU_SETSIZE as usize).find(|&core| is_in(core, &had)).unwrap_or(0);
    add(first, &mut set);
    allow(pid, &set)
}

#[expect(unsafe_code, reason = "plain integers: all zeros is the empty set")]
fn empty() -> Set {
    // SAFETY: `cpu_set_t` is an array of integers.
    unsafe { std::mem::zeroed() }
}

#[expect(unsafe_code, reason = "nix is built without its scheduling functions")]
fn is_in(core: usize, set: &Set) -> bool {
    // SAFETY: the core is below CPU_SETSIZE.
    unsafe { libc::CPU_ISSET(core, set) }
}

#[expect(unsafe_code, reason = "nix is built without its scheduling functions")]
fn add(core: usize, set: &mut Set) {
    // SAFETY: the core is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(core, set) }
}

#[expect(unsafe_code, reason = "nix is built without its scheduling functions")]
fn of(pid: i32) -> io::Result<Set> {
    let mut set = empty();
    // SAFETY: the pointer is to a live local of the size given.
    let got = unsafe { libc::sched_getaffinity(pid, size_of::<Set>(), &raw mut set) };
    if got == 0 { Ok(set) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "nix is built without its scheduling functions")]
fn allow(pid: i32, set: &Set) -> io::Result<()> {
    // SAFETY: the pointer is to a live value of the size given.
    let got = unsafe { libc::sched_setaffinity(pid, size_of::<Set>(), std::ptr::from_ref(set)) };
    if got == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(set: &Set) -> usize {
        (0..libc::CPU_SETSIZE as usize).filter(|&core| is_in(core, set)).count()
    }

    #[test]
    fn a_child_is_kept_on_one_core_and_let_go_again() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let had = cores(&of(pid).unwrap());
        let kept = keep_on_first(pid).unwrap();
        assert_eq!(cores(&of(pid).unwrap()), 1);
        drop(kept);
        assert_eq!(cores(&of(pid).unwrap()), had);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(keep_on_first(i32::MAX).is_err());
    }
}
