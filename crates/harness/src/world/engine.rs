//! The engine as a process: started, watched for stops and its end, and reaped with its use of CPU and memory.
//!
//! One thread per process starts it and waits for it. `PR_SET_PDEATHSIG` is tied to the thread that forked, not to the
//! process: a thread that lives exactly as long as the child is the only safe place to fork from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use super::memory::MemoryLimit;
use crate::trial::record::Exit;

/// How to start an engine: a command with placeholders already filled in, and its environment.
#[derive(Debug)]
pub struct EngineCommand {
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub args: Vec<OsString>,
    /// Environment on top of the harness's own. Holds the database's password: never logged.
    pub env: BTreeMap<String, OsString>,
    /// Standard output and error are appended here.
    pub log: PathBuf,
    /// Whether it runs on the first core alone.
    pub one_core: bool,
    /// A limit on its memory.
    pub memory: Option<MemoryLimit>,
}

/// What a process did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It stopped itself (SIGSTOP) and waits for SIGCONT.
    Stopped,
    /// It ended and was reaped.
    Ended(Ended),
}

/// How a process ended and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// CPU in user mode, µs.
    pub cpu_user_us: u64,
    /// CPU in kernel mode, µs.
    pub cpu_system_us: u64,
    /// Peak resident memory, bytes.
    pub peak_rss_bytes: u64,
    /// CLOCK_MONOTONIC when it was reaped, µs.
    pub ended_us: u64,
}

/// A running engine. Dropping it kills the process.
#[derive(Debug)]
pub struct Engine {
    pid: Pid,
    started_us: u64,
    events: mpsc::UnboundedReceiver<ProcessEvent>,
    ended: bool,
    memory: Option<MemoryLimit>,
}

impl Engine {
    /// Starts the process.
    ///
    /// # Errors
    /// When the program cannot be started or the log cannot be opened.
    pub async fn start(mut command: EngineCommand) -> io::Result<Self> {
        let memory = command.memory.take();
        let mut process = process(&command)?;
        if let Some(limit) = &memory {
            limit.on_command(&mut process)?;
        }
        let (started_tx, started_rx) = tokio::sync::oneshot::channel();
        let (events_tx, events) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("engine-process".into()).spawn(move || {
            let own_peak = own_peak_rss();
            // A child has the cores of the thread that forks it; this thread ends with the child.
            if command.one_core
                && let Err(e) = super::cores::first_only(0)
            {
                tracing::warn!("the engine cannot be kept on one core: {e}");
            }
            match spawn(process) {
                Err(e) => drop(started_tx.send(Err(e))),
                Ok(pid) => {
                    let _ = started_tx.send(Ok((pid, crate::clock::monotonic_us())));
                    watch(pid, own_peak, &events_tx);
                }
            }
        })?;
        let (pid, started_us) =
            started_rx.await.map_err(|_| io::Error::other("the thread that starts the engine died"))??;
        Ok(Self { pid, started_us, events, ended: false, memory })
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// CLOCK_MONOTONIC at the start, µs.
    #[must_use]
    pub fn started_us(&self) -> u64 {
        self.started_us
    }

    /// The limit on its memory, if it has one.
    pub fn memory(&mut self) -> Option<&mut MemoryLimit> {
        self.memory.as_mut()
    }

    /// The next thing that the process does.
    pub async fn next(&mut self) -> Option<ProcessEvent> {
        let event = self.events.recv().await;
        self.ended |= matches!(event, Some(ProcessEvent::Ended(_)) | None);
        event
    }

    /// Sends a signal. A process that is gone already is not an error.
    pub fn signal(&self, signal: Signal) {
        if !self.ended {
            // The watching thread reaps: between its wait and our kill the id could only be taken by a new process
            // after a whole turn of the id space.
            let _ = kill(self.pid, signal);
        }
    }

    /// Kills the process and waits until it is reaped.
    pub async fn kill(&mut self) -> Option<Ended> {
        self.signal(Signal::SIGKILL);
        while let Some(event) = self.next().await {
            if let ProcessEvent::Ended(ended) = event {
                return Some(ended);
            }
        }
        None
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn process(command: &EngineCommand) -> io::Result<Command> {
    let log = File::options().create(true).append(true).open(&command.log)?;
    let mut process = Command::new(&command.program);
    process
        .args(&command.args)
        .envs(&command.env)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C on the terminal is the harness's to handle, not the engine's.
        .process_group(0);
    Ok(process)
}

#[expect(
    unsafe_code,
    reason = "pre_exec runs between fork and exec; only the async-signal-safe prctl and getppid are called"
)]
fn spawn(mut process: Command) -> io::Result<Pid> {
    let parent = nix::unistd::getpid();
    // SAFETY: both calls are async-signal-safe and touch no memory of the parent.
    unsafe {
        process.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if nix::unistd::getppid() != parent {
                return Err(io::Error::other("the harness died"));
            }
            Ok(())
        });
    }
    let child = process.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}

