//! COMMIT and row batches, against a PostgreSQL server that is spoken by the test: it tells which frames reached it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use sandbox::proxy::{Effect, Outcome, Protocol, Rule, RuleId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::{proxy, read_all};

fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&(u32::try_from(payload.len()).unwrap() + 4).to_be_bytes());
    out.extend_from_slice(payload);
    out
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = vec![0; 5];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    head.resize(length + 1, 0);
    stream.read_exact(&mut head[5..]).await?;
    Ok(head)
}

fn ready() -> Vec<u8> {
    frame(b'Z', b"I")
}

fn complete() -> Vec<u8> {
    frame(b'C', b"COMMIT\0")
}

/// Answers each frame as PostgreSQL would, and tells of it. What a connection's end leaves of a frame is told, too.
async fn server() -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut startup = [0; 17];
                stream.read_exact(&mut startup).await?;
                stream.write_all(&ready()).await?;
                loop {
                    let frame_in = match read_frame(&mut stream).await {
                        Ok(frame) => frame,
                        Err(error) => {
                            let _ = tell.send(format!("{:?}", error.kind()).into_bytes());
                            return Err(error);
                        }
                    };
                    let answer = match frame_in[0] {
                        b'P' => frame(b'1', b""),
                        b'B' => frame(b'2', b""),
                        b'E' => complete(),
                        b'S' => ready(),
                        b'Q' => [complete(), ready()].concat(),
                        _ => Vec::new(),
                    };
                    let _ = tell.send(frame_in);
                    stream.write_all(&answer).await?;
                }
                #[allow(unreachable_code)] // gives the block its type
                io::Result::Ok(())
            });
        }
    });
    (addr, told)
}

async fn session(addr: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"\0\0\0\x11\0\x03\0\0user\0me\0\0").await.unwrap();
    assert_eq!(read_frame(&mut client).await.unwrap(), ready());
    client
}

fn simple() -> Vec<u8> {
    frame(b'Q', b"COMMIT\0")
}

fn extended() -> Vec<u8> {
    let prepare = [frame(b'P', b"s\0commit\0\0\0"), frame(b'B', b"\0s\0\0\0\0\0\0\0")].concat();
    [prepare, frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat()
}

/// The frame that executes COMMIT.
fn executes(frame: &[u8]) -> bool {
    matches!(frame[0], b'Q' | b'E')
}

#[tokio::test]
async fn the_connection_is_lost_at_each_moment_of_the_second_commit() {
    for (request, prefix) in [(simple(), Vec::new()), (extended(), [frame(b'1', b""), frame(b'2', b"")].concat())] {
        for (phase, reached, answer) in [
            ("before", false, prefix.clone()),
            ("sent", true, prefix.clone()),
            ("complete", true, [prefix.clone(), complete()].concat()),
            ("ready", true, [prefix.clone(), complete(), ready()].concat()),
        ] {
            let (upstream, mut told) = server().await;
            let moment = format!("commit#2:{phase}");
            let rule = Rule::at(moment.parse().unwrap(), Effect::Reset);
            let proxy = proxy(upstream, Protocol::Postgres, vec![rule]).await;
            let mut client = session(proxy.addr()).await;
            client.write_all(&request).await.unwrap();
            while read_frame(&mut client).await.unwrap() != ready() {}
            client.write_all(&request).await.unwrap();
            let (got, error) = read_all(&mut client).await;
            assert_eq!(error, Some(ErrorKind::ConnectionReset), "{moment}");
            if phase == "before" {
                // What was ahead of COMMIT in the pipeline was forwarded; its answers may have been in time or not.
                assert!(answer.starts_with(&got), "{moment}");
            } else {
                assert_eq!(got, answer, "{moment}");
            }
            let mut commits = 0;
            while let Some(frame) = told.recv().await {
                commits += usize::from(executes(&frame));
                if frame == b"ConnectionReset" {
                    break;
                }
            }
            assert_eq!(commits, 1 + usize::from(reached), "{moment}");
            let fired = proxy.fired(RuleId(1)).await;
            assert_eq!((fired.moment.unwrap().to_string(), fired.outcome), (moment, Outcome::Fired));
            if phase == "complete" {
                assert_eq!(fired.detail, "COMMIT");
            }
            assert_eq!(proxy.stats().commits, 2);
            proxy.close().await;
        }
    }
}

#[tokio::test]
async fn a_held_commit_goes_on_or_never_arrives() {
    let (upstream, mut told) = server().await;
    let proxy = proxy(upstream, Protocol::Postgres, vec![]).await;
    let first = proxy.hold("commit#1:before".parse().unwrap()).unwrap();
    let second = proxy.hold("commit#2:before".parse().unwrap()).unwrap();
    let mut client = session(proxy.addr()).await;
    client.write_all(&[frame(b'Q', b"SELECT 1\0"), simple()].concat()).await.unwrap();
    first.reached().await;
    // The answer to what was ahead of it came before or stands still with it; COMMIT is not there.
    assert_eq!(told.recv().await.unwrap(), frame(b'Q', b"SELECT 1\0"));
    assert!(told.try_recv().is_err());
    first.release();
    for _ in 0..2 {
        while read_frame(&mut client).await.unwrap() != ready() {}
    }
    assert_eq!(told.recv().await.unwrap(), simple());
    client.write_all(&simple()).await.unwrap();
    second.reached().await;
    // The client dies, the COMMIT that it sent is still under way, and stays so.
    drop(client);
    second.cut();
    assert_eq!(told.recv().await.unwrap(), b"ConnectionReset");
    proxy.close().await;
}

#[tokio::test]
async fn half_of_the_second_batch_arrives() {
    let (upstream, _told) = server().await;
    let proxy = proxy(upstream, Protocol::Postgres, vec![]).await;
    let hold = proxy.hold("batch(laps)#2:half".parse().unwrap()).unwrap();
    let mut client = session(proxy.addr()).await;
    let batch = frame(b'B', &[b"\0l\0", &vec![7; 99_992][..]].concat());
    let parse = frame(b'P', b"l\0INSERT INTO laps (a) VALUES ($1)\0\0\0");
    client.write_all(&[&parse[..], &batch, &batch].concat()).await.unwrap();
    assert_eq!(hold.reached().await.detail, "rows for laps");
    assert_eq!(proxy.stats().bytes_up, (17 + parse.len() + batch.len() + batch.len() / 2) as u64);
    hold.release();
    for tag in [b'1', b'2', b'2'] {
        assert_eq!(read_frame(&mut client).await.unwrap(), frame(tag, b""));
    }
    proxy.close().await;
}

#[tokio::test]
async fn losing_the_database_refuses_first_and_resets_then() {
    let (upstream, _told) = server().await;
    let at = |effect| Rule::at("commit#1:sent".parse().unwrap(), effect).on_all();
    let proxy = proxy(upstream, Protocol::Postgres, vec![at(Effect::Reset), at(Effect::Refuse)]).await;
    let (mut client, mut other) = (session(proxy.addr()).await, session(proxy.addr()).await);
    client.write_all(&simple()).await.unwrap();
    assert_eq!(read_all(&mut client).await, (vec![], Some(ErrorKind::ConnectionReset)));
    assert_eq!(read_all(&mut other).await, (vec![], Some(ErrorKind::ConnectionReset)));
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "the listener closed before any client could know");
    proxy.remove_rule(RuleId(2));
    proxy.healed(RuleId(2)).await;
    session(proxy.addr()).await;
    proxy.close().await;
}
