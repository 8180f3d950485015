//! `--metrics-file`: written at once, every few seconds while the engine works, and at its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use crate::error::chain;
use crate::metrics::{Metrics, TextFile};

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(5);

/// The file, if one was named.
pub struct Writing(Option<(TextFile, Arc<Metrics>)>);

impl Writing {
    /// Takes the file and writes it for the first time, so that one that is no use is told before any work.
    pub fn open(path: Option<&PathBuf>, metrics: &Arc<Metrics>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self(None)) };
        let usage = |e| Failure::Usage(chain(&e));
        let file = TextFile::open(path).map_err(usage)?;
        file.write(metrics).map_err(usage)?;
        Ok(Self(Some((file, Arc::clone(metrics)))))
    }

    /// Does the work, and writes the file meanwhile and afterwards. That it cannot be written is told, and changes
    /// nothing about what came of the work.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let Some((file, metrics)) = self.0 else { return work.await };
        let write = || {
            if let Err(error) = file.write(&metrics) {
                tracing::error!("{}", chain(&error));
            }
        };
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(EVERY);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                _ = ticks.tick() => write(),
            }
        };
        write();
        done
    }
}
