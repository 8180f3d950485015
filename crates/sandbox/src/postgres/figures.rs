//! CPU and memory of a server's processes (procfs), and its write-ahead log position.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use procfs::process::Process;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;

use super::backend::Backend;
use super::error::Error;

/// Processor time. The kernel counts it in ticks of 10 ms per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cpu {
    /// In user mode, microseconds.
    pub user_us: u64,
    /// In the kernel, microseconds.
    pub system_us: u64,
}

impl Cpu {
    /// Both together, microseconds.
    #[must_use]
    pub fn total_us(self) -> u64 {
        self.user_us + self.system_us
    }

    /// What was spent since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { user_us: self.user_us + other.user_us, system_us: self.system_us + other.system_us }
    }

    pub(crate) fn at_least(self, other: Self) -> Self {
        Self { user_us: self.user_us.max(other.user_us), system_us: self.system_us.max(other.system_us) }
    }
}

/// What a server's processes have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Used {
    /// Since the server was got, over all its processes, those that have exited included.
    pub cpu: Cpu,
    /// Proportional set size of all processes now, in bytes: shared memory is counted once. `None` where the kernel does not
    /// let us read it.
    pub pss_bytes: Option<u64>,
    /// Sum of the resident sets now, in bytes: shared memory is counted once per process that touched it.
    pub rss_bytes: u64,
    /// Number of processes.
    pub processes: usize,
}

/// The postmaster and its children. Every process of a server is a direct child of the postmaster.
pub(crate) fn family(postmaster: i32) -> Vec<Process> {
    let mut family = Vec::new();
    let Ok(all) = procfs::process::all_processes() else { return family };
    for process in all.flatten() {
        let of_it = process.pid == postmaster || process.stat().is_ok_and(|stat| stat.ppid == postmaster);
        if of_it {
            family.push(process);
        }
    }
    family
}

/// Time of a process and of those children of it that have exited and were waited for. Works on a zombie.
fn with_reaped_children(process: &Process) -> Option<Cpu> {
    let stat = process.stat().ok()?;
    let tick_us = 1_000_000 / procfs::ticks_per_second().max(1);
    let of_children = |ticks: i64| u64::try_from(ticks).unwrap_or(0);
    Some(Cpu {
        user_us: (stat.utime + of_children(stat.cutime)) * tick_us,
        system_us: (stat.stime + of_children(stat.cstime)) * tick_us,
    })
}

/// Time of one process and its reaped children; zero when it is not there.
pub(crate) fn cpu_of(pid: i32) -> Cpu {
    Process::new(pid).ok().as_ref().and_then(with_reaped_children).unwrap_or_default()
}

/// Ticks of a process's children that it has waited for.
fn of_reaped(pid: i32) -> Option<(i64, i64)> {
    let stat = Process::new(pid).and_then(|process| process.stat()).ok()?;
    Some((stat.cutime, stat.cstime))
}

/// The family with the time of each, taken while no child was reaped: one that ends during the look would be counted twice, or not at all.
fn consistent_family(postmaster: i32) -> Vec<(Process, Cpu)> {
    let mut attempt = 0;
    loop {
        let before = of_reaped(postmaster);
        let timed = |process: Process| with_reaped_children(&process).map(|cpu| (process, cpu));
        let timed: Vec<(Process, Cpu)> = family(postmaster).into_iter().filter_map(timed).collect();
        attempt += 1;
        if before == of_reaped(postmaster) || attempt == 20 {
            return timed;
        }
    }
}

/// Time of the whole family.
pub(crate) fn cpu_of_family(postmaster: i32) -> Cpu {
    consistent_family(postmaster).iter().map(|(_, cpu)| *cpu).fold(Cpu::default(), Cpu::plus)
}

