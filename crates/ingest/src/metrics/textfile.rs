//! Metrics as a file, for the textfile collector of node_exporter.
//!
//! A call of the engine ends long before anybody scrapes twice. Its counters therefore go on from what the file holds, as
//! counters should, so that rates over several calls are true. Gauges do not: what a killed process left behind stays as
//! it was, and ages, until the next call.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::Metrics;

/// Why a metrics file is no use.
#[derive(Debug, thiserror::Error)]
pub enum TextFileError {
    /// It cannot be read or written.
    #[error("cannot {what} the metrics file {path}: {source}; name a file in a directory that can be written")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something else is there.
    #[error("{path} is there and holds no metrics of ingest; name another metrics file")]
    Foreign {
        /// Its path.
        path: String,
    },
    /// Another process writes it.
    #[error("another process writes the metrics file {path}; give each its own")]
    Taken {
        /// Its path.
        path: String,
    },
}

/// A metrics file that this process alone writes.
#[derive(Debug)]
pub struct TextFile {
    path: PathBuf,
    temporary: PathBuf,
    earlier: HashMap<String, f64>,
    _lock: Flock<File>,
}

impl TextFile {
    /// Takes a file for this process, with the counters that it holds.
    ///
    /// # Errors
    /// It cannot be read, another process writes it, or it is something else.
    pub fn open(path: &Path) -> Result<Self, TextFileError> {
        let shown = path.display().to_string();
        let io = |what, source| TextFileError::Io { what, path: shown.clone(), source };
        let name = path.file_name().ok_or_else(|| io("write", std::io::ErrorKind::IsADirectory.into()))?;
        let hidden = |suffix: &str| path.with_file_name(format!(".{}.{suffix}", name.to_string_lossy()));
        // The lock has a file of its own: the other one is replaced with every write.
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(hidden("lock"));
        let lock = Flock::lock(lock.map_err(|e| io("write", e))?, FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|(_, errno)| match errno {
            Errno::EAGAIN => TextFileError::Taken { path: shown.clone() },
            errno => io("lock", errno.into()),
        })?;
        let earlier = match std::fs::read_to_string(path) {
            Ok(text) if text.is_empty() || text.contains("# HELP ingest_") => samples(&text),
            Ok(_) => return Err(TextFileError::Foreign { path: shown }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => HashMap::new(),
            Err(e) => return Err(io("read", e)),
        };
        Ok(Self { path: path.to_owned(), temporary: hidden("tmp"), earlier, _lock: lock })
    }

    /// Writes the metrics, all at once: whoever reads the file sees the old text or the new one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, metrics: &Metrics) -> Result<(), TextFileError> {
        let io = |source| TextFileError::Io { what: "write", path: self.path.display().to_string(), source };
        let text = added(&metrics.render(), &self.earlier);
        let mut file = File::create(&self.temporary).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        drop(file);
        std::fs::rename(&self.temporary, &self.path).map_err(io)
    }
}

/// A sample line: what is measured, with its labels, and its value.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (key, value) = line.rsplit_once(' ')?;
    (!line.starts_with('#')).then_some((key, value.parse().ok()?))
}

fn samples(text: &str) -> HashMap<String, f64> {
    text.lines().filter_map(sample).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Rendered metrics with earlier counters and histograms added. A histogram whose buckets were others begins anew.
fn added(text: &str, earlier: &HashMap<String, f64>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut families: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# HELP ") || families.is_empty() {
            families.push(Vec::new());
        }
        if let Some(family) = families.last_mut() {
            family.push(line);
        }
    }
    for family in families {
        let is = |kind: &str| family.iter().any(|line| line.starts_with("# TYPE ") && line.ends_with(kind));
        let known = || family.iter().filter_map(|line| sample(line)).all(|(key, _)| earlier.contains_key(key));
        let goes_on = is(" counter") || (is(" histogram") && known());
        for line in &family {
            match sample(line) {
                Some((key, value)) if goes_on => {
                    let value = value + earlier.get(key).copied().unwrap_or(0.0);
                    out.push_str(&format!("{key} {value}"));
                }
                _ => out.push_str(line),
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CauseKind;

    fn value(path: &Path, key: &str) -> f64 {
        samples(&std::fs::read_to_string(path).unwrap()).get(key).copied().unwrap_or(f64::NAN)
    }

    #[test]
    fn counters_go_on_and_gauges_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ingest.prom");
        for call in [1.0, 2.0, 3.0] {
            let metrics = std::sync::Arc::new(Metrics::new());
            let file = TextFile::open(&path).unwrap();
            metrics.retry(CauseKind::Deadlock);
            metrics.request(std::time::Duration::from_millis(3), Ok(7));
            let progress = metrics.event_begun();
            file.write(&metrics).unwrap();
            file.write(&metrics).unwrap();
            assert_eq!(value(&path, "ingest_retries_total{cause=\"deadlock\"}"), call);
            assert_eq!(value(&path, "ingest_request_seconds_bucket{le=\"0.005\"}"), call);
            assert_eq!(value(&path, "ingest_page_bytes_total"), 7.0 * call);
            assert_eq!(value(&path, "ingest_events_in_progress"), 1.0);
            drop(progress);
        }
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the file and its lock: {left:?}");
    }

    #[test]
    fn other_buckets_begin_anew() {
        let now = "# HELP h H\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 5\nh_count 2\n";
        let same = samples("h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1");
        assert!(added(now, &same).contains("h_bucket{le=\"+Inf\"} 3"));
        let others = samples("h_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1");
        assert_eq!(added(now, &others), now);
    }

    #[test]
    fn what_is_no_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let notes = dir.path().join("notes.txt");
        std::fs::write(&notes, "dear diary").unwrap();
        assert!(matches!(TextFile::open(&notes), Err(TextFileError::Foreign { .. })));
        assert_eq!(std::fs::read_to_string(&notes).unwrap(), "dear diary");
        let path = dir.path().join("a.prom");
        let _held = TextFile::open(&path).unwrap();
        assert!(matches!(TextFile::open(&path), Err(TextFileError::Taken { .. })));
        assert!(matches!(TextFile::open(Path::new("/nowhere/a.prom")), Err(TextFileError::Io { .. })));
        assert!(matches!(TextFile::open(dir.path()), Err(TextFileError::Io { .. })));
    }
}
