//! Steps, the feed and arming: what the engine tells about itself, and how it stops or dies at a named moment.
//!
//! The feed is the file named by `HARNESS_FEED`, opened with `O_APPEND` and written with one `write` a line, so that it
//! survives SIGKILL. With neither feed nor arming a step costs one relaxed load.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use contract::feed::{Line, Record, StepReached};
use contract::{ArmAction, Arming, Step, env};
use nix::sys::signal::{Signal, raise};
use nix::time::{ClockId, clock_gettime};

use crate::metrics::Metrics;

/// Where in the work a step is.
#[derive(Debug, Clone, Copy, Default)]
pub struct At {
    /// Number of the commit unit in this process, from 1.
    pub unit: Option<u32>,
    /// LiveRC's id of the race.
    pub race: Option<u64>,
    /// Laps sent in the unit's open transaction so far.
    pub laps: Option<u64>,
}

/// A step that belongs to nothing smaller than the event.
pub const EVENT: At = At { unit: None, race: None, laps: None };

type Hook = Box<dyn Fn(Step, u32) + Send + Sync>;

enum Sink {
    None,
    File(File),
    Memory(Mutex<Vec<Line>>),
}

/// The feed and the arming of a process.
pub struct Probe {
    active: AtomicBool,
    counts: Vec<AtomicU32>,
    arming: Arming,
    sink: Sink,
    hook: Option<Hook>,
    /// See [`Probe::delay`].
    delay: f64,
    failure: OnceLock<String>,
    metrics: OnceLock<Arc<Metrics>>,
}

/// Why the probe could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// `HARNESS_ARM` makes no sense.
    #[error("HARNESS_ARM: {0}")]
    Arming(contract::arming::ArmingError),
    /// `HARNESS_DELAY` makes no sense.
    #[error("HARNESS_DELAY: `{0}` is no share from 0 to 10; 0.2 makes an ingestion a fifth longer")]
    Delay(String),
    /// The feed cannot be opened.
    #[error("HARNESS_FEED: cannot append to {path}: {source}; name a file in a directory that can be written")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Probe {
    /// Reads `HARNESS_FEED`, `HARNESS_ARM` and `HARNESS_DELAY`.
    ///
    /// # Errors
    /// An arming or a delay that cannot be read, a feed that cannot be opened.
    pub fn from_env() -> Result<Self, ProbeError> {
        let arming = std::env::var(env::HARNESS_ARM).unwrap_or_default();
        let feed = std::env::var_os(env::HARNESS_FEED).filter(|p| !p.is_empty());
        let delay = std::env::var(env::HARNESS_DELAY).unwrap_or_default();
        let probe = Self::new(feed.as_deref().map(Path::new), &arming)?;
        Ok(Self { delay: share(&delay).ok_or(ProbeError::Delay(delay))?, ..probe })
    }

    /// How long an ingestion that took `so_far` is made longer, on purpose: nothing, unless the harness asks for it.
    #[must_use]
    pub fn delay(&self, so_far: std::time::Duration) -> std::time::Duration {
        so_far.mul_f64(self.delay)
    }

    /// A probe with a feed file, if any, and an arming, which may be empty.
    ///
    /// # Errors
    /// As [`Probe::from_env`].
    pub fn new(feed: Option<&Path>, arming: &str) -> Result<Self, ProbeError> {
        let arming: Arming = arming.parse().map_err(ProbeError::Arming)?;
        let sink = match feed {
            None => Sink::None,
            Some(path) => {
                // O_NONBLOCK: a pipe without a reader must fail here, not block the engine.
                let file = OpenOptions::new().append(true).create(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
                Sink::File(file.map_err(|source| ProbeError::Open { path: path.display().to_string(), source })?)
            }
        };
        Ok(Self::with(sink, arming, None))
    }

    /// A probe that tells nothing and does nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::with(Sink::None, Arming::default(), None)
    }

    /// A probe that keeps its lines in memory and calls `hook` at each step: for tests.
    #[must_use]
    pub fn recording(hook: impl Fn(Step, u32) + Send + Sync + 'static) -> Self {
        Self::with(Sink::Memory(Mutex::default()), Arming::default(), Some(Box::new(hook)))
    }

    fn with(sink: Sink, arming: Arming, hook: Option<Hook>) -> Self {
        let active = !matches!(sink, Sink::None) || !arming.0.is_empty() || hook.is_some();
        let counts = Step::ALL.iter().map(|_| AtomicU32::new(0)).collect();
        Self {
            active: AtomicBool::new(active),
            counts,
            arming,
            sink,
            hook,
            delay: 0.0,
            failure: OnceLock::new(),
            metrics: OnceLock::new(),
        }
    }

    /// Reaches a step: tells it, and does what the process is armed with for this occurrence.
    pub fn reach(&self, step: Step, at: At) {
        if self.active.load(Ordering::Relaxed) {
            self.reached(step, at);
        }
    }

    #[cold]
    fn reached(&self, step: Step, at: At) {
        let occurrence = self.counts.get(step as usize).map_or(0, |c| c.fetch_add(1, Ordering::SeqCst)) + 1;
        let armed = self.arming.action(step, occurrence);
        let At { unit, race, laps } = at;
        self.append(Record::Step(StepReached { name: step, occurrence, unit, race, laps, armed }));
        if let Some(hook) = &self.hook {
            hook(step, occurrence);
        }
        // `raise` is directed at this thread: it dies or stops here and not a few instructions later.
        let signal = match armed {
            None => return,
            Some(ArmAction::Kill) => Signal::SIGKILL,
            Some(ArmAction::Hold) => Signal::SIGSTOP,
        };
        if let Err(errno) = raise(signal) {
            self.fail(format!("cannot send {signal} to itself at {step}#{occurrence}: {errno}"));
        }
    }

    /// Takes the figures of every record from now on into these metrics, which are those of the process.
    pub fn count_in(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    /// Appends a record to the feed, and counts it. With neither it is not made.
    pub fn record(&self, record: impl FnOnce() -> Record) {
        let (active, metrics) = (self.active.load(Ordering::Relaxed), self.metrics.get());
        if !active && metrics.is_none() {
            return;
        }
        let record = record();
        if let Some(metrics) = metrics {
            metrics.observe(&record);
        }
        if active {
            self.append(record);
        }
    }

    fn append(&self, record: Record) {
        let line = Line { t_us: monotonic_us(), pid: std::process::id(), record };
        match &self.sink {
            Sink::None => {}
            Sink::Memory(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).push(line),
            Sink::File(file) => {
                if self.failure.get().is_some() {
                    return; // after a torn line nothing that follows could be trusted
                }
                let mut text = match serde_json::to_vec(&line) {
                    Ok(text) => text,
                    Err(e) => return self.fail(format!("cannot write a feed line as JSON: {e}")),
                };
                text.push(b'\n');
                let mut file = file;
                match file.write(&text) {
                    Ok(n) if n == text.len() => {}
                    Ok(n) => {
                        self.fail(format!("the feed took {n} of {} bytes of a line: is its disk full?", text.len()))
                    }
                    Err(e) => self.fail(format!("cannot write the feed: {e}")),
                }
            }
        }
    }

    fn fail(&self, message: String) {
        if self.failure.set(message.clone()).is_ok() {
            tracing::error!("{message}");
        }
    }

    /// What is wrong with the feed, once something is. The engine ends soon after: a feed with holes is worse than none.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// The lines so far of a probe made by [`Probe::recording`]; empty for any other.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        match &self.sink {
            Sink::Memory(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Sink::None | Sink::File(_) => Vec::new(),
        }
    }
}

