//! LiveRC answering badly: rate limits, server errors, and pages that are not what was asked for.
//!
//! A spell begins with the first request that meets it, not with the clock: so no request can miss it by being late.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use wiremock::ResponseTemplate;

use super::page::Page;
use crate::faults::Action;

/// Requests on their way when the first 429 was answered cannot know of it.
const GRACE_US: u64 = 250_000;
/// Clocks and timers may differ by so much.
const TOLERANCE_US: u64 = 5_000;
/// Size of a huge page.
const HUGE_BYTES: usize = 50_000_000;

/// What LiveRC does wrong, and since when.
#[derive(Debug)]
pub(super) struct Spell {
    action: Action,
    lasts: Duration,
    first_us: Option<u64>,
    hits: u32,
    evidence: String,
    over: bool,
}

/// All spells of a mock, and the waits that it asked for.
#[derive(Debug, Default)]
pub(super) struct Spells {
    all: Vec<Spell>,
    /// (who was asked, 429 answered last, do not come before), CLOCK_MONOTONIC µs.
    asked_to_wait: Option<(u64, u64, u64)>,
    early: Vec<u64>,
}

/// A page, and that of another race.
pub(super) struct Bodies<'a> {
    /// What was asked for.
    pub(super) right: &'a [u8],
    /// The page of another race.
    pub(super) other: Option<std::sync::Arc<[u8]>>,
}

impl Spells {
    /// Casts a spell; its number is for [`Spells::hit`].
    pub(super) fn cast(&mut self, action: Action, lasts: Duration) -> usize {
        self.all.push(Spell { action, lasts, first_us: None, hits: 0, evidence: String::new(), over: false });
        self.all.len() - 1
    }

    /// When a request first met it, and what was answered.
    pub(super) fn hit(&self, number: usize) -> Option<(u64, String)> {
        let spell = self.all.get(number)?;
        let more = if spell.hits > 1 { format!(" ({} answers in all)", spell.hits) } else { String::new() };
        Some((spell.first_us?, format!("{}{more}", spell.evidence)))
    }

    /// Ends a spell.
    pub(super) fn lift(&mut self, number: usize) {
        if let Some(spell) = self.all.get_mut(number) {
            spell.over = true;
        }
    }

    /// Requests that came before they were asked to, by how much, µs.
    pub(super) fn take_early(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.early)
    }

    /// Whether any spell wants the page of another race.
    pub(super) fn wants_other(&self) -> bool {
        self.all.iter().any(|s| !s.over && s.action == Action::WrongPage)
    }

    /// The bad answer to a request, if one is due. `by` tells one process from another: what a process was asked that has
    /// died since, the next one cannot know.
    pub(super) fn answer(
        &mut self,
        now: u64,
        by: u64,
        page: Option<Page>,
        bodies: &Bodies<'_>,
    ) -> Option<ResponseTemplate> {
        if let Some((asked, last, until)) = self.asked_to_wait
            && asked == by
            && now > last + GRACE_US
            && now + TOLERANCE_US < until
        {
            self.early.push(until - now);
        }
        let is_race = matches!(page, Some(Page::Race(_)));
        let spell = self.all.iter_mut().find(|s| {
            !s.over && (is_race || !s.strikes_one_page()) && s.first_us.is_none_or(|first| now < first + s.lasts_us())
        })?;
        let first = *spell.first_us.get_or_insert(now);
        spell.hits += 1;
        let path = page.map_or_else(|| "a page".to_owned(), |p| p.to_string());
        let html = |body: Vec<u8>| ResponseTemplate::new(200).set_body_raw(body, "text/html; charset=UTF-8");
        let (answer, what) = match spell.action {
            Action::Http429 | Action::Http429Date => {
                let left = (first + spell.lasts_us()).saturating_sub(now);
                let (header, until) = retry_after(spell.action == Action::Http429Date, left, now);
                self.asked_to_wait = Some((by, now, until));
                let what = format!("429, Retry-After: {header}");
                (ResponseTemplate::new(429).insert_header("Retry-After", header.as_str()), what)
            }
            Action::Http5xx => {
                let status = [500, 502, 503][(spell.hits as usize - 1) % 3];
                (ResponseTemplate::new(status).set_body_raw("<html><body>Error</body></html>", "text/html"), {
                    format!("{status}")
                })
            }
            Action::MalformedHtml => (html(cut_table(bodies.right)), "a result table that does not end".to_owned()),
            Action::MalformedScript => (html(break_script(bodies.right)), "a broken script".to_owned()),
            Action::EmptyPage => (html(Vec::new()), "200 without a body".to_owned()),
            Action::WrongPage => {
                let other = bodies.other.as_ref().map(|b| b.to_vec()).unwrap_or_default();
                (html(other), "the page of another race".to_owned())
            }
            Action::HugePage => {
                let mut body = bodies.right.to_vec();
                body.resize(HUGE_BYTES, b' ');
                (html(body), format!("a page of {HUGE_BYTES} bytes"))
            }
            _ => return None,
        };
        if spell.strikes_one_page() {
            spell.over = true;
        }
        if spell.hits == 1 {
            spell.evidence = format!("LiveRC answered {path} with {what}");
        }
        Some(answer)
    }
}

