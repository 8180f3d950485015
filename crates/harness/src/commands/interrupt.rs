//! Ctrl-C and SIGTERM: the first ends the run in good order, the second at once.

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long work may take to end by itself after it was cancelled, before it is dropped.
const GRACE: Duration = Duration::from_secs(3);

/// Cancels the token at the first signal. At the second the process ends by it: the kernel then takes engine and server along,
/// and the next run removes their files.
///
/// # Errors
/// When the system refuses a handler.
pub fn listen(cancel: CancellationToken) -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        loop {
            let which = tokio::select! {
                _ = interrupt.recv() => nix::sys::signal::Signal::SIGINT,
                _ = terminate.recv() => nix::sys::signal::Signal::SIGTERM,
            };
            if cancel.is_cancelled() {
                #[expect(unsafe_code, reason = "the default action of a signal, set by a call without memory effects")]
                // SAFETY: SIG_DFL installs no handler.
                unsafe {
                    let _ = nix::sys::signal::signal(which, nix::sys::signal::SigHandler::SigDfl);
                }
                let _ = nix::sys::signal::raise(which);
            }
            // First this: standard error may be a pipe that nobody reads any more, and to print to that would end this task.
            cancel.cancel();
            let _ = writeln!(
                io::stderr(),
                "stopping: engine and server are ended, what was measured is kept; once more to stop at once"
            );
        }
    });
    Ok(())
}

/// Waits for the work, which notices the token itself or is dropped a little after it: `None`.
pub async fn unless_cancelled<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => Some(done),
        () = cancel.cancelled() => tokio::time::timeout(GRACE, work).await.ok(),
    }
}
