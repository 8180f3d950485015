//! Every process of the server stands still, and goes on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Local;
use super::family::{children, stop_postmaster, until_stopped};
use crate::postgres::error::Error;
use crate::postgres::watchdog::Watchdog;

impl Local {
    pub(super) fn freeze(&self) -> Result<(), Error> {
        let child = self.child("pausing it")?;
        let mut running = self.running();
        let Some(running) = running.as_mut() else { return Ok(()) };
        if running.frozen.is_some() {
            return Err(Error::State { state: "paused", asked: "pausing it again" });
        }
        // A stopped process is not ended by the signal that our death sends it, so something else has to.
        let stop = |watchdog: &mut Watchdog| -> std::io::Result<()> {
            watchdog.add(&child.pid().to_string())?;
            stop_postmaster(&child)?;
            let children = children(child.pid());
            for process in &children {
                watchdog.add(&process.pid.to_string())?;
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGSTOP);
            }
            for process in &children {
                until_stopped(process.pid);
            }
            Ok(())
        };
        let mut watchdog = Watchdog::arm(&["kill", "-KILL"]).map_err(Error::process("starting a watchdog"))?;
        let stopped = stop(&mut watchdog);
        // Kept even after a failure, so that `resume` thaws what was stopped.
        running.frozen = Some(watchdog);
        stopped.map_err(Error::process("pausing PostgreSQL"))
    }

    pub(super) fn thaw(&self) -> Result<(), Error> {
        let child = self.child("resuming it")?;
        let mut running = self.running();
        let Some(watchdog) = running.as_mut().and_then(|running| running.frozen.take()) else {
            return Err(Error::State { state: "not paused", asked: "resuming it" });
        };
        for process in children(child.pid()) {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGCONT);
        }
        child.signal(Signal::SIGCONT).map_err(Error::process("resuming PostgreSQL"))?;
        drop(watchdog);
        Ok(())
    }
}