/// Waits for stops and for the end. `wait4` is the only way to a single child's CPU and memory.
#[expect(unsafe_code, reason = "nix has no wait4")]
fn watch(pid: Pid, own_peak: u64, events: &mpsc::UnboundedSender<ProcessEvent>) {
    let sampled = Arc::new(AtomicU64::new(0));
    let sampler = sample_peak(pid, Arc::clone(&sampled));
    loop {
        let mut status = 0;
        // SAFETY: an all-zero rusage is a valid value, it is plain integers.
        let mut usage: nix::libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live locals.
        let got = unsafe { nix::libc::wait4(pid.as_raw(), &raw mut status, nix::libc::WUNTRACED, &raw mut usage) };
        if got == -1 {
            if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                continue;
            }
            break;
        }
        if nix::libc::WIFSTOPPED(status) {
            if events.send(ProcessEvent::Stopped).is_err() {
                // Nobody listens any more: a stopped engine would stay for ever.
                let _ = kill(pid, Signal::SIGKILL);
            }
            continue;
        }
        let exit = if nix::libc::WIFSIGNALED(status) {
            Exit::Signal(nix::libc::WTERMSIG(status))
        } else {
            Exit::Code(nix::libc::WEXITSTATUS(status))
        };
        let ended_us = crate::clock::monotonic_us();
        drop(sampler);
        // The kernel carries the parent's high-water mark over exec into ru_maxrss (exec_mmap), so it speaks of the
        // engine only where it is above ours; below, the last sample of VmHWM does.
        let reported = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
        let peak_rss_bytes = if reported > own_peak { reported } else { sampled.load(Ordering::Relaxed) };
        let _ = events.send(ProcessEvent::Ended(Ended {
            exit,
            cpu_user_us: micros(usage.ru_utime),
            cpu_system_us: micros(usage.ru_stime),
            peak_rss_bytes,
            ended_us,
        }));
        break;
    }
}

/// Samples the high-water mark of a process until the guard is dropped.
fn sample_peak(pid: Pid, peak: Arc<AtomicU64>) -> impl Drop {
    struct Guard(Option<std::sync::mpsc::Sender<()>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.take();
        }
    }
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        loop {
            if let Some(bytes) = high_water_mark(pid.as_raw()) {
                peak.fetch_max(bytes, Ordering::Relaxed);
            }
            match stopped.recv_timeout(Duration::from_millis(5)) {
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                _ => break,
            }
        }
    });
    Guard(Some(stop))
}

/// VmHWM of a process, bytes.
fn high_water_mark(pid: i32) -> Option<u64> {
    procfs::process::Process::new(pid).ok()?.status().ok()?.vmhwm.map(|kib| kib * 1024)
}

fn own_peak_rss() -> u64 {
    i32::try_from(std::process::id()).ok().and_then(high_water_mark).unwrap_or(u64::MAX)
}

fn micros(t: nix::libc::timeval) -> u64 {
    u64::try_from(t.tv_sec * 1_000_000 + t.tv_usec).unwrap_or(0)
}

/// The last lines of a file.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    let text = std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|&l| l.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, dir: &Path) -> EngineCommand {
        EngineCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::new(),
            log: dir.join("log"),
            one_core: false,
            memory: None,
        }
    }

    #[tokio::test]
    async fn an_exit_code_a_signal_and_a_stop_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Engine::start(sh("echo out; echo err >&2; exit 75", dir.path())).await.unwrap();
        let Some(ProcessEvent::Ended(ended)) = engine.next().await else { panic!("no end") };
        assert_eq!(ended.exit, Exit::Code(75));
        assert_eq!(tail(&dir.path().join("log"), 10), ["out", "err"]);

        let mut engine = Engine::start(sh("kill -STOP $$; kill -KILL $$", dir.path())).await.unwrap();
        assert_eq!(engine.next().await, Some(ProcessEvent::Stopped));
        engine.signal(Signal::SIGCONT);
        let Some(ProcessEvent::Ended(ended)) = engine.next().await else { panic!("no end") };
        assert_eq!(ended.exit, Exit::Signal(9));
    }

    #[tokio::test]
    async fn peak_memory_is_the_engines_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let ours = vec![1u8; 200 << 20];
        let mut engine = Engine::start(sh("exec sleep 0.1", dir.path())).await.unwrap();
        let Some(ProcessEvent::Ended(ended)) = engine.next().await else { panic!("no end") };
        assert!(ended.peak_rss_bytes < 100 << 20, "{} bytes", ended.peak_rss_bytes);
        assert_eq!(ours.len(), 200 << 20);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = sh("", dir.path());
        command.program = "/nonexistent/engine".into();
        assert!(Engine::start(command).await.is_err());
    }
}
