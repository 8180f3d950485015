//! A thread that ends the process when an input does not end.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Generous: a machine may have other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// The number of the input that is being read.
#[derive(Clone, Default)]
pub struct Watch(Arc<AtomicU64>);

impl Watch {
    /// Starts watching. An input that does not end is told, and the process is aborted.
    pub fn start() -> Self {
        let watch = Self::default();
        let current = Arc::clone(&watch.0);
        std::thread::spawn(move || {
            let mut last = (u64::MAX, Instant::now());
            while Arc::strong_count(&current) > 1 {
                let now = current.load(Ordering::Relaxed);
                if now != last.0 {
                    last = (now, Instant::now());
                } else if last.1.elapsed() > PATIENCE {
                    // Not `eprintln!`, which a test keeps to itself.
                    let _ = std::io::stderr().write_all(format!("input {now} does not end\n").as_bytes());
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        watch
    }

    pub fn at(&self, input: u64) {
        self.0.store(input, Ordering::Relaxed);
    }
}
