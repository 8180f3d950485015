//! The load generator by itself on one core, against an endpoint that does nothing, beside `wrk` where it is installed:
//! the same connections, the same core, in turn (ABBA), in one run. Then what both say of a known delay and of an overloaded
//! server, beside what the server itself measured.
//!
//!     cargo bench -p harness --bench generator
//!
//! The server is another process on the other core. Not criterion: what is of interest is a ratio and percentiles, not the
//! time of a call.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::load::arrivals::{Arrivals, Length, Pattern};
use harness::load::generated::{Generated, Quantile};
use harness::load::generator::{Outcome, Settings, run};
use harness::stats::Histogram;
use harness::world::cores;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Connections of both.
const CONNECTIONS: usize = 64;
/// How long each measurement lasts.
const LASTS: Duration = Duration::from_secs(3);
/// What the generator must do on one core, requests per second.
const LEAST: f64 = 5_000.0;
/// Tells the process that it is the server.
const SERVER: &str = "GENERATOR_BENCH_SERVER";

type Anyhow<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let done = if std::env::var_os(SERVER).is_some() { server() } else { bench() };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves `/` at once, `/delay` after 20 ms, `/queue` one after the other at 10 ms each. `/own` tells in JSON what it
/// measured since it was last asked: from the request read to the answer written.
fn server() -> Anyhow<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let own = Arc::new(Mutex::new(Histogram::new()));
        let queue = Arc::new(Semaphore::new(1));
        loop {
            let (stream, _) = listener.accept().await?;
            let (own, queue) = (Arc::clone(&own), Arc::clone(&queue));
            tokio::spawn(async move { serve(stream, &own, &queue).await });
        }
    })
}

async fn serve(mut stream: TcpStream, own: &Mutex<Histogram>, queue: &Semaphore) -> Anyhow<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1024);
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let began = Instant::now();
        if buffer.starts_with(b"GET /own ") {
            let text = serde_json::to_string(&std::mem::take(&mut *own.lock().map_err(|e| e.to_string())?))?;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            stream.write_all(answer.as_bytes()).await?;
        } else {
            if buffer.starts_with(b"GET /delay ") {
                sleep(Duration::from_millis(20)).await;
            } else if buffer.starts_with(b"GET /queue ") {
                let _turn = queue.acquire().await?;
                sleep(Duration::from_millis(10)).await;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
            let us = u64::try_from(began.elapsed().as_micros())?;
            own.lock().map_err(|e| e.to_string())?.record(us);
        }
        buffer.clear();
    }
}

/// The server's process; ends with this one.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start() -> Anyhow<Self> {
        let mut child = Command::new(std::env::current_exe()?).env(SERVER, "1").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        Ok(Self { addr: line.trim().parse()?, child })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connections that are kept, as `wrk` keeps them. One that is needed and not there is waited for.
struct Client {
    addr: SocketAddr,
    permits: Semaphore,
    idle: Mutex<Vec<SendRequest<String>>>,
}

impl Client {
    fn new(addr: SocketAddr, connections: usize) -> Self {
        Self { addr, permits: Semaphore::new(connections), idle: Mutex::default() }
    }

    async fn get(&self, path: &'static str) -> Anyhow<Bytes> {
        let _permit = self.permits.acquire().await?;
        let idle = self.idle.lock().map_err(|e| e.to_string())?.pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.addr).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        connection.ready().await?;
        let request = hyper::Request::get(path).header("host", "bench").body(String::new())?;
        let mut answer = connection.send_request(request).await?;
        let mut body = Vec::new();
        while let Some(frame) = next_frame(answer.body_mut()).await {
            body.extend(frame?.into_data().unwrap_or_default());
        }
        self.idle.lock().map_err(|e| e.to_string())?.push(connection);
        Ok(body.into())
    }
}

async fn next_frame(body: &mut hyper::body::Incoming) -> Option<Result<hyper::body::Frame<Bytes>, hyper::Error>> {
    use hyper::body::Body as _;
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await
}

/// A load of the generator on `path`, and what the server measured of it.
fn ours(server: &Server, arrivals: Arrivals, connections: usize, path: &'static str) -> Anyhow<(Generated, Histogram)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Arc::new(Client::new(server.addr, connections));
        client.get("/own").await?; // forgets what was before
        let load = run(&Settings::new(arrivals), &CancellationToken::new(), |_| {
            let client = Arc::clone(&client);
            async move {
                match client.get(path).await {
                    Ok(_) => Outcome::ok("answered"),
                    Err(_) => Outcome::failed("failed"),
                }
            }
        })
        .await;
        let own = serde_json::from_slice(&client.get("/own").await?)?;
        Ok((load, own))
    })
}

