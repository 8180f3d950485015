//! One connection: connect to the server, pump both directions, end as told.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::log::Outcome;
use super::pump::{Exit, Pump};
use super::rule::{Cut, Direction};
use super::scan::Session;
use super::shared::{Ending, Shared};
use super::snapshot::{Sighting, Snapshot, take};

/// How long an ended connection waits for its peer to take what was forwarded, and to end too.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, client: TcpStream, link: u64) {
    let mut server = None;
    let exit = run(&shared, &client, &mut server, link).await;
    let mut counts = super::count::Local::default();
    counts.touch().connections_ended += 1;
    match exit {
        Exit::Eof | Exit::Stopped => drop((client, server)),
        // As the one side was lost, so is the other: the proxy adds no good manners.
        Exit::Broken(error) => {
            tracing::debug!(link, %error, "connection lost");
            arrive(&shared, &client, server.as_ref()).await;
            reset(client);
            if let Some(server) = server {
                reset(server);
            }
        }
        Exit::Ended(ending) => end(&shared, client, server, link, ending).await,
    }
    shared.counters.add(&mut counts);
}

async fn run(shared: &Shared, client: &TcpStream, server: &mut Option<TcpStream>, link: u64) -> Exit {
    let mut watch = shared.snapshot.subscribe();
    let mut hits = Vec::new();
    let snapshot = Arc::clone(&watch.borrow_and_update());
    snapshot.sight(Sighting::Connect, &mut hits);
    let rules = take(&mut hits, super::moment::Phase::Before);
    if let Some(ending) = shared.fire(rules, link, None, "connected").await {
        return Exit::Ended(ending);
    }
    // A connection that comes while nothing gets through does not reach the server either.
    loop {
        let snapshot = Arc::clone(&watch.borrow_and_update());
        if let Some((rule, how)) = snapshot.cut(link) {
            let rule = Some(Arc::clone(rule));
            return Exit::Ended(Ending::new(rule, how, None, "new connection"));
        }
        let Some(rule) = still(&snapshot, link) else { break };
        shared.tell(&rule, Outcome::Applied, Some(link), None, "new connection".to_owned());
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => return Exit::Stopped,
                _ = watch.changed() => {}
            }
            let snapshot = watch.borrow_and_update();
            if snapshot.cut(link).is_some() || still(&snapshot, link).is_none() {
                break;
            }
        }
    }
    let upstream = shared.snapshot.borrow().upstream;
    let connected = tokio::select! {
        () = shared.stop.cancelled() => return Exit::Stopped,
        connected = TcpStream::connect(upstream) => connected,
    };
    let connected = match connected {
        Ok(connected) => &*server.insert(connected),
        Err(error) => {
            let mut counts = super::count::Local::default();
            counts.touch().upstream_failures += 1;
            shared.counters.add(&mut counts);
            return Exit::Broken(error);
        }
    };
    for stream in [client, connected] {
        if let Err(error) = stream.set_nodelay(true) {
            return Exit::Broken(error);
        }
    }
    pump_both(shared, client, connected, link).await
}

fn still(snapshot: &Snapshot, link: u64) -> Option<Arc<super::snapshot::Installed>> {
    let up = super::snapshot::Shape::new(snapshot, link, Direction::Up);
    up.still.or_else(|| super::snapshot::Shape::new(snapshot, link, Direction::Down).still)
}

async fn pump_both(shared: &Shared, client: &TcpStream, server: &TcpStream, link: u64) -> Exit {
    let session = Mutex::new(Session::default());
    let mut up = Pump::new(shared, link, Direction::Up, client, server, &session);
    let mut down = Pump::new(shared, link, Direction::Down, server, client, &session);
    let (mut up, mut down) = (pin!(up.run()), pin!(down.run()));
    let (mut up_over, mut down_over) = (false, false);
    while !(up_over && down_over) {
        let exit = tokio::select! {
            exit = &mut up, if !up_over => {
                up_over = true;
                (exit, server)
            }
            exit = &mut down, if !down_over => {
                down_over = true;
                (exit, client)
            }
        };
        match exit {
            (Exit::Eof, to) => finish(to),
            (Exit::Ended(mut ending), _) => {
                ending.not_answered = super::lock(&session).http.not_answered().map(str::to_owned).collect();
                return Exit::Ended(ending);
            }
            (exit, _) => return exit,
        }
    }
    Exit::Eof
}

/// Tells a peer that nothing more will come.
fn finish(to: &TcpStream) {
    // A peer that is gone already needs not be told.
    let _ = shutdown(to.as_raw_fd(), Shutdown::Write);
}

/// Closes with RST.
fn reset(stream: TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::warn!(%error, "SO_LINGER could not be set: the connection ends by FIN");
    }
    drop(stream);
}

async fn end(shared: &Shared, client: TcpStream, server: Option<TcpStream>, link: u64, mut ending: Ending) {
    arrive(shared, &client, server.as_ref()).await;
    if ending.rule.is_some() && !ending.not_answered.is_empty() {
        // Ahead of the cut: a client that sees it may have asked again, and been served, before this thread goes on.
        shared.log.write_cut_answers(&ending.not_answered);
        let gap = if ending.detail.is_empty() { "" } else { "; " };
        ending.detail += &format!("{gap}not answered whole: {}", ending.not_answered.join(" "));
    }
    let lingering = match ending.how {
        Cut::Reset => {
            reset(client);
            if let Some(server) = server {
                reset(server);
            }
            None
        }
        Cut::Close => {
            finish(&client);
            drop(server);
            Some(client)
        }
    };
    if let Some(rule) = &ending.rule {
        shared.tell(rule, Outcome::Fired, Some(link), ending.direction, ending.detail);
    }
    if let Some(client) = lingering {
        // Closing over unread bytes would send RST: they are read and dropped until the client closes too.
        tokio::select! {
            () = shared.stop.cancelled() => {}
            _ = timeout(LINGER, drain(&client)) => {}
        }
    }
}

/// What was forwarded shall arrive: a reset throws away what the kernel has not sent yet.
async fn arrive(shared: &Shared, client: &TcpStream, server: Option<&TcpStream>) {
    let all = async {
        sent(client).await;
        if let Some(server) = server {
            sent(server).await;
        }
    };
    tokio::select! {
        () = shared.stop.cancelled() => {}
        _ = timeout(LINGER, all) => {}
    }
}

async fn drain(stream: &TcpStream) {
    let mut waste = [0; 4096];
    loop {
        match stream.try_read(&mut waste) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if stream.readable().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// Waits until the peer's kernel has all that was written. There is no event for it.
async fn sent(stream: &TcpStream) {
    loop {
        let mut unsent: nix::libc::c_int = 0;
        // SIOCOUTQ: bytes that are not acknowledged yet.
        #[expect(unsafe_code, reason = "an ioctl on a live descriptor that writes one int, which lives on this stack")]
        let asked = unsafe { nix::libc::ioctl(stream.as_raw_fd(), nix::libc::TIOCOUTQ, &raw mut unsent) };
        if asked != 0 || unsent == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
