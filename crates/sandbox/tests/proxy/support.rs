//! Servers and clients that the tests of the proxy share.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use sandbox::proxy::{Outcome, Protocol, Proxy, Rule, RuleId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub async fn proxy(upstream: SocketAddr, protocol: Protocol, rules: Vec<Rule>) -> Proxy {
    Proxy::start(upstream, protocol, rules, 42).await.unwrap()
}

/// Sends everything back.
pub async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    addr
}

/// Takes everything; tells what each connection brought, and how it ended.
pub async fn sink() -> (SocketAddr, mpsc::UnboundedReceiver<(Vec<u8>, Option<ErrorKind>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move { tell.send(read_all(&mut stream).await) });
        }
    });
    (addr, told)
}

/// Reads to the end: what came, and the error if there was one.
pub async fn read_all(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut got = Vec::new();
    let error = stream.read_to_end(&mut got).await.err().map(|e| e.kind());
    (got, error)
}

/// How a new connection ends: it may be over before the client has learned that there was one.
pub async fn connect_and_read(addr: SocketAddr) -> Option<ErrorKind> {
    match TcpStream::connect(addr).await {
        Ok(mut stream) => read_all(&mut stream).await.1,
        Err(error) => Some(error.kind()),
    }
}

/// Bytes that are no protocol's: the first of them says so at once.
pub fn noise(n: usize) -> Vec<u8> {
    let mut x = 0x1234_5678_u32;
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    std::iter::once(0xff).chain(std::iter::repeat_with(&mut next)).take(n).collect()
}

/// Sends, and reads as much back.
pub async fn through(stream: &mut TcpStream, data: &[u8]) -> io::Result<Vec<u8>> {
    let mut back = vec![0; data.len()];
    let (mut from, mut to) = stream.split();
    tokio::try_join!(to.write_all(data), from.read_exact(&mut back))?;
    Ok(back)
}

/// How often the log has this of a rule.
pub fn count(proxy: &Proxy, rule: RuleId, outcome: Outcome) -> usize {
    proxy.log().iter().filter(|r| r.rule == rule && r.outcome == outcome).count()
}

/// Asks until it is so. The wait between two questions proves nothing; it only spares the processor.
pub async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