/// CLOCK_MONOTONIC, µs.
#[must_use]
pub fn monotonic_us() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|t| u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0) / 1_000)
        .unwrap_or(0)
}

/// A duration in whole microseconds.
#[must_use]
pub fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A share from 0 to 10; none for an empty text is 0.
fn share(text: &str) -> Option<f64> {
    match text.trim() {
        "" => Some(0.0),
        text => text.parse().ok().filter(|share| (0.0..=10.0).contains(share)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_and_appended_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feed");
        for unit in [1, 2] {
            let probe = Probe::new(Some(&path), "").unwrap();
            probe.reach(Step::UnitBegun, At { unit: Some(unit), ..EVENT });
            probe.reach(Step::UnitBegun, At { unit: Some(unit), ..EVENT });
            assert_eq!(probe.failure(), None);
        }
        let (lines, errors) = contract::feed::read(&std::fs::read_to_string(&path).unwrap());
        assert!(errors.is_empty(), "{errors:?}");
        let seen: Vec<_> = lines
            .iter()
            .map(|l| match &l.record {
                Record::Step(s) => (s.unit, s.occurrence),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, [(Some(1), 1), (Some(1), 2), (Some(2), 1), (Some(2), 2)]);
    }

    #[test]
    fn a_full_disk_is_told_once_and_does_not_panic() {
        let probe = Probe::new(Some(Path::new("/dev/full")), "").unwrap();
        probe.reach(Step::UnitBegun, EVENT);
        probe.reach(Step::UnitBegun, EVENT);
        assert!(probe.failure().unwrap().contains("cannot write the feed"), "{:?}", probe.failure());
    }

    #[test]
    fn a_bad_arming_or_feed_is_refused() {
        assert!(matches!(Probe::new(None, "mid-bacth=kill"), Err(ProbeError::Arming(_))));
        assert!(matches!(Probe::new(Some(Path::new("/nowhere/feed")), ""), Err(ProbeError::Open { .. })));
    }

    #[test]
    fn nothing_armed_is_inactive() {
        let probe = Probe::off();
        probe.record(|| panic!("must not be made"));
    }

    #[test]
    fn a_delay_is_a_share_of_the_time_so_far() {
        assert_eq!((share(""), share("0.2"), share("10")), (Some(0.0), Some(0.2), Some(10.0)));
        assert!([share("-1"), share("11"), share("NaN"), share("much")].iter().all(Option::is_none));
        let probe = Probe { delay: 0.2, ..Probe::off() };
        assert_eq!(probe.delay(std::time::Duration::from_secs(5)), std::time::Duration::from_secs(1));
        assert_eq!(Probe::off().delay(std::time::Duration::from_secs(5)), std::time::Duration::ZERO);
    }
}
