//! The thread of a proxy.
//!
//! A proxy has a thread of its own with a runtime of one thread: a round trip passes it twice, and each time the thread
//! that learns from the kernel that bytes are there is the one that forwards them. A runtime of several threads wakes
//! another one up for each, which takes longer than all else that is done for a frame (measured by the bench `proxy`).
//!
//! The thread sleeps between frames. To ask the kernel again and again for 100 us after a small frame, so that it need not be woken,
//! was tried: where other programs want the processors too it loses its turn to them, and a round trip takes longer, not shorter.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::listener::{self, Port};
use super::shared::Shared;

/// Starts the thread and returns once it listens. What it returns is told when all is gone.
///
/// # Errors
/// When no thread is to be had, or the port cannot be listened on.
pub(super) async fn start(shared: Arc<Shared>, port: Port) -> io::Result<oneshot::Receiver<()>> {
    let (listens, listening) = oneshot::channel();
    let (ends, ended) = oneshot::channel();
    std::thread::Builder::new().name(format!("proxy-{}", port.addr().port())).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                // Whoever waited for it is told; nobody else is there.
                let _ = listens.send(Err(error));
                return;
            }
        };
        runtime.block_on(async {
            match port.listen() {
                Ok(listener) => {
                    let _ = listens.send(Ok(()));
                    listener::listen(shared, port, listener).await;
                }
                Err(error) => {
                    let _ = listens.send(Err(error));
                }
            }
        });
        drop(runtime);
        let _ = ends.send(());
    })?;
    listening.await.map_err(|_| io::Error::other("the proxy's thread died"))??;
    Ok(ended)
}