fn used(postmaster: i32) -> Used {
    let mut used = Used::default();
    let mut pss = Some(0);
    for (process, cpu) in consistent_family(postmaster) {
        used.cpu = used.cpu.plus(cpu);
        used.processes += 1;
        let page = procfs::page_size();
        used.rss_bytes += process.statm().map_or(0, |statm| statm.resident * page);
        // A process that ended in between makes no hole; one that may not be read does.
        match process.smaps_rollup() {
            Ok(rollup) => {
                let bytes: u64 = rollup.memory_map_rollup.iter().filter_map(|map| map.extension.map.get("Pss")).sum();
                pss = pss.map(|sum: u64| sum + bytes);
            }
            Err(procfs::ProcError::NotFound(_)) => {}
            // A zombie has no memory map any more.
            Err(_) if process.stat().is_ok_and(|stat| stat.state == 'Z') => {}
            Err(_) => pss = None,
        }
    }
    used.pss_bytes = pss;
    used
}

/// What a server's processes have used up to now.
///
/// # Errors
/// [`Error::Unsupported`] when its processes cannot be seen from here; [`Error::State`] when it is down.
pub(crate) fn read(backend: &dyn Backend) -> Result<Used, Error> {
    let mut now = used(backend.postmaster()?);
    now.cpu = now.cpu.plus(backend.spent_before());
    Ok(now)
}

/// Watches a server's memory from its start until [`Meter::finish`], and takes the difference of its CPU.
#[derive(Debug)]
pub struct Meter {
    before: Cpu,
    backend: Arc<dyn Backend>,
    stop: tokio::sync::oneshot::Sender<()>,
    sampler: tokio::task::JoinHandle<Peak>,
}

/// The highest values seen, and in how many samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peak {
    /// See [`Used::pss_bytes`].
    pub pss_bytes: Option<u64>,
    /// See [`Used::rss_bytes`].
    pub rss_bytes: u64,
    /// Most processes at once.
    pub processes: usize,
    /// How often was looked.
    pub samples: u64,
}

/// What a server used between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// CPU of all its processes.
    pub cpu: Cpu,
    /// Its memory.
    pub peak: Peak,
}

impl Meter {
    pub(crate) fn start(backend: Arc<dyn Backend>, every: Duration) -> Result<Self, Error> {
        let before = read(backend.as_ref())?.cpu;
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let watched = Arc::clone(&backend);
        let sampler = tokio::spawn(async move {
            let mut peak = Peak::default();
            loop {
                let sampled = Arc::clone(&watched);
                // Reading the page tables of 20 processes takes milliseconds: not on a runtime thread.
                let now = tokio::task::spawn_blocking(move || read(sampled.as_ref())).await;
                // A server that is down just now uses nothing.
                if let Ok(Ok(now)) = now {
                    peak.pss_bytes = peak.pss_bytes.max(now.pss_bytes);
                    peak.rss_bytes = peak.rss_bytes.max(now.rss_bytes);
                    peak.processes = peak.processes.max(now.processes);
                    peak.samples += 1;
                }
                tokio::select! {
                    _ = &mut stopped => return peak,
                    () = tokio::time::sleep(every) => {}
                }
            }
        });
        Ok(Self { before, backend, stop, sampler })
    }

    /// Ends the watch. CPU is that between the two moments, over restarts, exited backends included.
    ///
    /// # Errors
    /// [`Error::State`] when the server is down.
    pub async fn finish(self) -> Result<Measured, Error> {
        let after = read(self.backend.as_ref())?.cpu;
        let _ = self.stop.send(());
        let peak = self.sampler.await.unwrap_or_default();
        Ok(Measured { cpu: after.since(self.before), peak })
    }
}

/// A position in the write-ahead log, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Bytes of log written since `earlier`, by everybody on the server.
    #[must_use]
    pub fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    /// As PostgreSQL writes it: `0/3000060`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// Where the write-ahead log is now (`pg_current_wal_insert_lsn`: what was inserted, flushed or not).
///
/// # Errors
/// The driver's, as [`Error::Sql`].
pub async fn wal_position(connection: &mut PgConnection) -> Result<Lsn, Error> {
    let position: i64 = sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        .fetch_one(connection)
        .await
        .map_err(Error::sql("reading the WAL position"))?;
    Ok(Lsn(u64::try_from(position).unwrap_or(0)))
}