/// What `wrk` says: requests per second, p50 and p99.
struct Wrk {
    rate: f64,
    p50: String,
    p99: String,
}

/// `None` where it is not installed.
fn wrk(server: &Server, path: &str) -> Anyhow<Option<Wrk>> {
    let url = format!("http://{}{path}", server.addr);
    let args =
        ["-t1".to_owned(), format!("-c{CONNECTIONS}"), format!("-d{}s", LASTS.as_secs()), "--latency".to_owned()];
    // It inherits this thread's one core.
    let Ok(out) = Command::new("wrk").args(args).arg(url).output() else { return Ok(None) };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let after = |word: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(word));
        line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned).ok_or(format!("wrk said:\n{text}"))
    };
    Ok(Some(Wrk { rate: after("Requests/sec:")?.parse()?, p50: after("50%")?, p99: after("99%")? }))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ms(us: Option<u64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us as f64 / 1e3))
}

fn row(name: &str, latency: &Histogram) {
    println!("  {name:<34} p50 {:>11}   p99 {:>11}", ms(latency.quantile(0.5)), ms(latency.quantile(0.99)));
}

fn bench() -> Anyhow<bool> {
    let server = Server::start()?;
    if std::thread::available_parallelism()?.get() < 2 {
        println!("one core only: server and generator share it");
    }
    cores::first_only(0)?;
    let steady = |rate: f64| Arrivals::new(Pattern::Steady { rate }, Length::Time(LASTS));
    let closed = || {
        let users = Pattern::Users { users: CONNECTIONS as u32, think: Duration::ZERO };
        Arrivals::new(users, Length::Time(LASTS))
    };

    println!("closed loop, {CONNECTIONS} connections, one core, {LASTS:?} each, in turn");
    let (mut of_ours, mut of_wrk) = (Vec::new(), Vec::new());
    for pair in 0..4 {
        for first in [pair % 2 == 0, pair % 2 == 1] {
            if first {
                let (load, _) = ours(&server, closed()?, CONNECTIONS, "/")?;
                of_ours.push(load.throughput());
            } else if let Some(wrk) = wrk(&server, "/")? {
                of_wrk.push(wrk.rate);
            }
        }
    }
    let ratios: Vec<f64> = of_ours.iter().zip(&of_wrk).map(|(a, b)| a / b).collect();
    println!("  generator {:>9.0} requests/s (median of {})", median(of_ours.clone()), of_ours.len());
    if of_wrk.is_empty() {
        println!("  wrk is not installed");
    } else {
        println!("  wrk       {:>9.0} requests/s; generator ÷ wrk {:.2}", median(of_wrk), median(ratios));
    }

    println!("open loop, from due, one core");
    let mut kept_up = false;
    for rate in [LEAST, 2.0 * LEAST, 4.0 * LEAST] {
        let (load, own) = ours(&server, steady(rate)?, CONNECTIONS, "/")?;
        let good = load.harness_limited().is_none() && load.missing() == 0;
        kept_up |= good;
        let p99 = match load.quantile(0.99) {
            Quantile::At(us) => ms(Some(us)),
            Quantile::Never | Quantile::Unsupported => "never".to_owned(),
        };
        println!(
            "  {rate:>6.0}/s due: {:.0}/s answered, {} late, {} missing, p99 {p99} (start lag p99 {}), {:.0} % of the core; the server's own p99 {}",
            load.throughput(),
            load.late,
            load.missing(),
            ms(load.lag.quantile(0.99)),
            load.cpu_us as f64 * 100.0 / load.took_us as f64,
            ms(own.quantile(0.99)),
        );
    }

    println!("a delay of 20 ms, 1,000 requests/s");
    let (load, own) = ours(&server, steady(1_000.0)?, CONNECTIONS, "/delay")?;
    row("generator, from due", &load.latency);
    row("the server's own", &own);
    if let Some(wrk) = wrk(&server, "/delay")? {
        println!("  {:<34} p50 {:>11}   p99 {:>11}", "wrk, from send", wrk.p50, wrk.p99);
    }

    println!("overloaded: 200 requests/s at a server that does 100/s");
    let (load, own) = ours(&server, steady(200.0)?, 10_000, "/queue")?;
    row("generator, from due", &load.latency);
    row("the server's own", &own);
    if let Some(wrk) = wrk(&server, "/queue")? {
        println!("  {:<34} p50 {:>11}   p99 {:>11}   ({:.0}/s)", "wrk, from send", wrk.p50, wrk.p99, wrk.rate);
    }
    println!("{LEAST:.0} requests/s on one core in open loop: {}", if kept_up { "held" } else { "MISSED" });
    Ok(kept_up)
}
