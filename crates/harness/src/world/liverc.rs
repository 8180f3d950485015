//! The mock of LiveRC: wiremock with one catch-all responder that looks pages up in a bounded cache.
//!
//! wiremock holds a write lock while a responder runs, so the responder must not work: a thread renders pages ahead of
//! the engine. A page that was not ready is rendered on the spot, and counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::misbehave::{Bodies, Spells};
use super::page::Page;
use crate::clock::monotonic_us;
use crate::faults::Action;
use crate::stats::Histogram;
use crate::trial::record::{LivercObservation, PageRequests};

/// What is served: pages rendered on demand.
pub type Render = Arc<dyn Fn(Page) -> Option<String> + Send + Sync>;

/// Bytes of rendered pages kept.
const CACHE_BYTES: usize = 96 << 20;
/// Race pages rendered ahead of the last one asked for.
const AHEAD: usize = 64;

/// A running mock. Dropping it ends server and thread.
pub struct Liverc {
    server: MockServer,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// (ingestion << 32) | attempt: which process asks.
    phase: AtomicU64,
}

struct State {
    render: Render,
    /// Race ids in the order in which an engine asks for them.
    order: Vec<u64>,
    index: HashMap<u64, usize>,
    cache: HashMap<Page, Arc<[u8]>>,
    kept: VecDeque<Page>,
    kept_bytes: usize,
    /// Next race to render ahead.
    next: usize,
    /// Render no further than this.
    until: usize,
    /// Raised by every [`Liverc::serve`], so that a page of the old revision is not put into the new cache.
    generation: u64,
    latency: Duration,
    spells: Spells,
    background: Option<Background>,
    requests: Vec<Recorded>,
    rendered_late: u64,
    body_bytes: u64,
    closing: bool,
}

/// Server errors that come all the time, a few of many.
struct Background {
    share: f64,
    seed: u64,
    /// How often each page was asked for.
    asked: HashMap<String, u64>,
}

impl Background {
    fn fails(&mut self, path: &str) -> bool {
        use md5::Digest as _;
        let asked = self.asked.entry(path.to_owned()).or_default();
        *asked += 1;
        let digest = md5::Md5::digest(format!("{} {path} {asked}", self.seed));
        let drawn = digest.iter().take(8).fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
        // 53 bits: all that a float between 0 and 1 holds.
        ((drawn >> 11) as f64) / ((1_u64 << 53) as f64) < self.share
    }
}

struct Recorded {
    at_us: u64,
    phase: u64,
    page: Option<Page>,
    path: String,
    whole: bool,
    respond_us: u64,
}

impl std::fmt::Debug for Liverc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Liverc").field("address", self.server.address()).finish_non_exhaustive()
    }
}

