//! `LISTEN`: a hint that wakes workers and waiting requests at once. Nothing depends on it: whoever waits looks again by
//! itself after a while, since a notification is lost with its connection.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::CHANNEL;

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A job may be claimed.
    Due,
    /// This job ended.
    Ended(u64),
    /// Notifications may have been lost: look for yourself.
    Unsure,
}

impl Signal {
    fn read(payload: &str) -> Self {
        match payload.strip_prefix('e').map(str::parse) {
            Some(Ok(job)) => Self::Ended(job),
            Some(Err(_)) => Self::Unsure,
            None => Self::Due,
        }
    }
}

/// Signals for everybody in this process, over one connection.
pub struct Signals {
    sender: broadcast::Sender<Signal>,
    task: JoinHandle<()>,
}

impl Signals {
    pub(super) fn start(pool: PgPool) -> Self {
        let (sender, _) = broadcast::channel(1024);
        let task = tokio::spawn(listen(pool, sender.clone()));
        Self { sender, task }
    }

    /// What happens from now on. A receiver that lags has to look for itself.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.sender.subscribe()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(pool: PgPool, sender: broadcast::Sender<Signal>) {
    loop {
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            let _ = sender.send(Signal::Unsure); // what came before this connection was not heard
            loop {
                let signal = match listener.try_recv().await? {
                    Some(notification) => Signal::read(notification.payload()),
                    None => Signal::Unsure, // the connection was lost and made again
                };
                let _ = sender.send(signal);
            }
        };
        let ended: sqlx::Result<()> = listening.await;
        if let Err(error) = ended {
            tracing::debug!(%error, "not listening for jobs; they are looked for every second meanwhile");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until `wanted` is signalled or something may have been missed. `false`: nobody signals any more.
pub(in crate::service) async fn wait_for(
    signals: &mut broadcast::Receiver<Signal>,
    wanted: impl Fn(Signal) -> bool,
) -> bool {
    loop {
        match signals.recv().await {
            Ok(signal) if signal == Signal::Unsure || wanted(signal) => return true,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return true,
            Err(broadcast::error::RecvError::Closed) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read() {
        assert_eq!(Signal::read("q17"), Signal::Due);
        assert_eq!(Signal::read("e17"), Signal::Ended(17));
        assert_eq!(Signal::read("e"), Signal::Unsure);
    }
}
