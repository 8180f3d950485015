//! Children that do not outlive this process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

/// Has the kernel kill the child when this process dies, however it dies.
///
/// The kernel ties that to the *thread* that starts the child: start it from one that lives at least as long as the child does,
/// such as the main thread, or one that waits for it.
pub fn die_with_us(command: &mut Command) {
    signal_on_our_death(command, Signal::SIGKILL);
}

/// As [`die_with_us`], with another signal.
pub(crate) fn signal_on_our_death(command: &mut Command, signal: Signal) {
    let parent = getpid();
    let before_exec = move || {
        nix::sys::prctl::set_pdeathsig(signal).map_err(io::Error::from)?;
        // We may have died before that line.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    #[expect(
        unsafe_code,
        reason = "the parent-death signal is cleared by setuid, so it is set in the child after that"
    )]
    // SAFETY: the closure makes two system calls, which are async-signal-safe, and allocates nothing on success.
    unsafe {
        command.pre_exec(before_exec);
    }
}