impl Liverc {
    /// Starts the mock on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port or no thread is to be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let server = MockServer::builder().listener(listener).disable_request_recording().start().await;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                render: Arc::new(|_| None),
                order: Vec::new(),
                index: HashMap::new(),
                cache: HashMap::new(),
                kept: VecDeque::new(),
                kept_bytes: 0,
                next: 0,
                until: 0,
                generation: 0,
                latency: Duration::ZERO,
                spells: Spells::default(),
                background: None,
                requests: Vec::new(),
                rendered_late: 0,
                body_bytes: 0,
                closing: false,
            }),
            wake: Condvar::new(),
            phase: AtomicU64::new(0),
        });
        Mock::given(any()).respond_with(Responder(Arc::clone(&shared))).mount(&server).await;
        let filler = Arc::clone(&shared);
        std::thread::Builder::new().name("page-filler".into()).spawn(move || filler.fill())?;
        Ok(Self { server, shared })
    }

    /// Address of the server.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        *self.server.address()
    }

    /// Serves these pages from now on. `order`: race ids in the event page's order. Waits until the first pages are
    /// rendered, so that rendering is not measured as the engine's time.
    pub async fn serve(&self, event_id: u64, order: Vec<u64>, render: Render) {
        {
            let mut state = self.shared.lock();
            state.generation += 1;
            state.index = order.iter().enumerate().map(|(i, &id)| (id, i)).collect();
            state.until = AHEAD.min(order.len());
            state.next = 0;
            state.order = order;
            state.render = render;
            state.cache.clear();
            state.kept.clear();
            state.kept_bytes = 0;
        }
        for page in [Page::Event(event_id), Page::EntryList(event_id)] {
            let shared = Arc::clone(&self.shared);
            let _ = tokio::task::spawn_blocking(move || shared.page(page)).await;
        }
        let shared = Arc::clone(&self.shared);
        self.shared.wake.notify_all();
        let _ = tokio::task::spawn_blocking(move || {
            let mut state = shared.lock();
            while state.next < state.until && !state.closing {
                state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        })
        .await;
    }

    /// Delays every response.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// Answers this share of all requests with a server error. Which they are depends on the seed, the page and how often it
    /// was asked for, and not on the order of requests: so two engines meet the same.
    pub fn set_background_errors(&self, share: f64, seed: u64) {
        self.shared.lock().background = Some(Background { share, seed, asked: HashMap::new() });
    }

    /// Answers badly from the next request on; the number is for [`Liverc::misbehaved`].
    pub fn misbehave(&self, action: Action, lasts: Duration) -> usize {
        self.shared.lock().spells.cast(action, lasts)
    }

    /// When a request first met a misbehaviour (CLOCK_MONOTONIC µs), and what was answered.
    #[must_use]
    pub fn misbehaved(&self, number: usize) -> Option<(u64, String)> {
        self.shared.lock().spells.hit(number)
    }

    /// An answer to this path (with query) was cut on its way, at this moment: it did not come whole.
    pub fn answer_was_cut(&self, path: &str, at_us: u64) {
        /// A request whose connection is cut may be on its way to the mock still.
        const ON_ITS_WAY_US: u64 = 1_000_000;
        let mut state = self.shared.lock();
        let until_us = at_us + ON_ITS_WAY_US;
        let is = |r: &Recorded| r.whole && r.page.is_some_and(|p| p.to_string() == path);
        // The last one before the cut: a later one is the same page asked for again.
        let requests = &mut state.requests;
        let before = requests.iter().rposition(|r| r.at_us <= at_us && is(r));
        let found = before.or_else(|| requests.iter().position(|r| r.at_us > at_us && r.at_us <= until_us && is(r)));
        if let Some(index) = found {
            requests[index].whole = false;
        }
    }

    /// Answers well again.
    pub fn behave(&self, number: usize) {
        self.shared.lock().spells.lift(number);
    }

    /// Says which ingestion and process ask from now on.
    pub fn set_phase(&self, ingestion: u32, attempt: u32) {
        self.shared.phase.store((u64::from(ingestion) << 32) | u64::from(attempt), Ordering::Relaxed);
    }

    /// What was asked for since the start or the last call. Requests count as in flight together while their
    /// answers take time (see [`Liverc::set_latency`]): one that is answered at once is with no other.
    #[must_use]
    pub fn take_observation(&self) -> LivercObservation {
        let mut state = self.shared.lock();
        let requests = std::mem::take(&mut state.requests);
        let mut pages: BTreeMap<(u64, String), PageRequests> = BTreeMap::new();
        let mut response = Histogram::new();
        let total = requests.len() as u64;
        let max_in_flight = most_at_once(requests.iter().map(|r| (r.at_us, r.at_us + r.respond_us)));
        for request in requests {
            response.record(request.respond_us);
            let path = request.page.map_or(request.path, |p| p.to_string());
            let entry = pages.entry((request.phase, path.clone())).or_insert_with(|| PageRequests {
                ingestion: u32::try_from(request.phase >> 32).unwrap_or(u32::MAX),
                attempt: u32::try_from(request.phase & u64::from(u32::MAX)).unwrap_or(u32::MAX),
                path,
                requests: 0,
                whole: 0,
            });
            entry.requests += 1;
            entry.whole += u32::from(request.whole);
        }
        LivercObservation {
            pages: pages.into_values().collect(),
            requests: total,
            body_bytes: std::mem::take(&mut state.body_bytes),
            response: Some(response),
            early_after_retry_after: state.spells.take_early(),
            max_in_flight,
        }
    }

    /// Pages that were not rendered when they were asked for, since the start.
    #[must_use]
    pub fn rendered_late(&self) -> u64 {
        self.shared.lock().rendered_late
    }
}

