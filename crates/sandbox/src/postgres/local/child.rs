//! A child process that is reaped, is never signalled after that, and ends when this process does.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;

use super::super::figures::{Cpu, cpu_of};

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exit {
    /// Its status in words.
    pub(super) status: String,
    /// Its time, with that of the children it waited for.
    pub(super) cpu: Cpu,
}

/// A running or ended child.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// True until the child is reaped. Held while signalling: the process id is not reused while this is locked and true.
    unreaped: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Child {
    /// Starts a command. `on_parent_death` is the signal that the kernel sends the child when this process dies.
    ///
    /// The kernel ties that signal to the *thread* that made the child, so a thread of its own makes it, waits for it and reaps it: the
    /// thread lives as long as the child.
    pub(super) fn spawn(mut command: Command, on_parent_death: Signal) -> io::Result<Self> {
        crate::process::signal_on_our_death(&mut command, on_parent_death);
        let unreaped = Arc::new(Mutex::new(true));
        let (report, exit) = watch::channel(None);
        let (started, start) = std::sync::mpsc::channel();
        let alive = Arc::clone(&unreaped);
        std::thread::Builder::new().name("postgres-reaper".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
            let _ = started.send(Ok(pid));
            // Waits without reaping, so that the zombie's times can be read and nobody signals a reused id.
            while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
            let cpu = cpu_of(pid.as_raw());
            let mut alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
            let status = child.wait().map_or_else(|error| error.to_string(), in_words);
            *alive = false;
            drop(alive);
            report.send_replace(Some(Exit { status, cpu }));
        })?;
        let pid = start.recv().map_err(|_| io::Error::other("the thread that starts PostgreSQL ended"))??;
        Ok(Self { pid, unreaped, exit })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal. `false` when the child has ended.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<bool> {
        let unreaped = self.unreaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*unreaped {
            return Ok(false);
        }
        kill(self.pid, signal)?;
        Ok(true)
    }

    /// How it ended, when it has.
    pub(super) fn exited(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    /// Waits for its end.
    pub(super) async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
        ended.unwrap_or_else(|| Exit { status: "unknown".to_owned(), cpu: Cpu::default() })
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("signal {}", signal.as_str()),
            Err(_) => format!("signal {number}"),
        },
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_is_reaped_and_then_left_alone() {
        let mut command = Command::new("/bin/sleep");
        command.arg("600");
        let child = Child::spawn(command, Signal::SIGKILL).unwrap();
        assert_eq!(child.exited(), None);
        assert!(child.signal(Signal::SIGTERM).unwrap());
        assert_eq!(child.wait().await.status, "signal SIGTERM");
        assert!(!child.signal(Signal::SIGTERM).unwrap(), "no signal goes to an id that may be another's by now");
        assert!(!std::path::Path::new(&format!("/proc/{}", child.pid())).exists(), "no zombie");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = Child::spawn(Command::new("/nonexistent/postgres"), Signal::SIGKILL).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
