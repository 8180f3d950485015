//! What the proxy costs: the same traffic directly and through it, in one run. Criterion shows each by itself; the
//! ratios that the bars speak of come from interleaved pairs (ABBA) and are printed at the end.
//!
//! The traffic is PostgreSQL's: CopyData frames of 64 KiB for throughput, a Query with its answer for round trips.
//! Client and server are plain threads, as the engine and PostgreSQL are processes of their own.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use sandbox::proxy::{Effect, Protocol, Proxy, Rule};

const FRAME: usize = 64 * 1024;
const FRAMES: usize = 512;
const BYTES: usize = FRAME * FRAMES;
const QUERY: &[u8] = b"Q\0\0\0\x0dSELECT 1\0";
const ANSWER: &[u8] = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
const STARTUP: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0me\0\0";

const LEAST_MB_PER_S: f64 = 200.0;
const LEAST_RATIO: f64 = 0.4;
const MOST_ADDED_US: f64 = 100.0;

/// Answers a frame that is no CopyData, and the end of a run of CopyData (CopyDone).
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                stream.set_nodelay(true)?;
                let mut buffer = vec![0; 256 * 1024];
                stream.read_exact(&mut buffer[..STARTUP.len()])?;
                loop {
                    stream.read_exact(&mut buffer[..1])?;
                    if buffer[0] == b'Q' {
                        stream.read_exact(&mut buffer[1..QUERY.len()])?;
                    } else {
                        let mut left = BYTES + 5 - 1;
                        while left > 0 {
                            let most = left.min(buffer.len());
                            let n = stream.read(&mut buffer[..most])?;
                            if n == 0 {
                                return Ok(());
                            }
                            left -= n;
                        }
                    }
                    stream.write_all(ANSWER)?;
                }
                #[allow(unreachable_code)] // gives the block its type
                std::io::Result::Ok(())
            });
        }
    });
    addr
}

/// The least that a forwarder can cost: it reads and writes, and does nothing else. Blocking, a thread a direction; or one thread
/// that never sleeps.
fn forwarder(upstream: SocketAddr, never_sleeps: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (client, _) = listener.accept().expect("a connection");
        let server = TcpStream::connect(upstream).expect("the server");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("TCP_NODELAY");
            stream.set_nonblocking(never_sleeps).expect("O_NONBLOCK");
        }
        let mut buffer = vec![0; 256 * 1024];
        let mut pass = |mut from: &TcpStream, mut to: &TcpStream| match from.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => to.write_all(&buffer[..n]).is_ok(),
            Err(e) => e.kind() == std::io::ErrorKind::WouldBlock,
        };
        if never_sleeps {
            while pass(&client, &server) && pass(&server, &client) {}
            return;
        }
        let (from, to) = (server.try_clone().expect("a descriptor"), client.try_clone().expect("a descriptor"));
        thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(n @ 1..) = (&from).read(&mut buffer) {
                if (&to).write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
        });
        while pass(&client, &server) {}
    });
    addr
}

struct Client {
    stream: TcpStream,
    copy: Vec<u8>,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).expect("the server or the proxy");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.write_all(STARTUP).expect("a startup packet");
        let mut frame = vec![7; FRAME];
        frame[0] = b'd';
        frame[1..5].copy_from_slice(&(FRAME as u32 - 1).to_be_bytes());
        Self { stream, copy: frame.repeat(4) }
    }

    fn answer(&mut self) {
        let mut answer = [0; ANSWER.len()];
        self.stream.read_exact(&mut answer).expect("an answer");
        black_box(answer);
    }

    fn bulk(&mut self) -> Duration {
        let began = Instant::now();
        for _ in 0..FRAMES / 4 {
            self.stream.write_all(&self.copy).expect("written");
        }
        self.stream.write_all(b"c\0\0\0\x04").expect("written");
        self.answer();
        began.elapsed()
    }

    fn round_trip(&mut self) -> Duration {
        let began = Instant::now();
        self.stream.write_all(QUERY).expect("written");
        self.answer();
        began.elapsed()
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Runs both in ABBA order; returns the medians of A and B.
fn pairs(n: usize, mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> (f64, f64) {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for i in 0..n {
        if i % 2 == 0 {
            of_a.push(a());
            of_b.push(b());
        } else {
            of_b.push(b());
            of_a.push(a());
        }
    }
    (median(of_a), median(of_b))
}

fn verdict(held: bool) -> &'static str {
    if held { "held" } else { "MISSED" }
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let upstream = server();
    let start =
        |rules| runtime.block_on(Proxy::start(upstream, Protocol::Postgres, rules, 1)).expect("the proxy starts");
    let plain = start(Vec::new());
    // Rules that look at every frame and never come.
    let watching = start(vec![Rule::at("commit#1000000:sent".parse().expect("a moment"), Effect::Reset)]);

    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    for (name, addr) in [("direct", upstream), ("proxy", plain.addr()), ("proxy-with-rules", watching.addr())] {
        let mut group = criterion.benchmark_group("proxy");
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        let mut client = Client::connect(addr);
        group.throughput(Throughput::Bytes(BYTES as u64));
        group.bench_function(format!("throughput/{name}"), |b| b.iter(|| client.bulk()));
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("round-trip/{name}"), |b| b.iter(|| client.round_trip()));
        group.finish();
    }

    let (mut direct, mut proxied) = (Client::connect(upstream), Client::connect(plain.addr()));
    let rate = |took: Duration| BYTES as f64 / 1e6 / took.as_secs_f64();
    let (a, b) = pairs(100, || rate(direct.bulk()), || rate(proxied.bulk()));
    println!("throughput: direct {a:.0} MB/s, proxy {b:.0} MB/s, ratio {:.2}", b / a);
    println!("  at least {LEAST_MB_PER_S} MB/s: {}", verdict(b >= LEAST_MB_PER_S));
    println!("  at least {LEAST_RATIO} of direct: {}", verdict(b / a >= LEAST_RATIO));
    let micros = |took: Duration| took.as_secs_f64() * 1e6;
    let (a, b) = pairs(10_000, || micros(direct.round_trip()), || micros(proxied.round_trip()));
    println!("round trip (median): direct {a:.1} us, proxy {b:.1} us, added {:.1} us", b - a);
    println!("  at most {MOST_ADDED_US} us added: {}", verdict(b - a <= MOST_ADDED_US));

    // What no proxy can go below: what the kernel takes to move the bytes once more, with and without sleeping.
    for (name, never_sleeps) in [("two blocking threads", false), ("a thread that never sleeps", true)] {
        let mut least = Client::connect(forwarder(upstream, never_sleeps));
        let (a, b) = pairs(10_000, || micros(direct.round_trip()), || micros(least.round_trip()));
        println!("round trip (median) through {name} that forward and do nothing else: added {:.1} us", b - a);
    }

    // What a rule adds against what it says: half a millisecond each way is no whole one.
    let slow = start(vec![Rule::always(Effect::rtt(Duration::from_millis(1)))]);
    let mut delayed = Client::connect(slow.addr());
    let (a, b) = pairs(500, || micros(direct.round_trip()), || micros(delayed.round_trip()));
    println!("round trip with 1000 us of latency (median): added {:.0} us", b - a);

    runtime.block_on(async {
        plain.close().await;
        watching.close().await;
        slow.close().await;
    });
}
