//! Taking connections, and refusing them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::log::Outcome;
use super::shared::Shared;
use super::snapshot::Installed;

const BACKLOG: u32 = 1024;

fn socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// A port that stays ours while nothing listens on it: a second socket is bound to it and never listens.
pub(super) struct Port {
    addr: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    pub(super) fn take() -> io::Result<Self> {
        let held = socket(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { addr: held.local_addr()?, _held: held })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        socket(self.addr)?.listen(BACKLOG)
    }
}

/// Takes connections until the proxy is closed, then waits for all of them to end.
pub(super) async fn listen(shared: Arc<Shared>, port: Port, listener: TcpListener) {
    let mut links = JoinSet::new();
    let mut watch = shared.snapshot.subscribe();
    let mut open = Some(listener);
    let mut refusing: Option<Arc<Installed>> = None;
    loop {
        let snapshot = Arc::clone(&watch.borrow_and_update());
        let refuse = snapshot.refusing();
        let mut retry = None;
        match (refuse, open.is_some()) {
            (Some(active), true) => {
                open = None;
                shared.listening.send_replace(false);
                let detail = format!("{} closed", port.addr());
                shared.tell(&active.rule, Outcome::Fired, active.link, None, detail);
                refusing = Some(Arc::clone(&active.rule));
            }
            (None, false) => match port.listen() {
                Ok(listener) => {
                    open = Some(listener);
                    shared.listening.send_replace(true);
                    if let Some(rule) = refusing.take() {
                        shared.tell(&rule, Outcome::Healed, None, None, format!("{} open again", port.addr()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, addr = %port.addr(), "the proxy cannot listen again yet");
                    retry = Some(Instant::now() + Duration::from_millis(20));
                }
            },
            _ => {}
        }
        let alarm = snapshot.next_end().into_iter().chain(retry).min();
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            _ = watch.changed() => {}
            () = sleep_until(alarm) => {
                let now = Instant::now();
                if snapshot.next_end().is_some_and(|end| end <= now) {
                    let ended = shared.change(|s| s.expire(now));
                    shared.tell_healed(&ended);
                }
            }
            Some(_) = links.join_next(), if !links.is_empty() => {}
            accepted = accept(open.as_ref()) => match accepted {
                Ok(client) => {
                    let link = shared.next_link.fetch_add(1, Ordering::SeqCst);
                    let mut counts = super::count::Local::default();
                    counts.touch().connections += 1;
                    shared.counters.add(&mut counts);
                    links.spawn(super::link::serve(Arc::clone(&shared), client, link));
                }
                Err(error) => {
                    // Out of descriptors, mostly: those that end will make room.
                    tracing::warn!(%error, "the proxy could not take a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
    drop(open);
    while links.join_next().await.is_some() {}
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<tokio::net::TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
