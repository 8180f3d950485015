//! Progress of a run on a terminal; silent elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::trial::drive::Progress;

/// A line on standard error that says what is being done.
pub struct Bar(ProgressBar);

impl Bar {
    /// Shown only where standard error is a terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(0),
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {prefix} {msg} {wide_bar} {pos}/{len} races {elapsed}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Which trial is running.
    pub fn trial(&self, text: String) {
        self.0.set_prefix(text);
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn phase(&self, text: &str) {
        self.0.set_message(text.to_owned());
        self.0.set_position(0);
    }

    fn races(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }
}
