//! The thread of a proxy.
//!
//! A proxy has a thread of its own with a runtime of one thread: a round trip passes it twice, and each time the thread
//! that learns from the kernel that bytes are there is the one that forwards them. A runtime of several threads wakes
//! another one up for each, which takes longer than all else that is done for a frame (measured by the bench `proxy`).

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
