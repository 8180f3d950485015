//! Where races come from: LiveRC, or memory in tests and benches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{CauseKind, Remedy, chain};
use crate::liverc::client::{Advice, FetchCause};
use crate::liverc::{Client, ClientSettings, FetchError, LivercUrls, PageError, entry_list, event_page, parse_race};
use crate::metrics::Metrics;
use crate::model::{Entry, Event, ListedRace, Race};
use crate::retry::RetryPolicy;
use crate::settings::LivercSettings;

/// Longest time to read a page. A large one takes some ms.
const READING: Duration = Duration::from_secs(60);

/// A page that could not be had or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {cause}")]
pub struct SourceError {
    /// URL of the page.
    pub url: String,
    /// Cause chain.
    pub cause: String,
    /// Kind of the cause.
    pub kind: CauseKind,
    /// What to do.
    pub remedy: Remedy,
    /// The host is not to be had, whatever the page.
    pub host_down: bool,
}

/// A race page that has arrived.
#[derive(Debug)]
pub struct RacePage {
    content: Content,
    /// Size, bytes.
    pub bytes: u64,
    /// Requests made.
    pub attempts: u32,
}

#[derive(Debug)]
enum Content {
    Html(String),
    Canned(Result<Race, String>),
}

/// Where races come from.
pub enum Source {
    /// LiveRC or a mock of it.
    Site {
        /// The client.
        client: Client,
        /// The URLs of a track.
        urls: LivercUrls,
    },
    /// Memory.
    Canned(Box<Canned>),
}

/// An event in memory, which a test may change between ingestions.
#[derive(Debug, Default)]
pub struct Canned {
    /// The event page.
    pub event: Mutex<Option<Event>>,
    /// The entry list.
    pub entries: Mutex<Vec<Entry>>,
    /// The race pages; an error is one that cannot be read.
    pub races: Mutex<HashMap<u64, Result<Race, String>>>,
    /// Races that were asked for, in order.
    pub asked: Mutex<Vec<u64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Canned {
    /// An event with these entries and races.
    #[must_use]
    pub fn new(event: Event, entries: Vec<Entry>, races: Vec<Race>) -> Self {
        let races = races.into_iter().map(|r| (r.listed.id, Ok(r))).collect();
        Self {
            event: Mutex::new(Some(event)),
            entries: Mutex::new(entries),
            races: Mutex::new(races),
            asked: Mutex::default(),
        }
    }

    /// The races that were asked for since the last call.
    pub fn take_asked(&self) -> Vec<u64> {
        std::mem::take(&mut *locked(&self.asked))
    }
}

/// A failed attempt that is followed by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Cause chain.
    pub cause: String,
    /// Its kind.
    pub kind: CauseKind,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// Pause before the next one.
    pub wait: Duration,
}

/// Whoever is told of it.
pub type OnRetry<'a> = &'a mut (dyn FnMut(Again) + Send);

impl Source {
    /// LiveRC, as the settings say.
    ///
    /// # Errors
    /// The pattern or the track make no URL; TLS cannot be set up.
    pub fn site(settings: &LivercSettings, retry: &RetryPolicy, track: &str) -> Result<Self, String> {
        Self::through(Self::client(settings, retry)?, settings, track)
    }

    /// LiveRC through a client that several runs share, and so its pace and its pauses.
    ///
    /// # Errors
    /// The pattern or the track make no URL.
    pub fn through(client: Client, settings: &LivercSettings, track: &str) -> Result<Self, String> {
        let urls = LivercUrls::new(&settings.base_url, track).map_err(|e| chain(&e))?;
        Ok(Self::Site { client, urls })
    }