impl Drop for Liverc {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renders ahead until the mock closes.
    fn fill(&self) {
        let mut state = self.lock();
        loop {
            while state.next >= state.until && !state.closing {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closing {
                return;
            }
            let Some(&id) = state.order.get(state.next) else {
                state.until = state.order.len();
                continue;
            };
            let (page, generation, render) = (Page::Race(id), state.generation, Arc::clone(&state.render));
            if !state.cache.contains_key(&page) {
                drop(state);
                let body = render(page);
                state = self.lock();
                if state.generation == generation
                    && let Some(body) = body
                {
                    state.keep(page, body.into_bytes().into());
                }
            }
            if state.generation == generation {
                state.next += 1;
            }
            self.wake.notify_all();
        }
    }

    /// The page of another race, where one is going to be served in the place of this one.
    fn other_race(&self, page: Option<Page>) -> Option<Arc<[u8]>> {
        let Some(Page::Race(id)) = page else { return None };
        let other = {
            let state = self.lock();
            let other = state.order.iter().copied().find(|&other| other != id);
            other.filter(|_| state.spells.wants_other())?
        };
        self.page(Page::Race(other)).map(|(body, _)| body)
    }

    /// The page, from the cache or rendered now.
    fn page(&self, page: Page) -> Option<(Arc<[u8]>, bool)> {
        let (render, generation) = {
            let mut state = self.lock();
            if let Page::Race(id) = page
                && let Some(&at) = state.index.get(&id)
            {
                let until = (at + 1 + AHEAD).min(state.order.len());
                if until > state.until {
                    state.until = until;
                    self.wake.notify_all();
                }
            }
            if let Some(body) = state.cache.get(&page) {
                return Some((Arc::clone(body), false));
            }
            (Arc::clone(&state.render), state.generation)
        };
        let body: Arc<[u8]> = render(page)?.into_bytes().into();
        let mut state = self.lock();
        if state.generation == generation {
            state.keep(page, Arc::clone(&body));
        }
        Some((body, true))
    }
}

impl State {
    fn keep(&mut self, page: Page, body: Arc<[u8]>) {
        self.kept_bytes += body.len();
        if let Some(old) = self.cache.insert(page, body) {
            self.kept_bytes -= old.len();
        } else {
            self.kept.push_back(page);
        }
        while self.kept_bytes > CACHE_BYTES
            && let Some(oldest) = self.kept.pop_front()
        {
            if let Some(body) = self.cache.remove(&oldest) {
                self.kept_bytes -= body.len();
            }
        }
    }
}

/// Most requests that were being answered at one moment: (arrival, end of the answer), µs. One that ends as another arrives is
/// not with it.
fn most_at_once(spans: impl Iterator<Item = (u64, u64)>) -> u32 {
    let mut changes: Vec<(u64, i32)> = spans.flat_map(|(from, to)| [(from, 1), (to.max(from + 1), -1)]).collect();
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    most.unsigned_abs()
}

struct Responder(Arc<Shared>);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let started = monotonic_us();
        let page = Page::of(request.url.path(), request.url.query());
        let found = page.and_then(|p| self.0.page(p));
        let other = self.0.other_race(page);
        let mut state = self.0.lock();
        let latency = state.latency;
        let right = found.as_ref().map_or(&[][..], |(body, _)| body);
        let phase = self.0.phase.load(Ordering::Relaxed);
        let mut bad = state.spells.answer(started, phase, page, &Bodies { right, other });
        if bad.is_none()
            && let Some(background) = &mut state.background
            && background.fails(&page.map_or_else(|| request.url.path().to_owned(), |p| p.to_string()))
        {
            bad = Some(
                ResponseTemplate::new(503).set_body_raw("<html><body>Service unavailable</body></html>", "text/html"),
            );
        }
        let respond_us = monotonic_us() - started + u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        state.requests.push(Recorded {
            at_us: started,
            phase,
            page,
            path: if page.is_some() { String::new() } else { request.url.path().to_owned() },
            whole: found.is_some() && bad.is_none(),
            respond_us,
        });
        let template = match (bad, found) {
            (Some(bad), _) => bad,
            (None, Some((body, late))) => {
                state.rendered_late += u64::from(late);
                state.body_bytes += body.len() as u64;
                ResponseTemplate::new(200).set_body_raw(body.to_vec(), "text/html; charset=UTF-8")
            }
            (None, None) => ResponseTemplate::new(404).set_body_raw("<html><body>Not found</body></html>", "text/html"),
        };
        if latency.is_zero() { template } else { template.set_delay(latency) }
    }
}

#[cfg(test)]
mod tests;