impl Spell {
    fn strikes_one_page(&self) -> bool {
        self.action.default_duration().is_none()
    }

    fn lasts_us(&self) -> u64 {
        u64::try_from(self.lasts.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The header's value, and when (CLOCK_MONOTONIC µs) the next request may come. Both forms count in whole seconds.
fn retry_after(as_date: bool, left_us: u64, now_us: u64) -> (String, u64) {
    let seconds = left_us.div_ceil(1_000_000).max(1);
    if !as_date {
        return (seconds.to_string(), now_us + seconds * 1_000_000);
    }
    let wall = Timestamp::now();
    let target = wall.as_second() + i64::try_from(seconds).unwrap_or(1) + 1;
    let Ok(date) = Timestamp::from_second(target) else { return ("1".to_owned(), now_us + 1_000_000) };
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap_or_else(|_| "1".to_owned());
    let wait = u64::try_from(date.as_microsecond() - wall.as_microsecond()).unwrap_or(0);
    (text, now_us + wait)
}

/// The page without what follows the middle of its result table, but with an end: no transfer was cut, the HTML is bad.
fn cut_table(page: &[u8]) -> Vec<u8> {
    let table = find(page, b"race_result").unwrap_or(page.len() / 2);
    let end = find(&page[table..], b"</table>").map_or(page.len(), |end| table + end);
    let mut body = page[..table + (end - table) / 2].to_vec();
    body.extend_from_slice(b"<td <tr </body></html>");
    body
}

/// The page with garbage in its laps.
fn break_script(page: &[u8]) -> Vec<u8> {
    let at = find(page, b"racerLaps[").map_or(page.len() / 2, |at| at + b"racerLaps[".len());
    let mut body = page[..at].to_vec();
    body.extend_from_slice(b"}{ = \"");
    body.extend_from_slice(&page[at..]);
    body
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RACE: Option<Page> = Some(Page::Race(7));

    fn bodies() -> Bodies<'static> {
        Bodies { right: b"<table class=\"race_result\"><tr></tr></table>racerLaps[1] = {};</html>", other: None }
    }

    #[test]
    fn a_rate_limit_begins_with_its_first_request_and_notes_who_comes_too_early() {
        let mut spells = Spells::default();
        let number = spells.cast(Action::Http429, Duration::from_secs(1));
        assert_eq!(spells.hit(number), None);
        assert!(spells.answer(5_000_000, 1, RACE, &bodies()).is_some());
        assert!(spells.answer(5_100_000, 1, RACE, &bodies()).is_some(), "it was on its way");
        assert!(spells.take_early().is_empty());
        assert!(spells.answer(5_600_000, 1, RACE, &bodies()).is_some());
        assert_eq!(spells.take_early().len(), 1);
        assert!(spells.answer(7_000_000, 1, RACE, &bodies()).is_none());
        assert_eq!(spells.hit(number).unwrap().0, 5_000_000);
    }

    /// Chaos found it, seed 1, case 486: the request of a process that was killed met the limit.
    #[test]
    fn another_process_was_not_asked_to_wait() {
        let mut spells = Spells::default();
        spells.cast(Action::Http429, Duration::from_millis(100));
        assert!(spells.answer(5_000_000, 1, RACE, &bodies()).is_some());
        assert!(spells.answer(5_500_000, 2, RACE, &bodies()).is_none());
        assert!(spells.take_early().is_empty());
        assert!(spells.answer(5_600_000, 1, RACE, &bodies()).is_none());
        assert_eq!(spells.take_early().len(), 1, "the one that was asked comes too early");
    }

    #[test]
    fn a_bad_page_is_served_once_and_only_for_a_race() {
        let mut spells = Spells::default();
        let number = spells.cast(Action::MalformedScript, Duration::ZERO);
        assert!(spells.answer(1, 1, Some(Page::Event(1)), &bodies()).is_none());
        assert!(spells.answer(2, 1, RACE, &bodies()).is_some());
        assert!(spells.answer(3, 1, RACE, &bodies()).is_none());
        assert!(spells.hit(number).unwrap().1.contains("broken script"));
    }

    #[test]
    fn a_date_lies_at_least_as_far_ahead_as_was_asked() {
        let (text, until) = retry_after(true, 1_500_000, 0);
        assert!(text.ends_with("GMT"), "{text}");
        assert!((1_500_000..=3_000_000).contains(&until), "{until}");
        assert_eq!(retry_after(false, 1_500_000, 0), ("2".to_owned(), 2_000_000));
    }
}