    /// A client as the settings say.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn client(settings: &LivercSettings, retry: &RetryPolicy) -> Result<Client, String> {
        let client = ClientSettings {
            connect_timeout: settings.connect_timeout,
            first_byte_timeout: settings.read_timeout,
            silence_timeout: settings.read_timeout,
            body_timeout: settings.page_timeout,
            max_body: usize::try_from(settings.max_page).unwrap_or(usize::MAX),
            max_in_flight: settings.max_in_flight as usize,
            min_delay: settings.min_delay,
            retry: *retry,
            max_retry_after: retry.budget,
            ..ClientSettings::default()
        };
        Client::new(client).map_err(|e| format!("cannot make an HTTP client: {}", chain(&e)))
    }

    /// URL of a race page.
    #[must_use]
    pub fn race_url(&self, race: u64) -> String {
        match self {
            Self::Site { urls, .. } => urls.race(race),
            Self::Canned(_) => format!("memory:race/{race}"),
        }
    }

    /// Counts the requests.
    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        if let Self::Site { client, .. } = self {
            let metrics = Arc::clone(metrics);
            client.on_request(move |took, answer| metrics.request(took, answer.map_err(FetchCause::kind)));
        }
    }

    /// Requests made, and the most in flight at once.
    #[must_use]
    pub fn requests(&self) -> (u64, u32) {
        match self {
            Self::Site { client, .. } => {
                let counters = client.counters();
                (counters.requests, u32::try_from(counters.max_in_flight).unwrap_or(u32::MAX))
            }
            Self::Canned(canned) => (locked(&canned.asked).len() as u64, 0),
        }
    }

    /// Fetches and reads the event page.
    ///
    /// # Errors
    /// With URL and cause.
    pub async fn event(&self, id: u64, on_retry: OnRetry<'_>) -> Result<Event, SourceError> {
        match self {
            Self::Site { client, urls } => {
                let url = urls.event(id);
                let page = fetch(client, &url, on_retry).await?;
                let event = read(&url, move || event_page::parse(&page.text)).await?;
                match event.id {
                    Some(other) if other != id => {
                        let cause = format!("the page is of event {other}; fetch it again");
                        let (kind, remedy) = (CauseKind::Unreadable, Remedy::RetryLater(None));
                        Err(SourceError { url, cause, kind, remedy, host_down: false })
                    }
                    _ => Ok(event.into_event(urls.track(), id)),
                }
            }
            Self::Canned(canned) => locked(&canned.event).clone().ok_or_else(|| SourceError {
                url: format!("memory:event/{id}"),
                cause: "no such event".to_owned(),
                kind: CauseKind::NotFound,
                remedy: Remedy::Stop,
                host_down: false,
            }),
        }
    }

    /// Fetches and reads the entry list. `None`: there is no such page.
    ///
    /// # Errors
    /// With URL and cause.
    pub async fn entries(&self, id: u64, on_retry: OnRetry<'_>) -> Result<Option<Vec<Entry>>, SourceError> {
        match self {
            Self::Site { client, urls } => {
                let url = urls.entry_list(id);
                let page = match fetch_raw(client, &url, on_retry).await {
                    Ok(page) => page,
                    Err(e) if matches!(e.cause, FetchCause::NotFound(_)) => return Ok(None),
                    Err(e) => return Err(unfetched(&e)),
                };
                read(&url, move || entry_list::parse(&page.text)).await.map(Some)
            }
            Self::Canned(canned) => Ok(Some(locked(&canned.entries).clone())),
        }
    }

    /// Fetches a race page.
    ///
    /// # Errors
    /// With URL and cause.
    pub async fn race(&self, race: u64, on_retry: OnRetry<'_>) -> Result<RacePage, SourceError> {
        match self {
            Self::Site { client, urls } => {
                let page = fetch(client, &urls.race(race), on_retry).await?;
                Ok(RacePage { content: Content::Html(page.text), bytes: page.bytes as u64, attempts: page.attempts })
            }
            Self::Canned(canned) => {
                locked(&canned.asked).push(race);
                let found = locked(&canned.races).get(&race).cloned();
                let content = Content::Canned(found.unwrap_or_else(|| Err("no such race".to_owned())));
                Ok(RacePage { content, bytes: 0, attempts: 1 })
            }
        }
    }
}

impl RacePage {
    /// Reads and validates it. Takes its time: not for an async thread.
    ///
    /// # Errors
    /// Cause, and whether another look at the page may help.
    pub fn parse(self, listed: ListedRace) -> Result<Race, (String, bool)> {
        match self.content {
            Content::Html(text) => parse_race(&text, listed).map_err(|e| (chain(&e), e.worth_fetching_again())),
            Content::Canned(race) => race.map(|race| Race { listed, ..race }).map_err(|cause| (cause, false)),
        }
    }
}

async fn fetch_raw(client: &Client, url: &str, on_retry: OnRetry<'_>) -> Result<crate::liverc::Page, FetchError> {
    let told = |error: &FetchError, wait| {
        on_retry(Again { cause: chain(error), kind: error.cause.kind(), attempt: error.attempts, wait });
    };
    client.fetch_with_retries(url, told).await
}

async fn fetch(client: &Client, url: &str, on_retry: OnRetry<'_>) -> Result<crate::liverc::Page, SourceError> {
    fetch_raw(client, url, on_retry).await.map_err(|e| unfetched(&e))
}

fn unfetched(error: &FetchError) -> SourceError {
    let remedy = match error.advice {
        Advice::RetryNow => Remedy::RetryNow,
        Advice::RetryLater(wait) => Remedy::RetryLater(wait),
        Advice::NextCall => Remedy::RetryLater(None),
        Advice::Permanent => Remedy::BadRace,
    };
    let host_down = matches!(error.cause, FetchCause::Connect(_) | FetchCause::Closed { .. });
    SourceError { url: error.url.clone(), cause: chain(error), kind: error.cause.kind(), remedy, host_down }
}

/// Reads a page of the event itself.
async fn read<T: Send + 'static>(
    url: &str,
    work: impl FnOnce() -> Result<T, PageError> + Send + 'static,
) -> Result<T, SourceError> {
    let (cause, again) = match off_thread(work).await {
        Ok(Ok(page)) => return Ok(page),
        Ok(Err(e)) => (chain(&e), e.worth_fetching_again()),
        Err(unread) => unread,
    };
    let remedy = if again { Remedy::RetryLater(None) } else { Remedy::BadRace };
    Err(SourceError { url: url.to_owned(), cause, kind: CauseKind::Unreadable, remedy, host_down: false })
}

/// Reads a page where no async work waits for it. One that takes for ever (its size is bounded, so it should not) is
/// given up: the thread goes on by itself.
///
/// # Errors
/// Cause, and whether another look at the page may help.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, (String, bool)> {
    match tokio::time::timeout(READING, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(e)) => Err((format!("the reader of the page gave up: {e}"), false)),
        Err(_) => Err((format!("reading the page took longer than {READING:?}; fetch it again"), true)),
    }
}
