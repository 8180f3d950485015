//! The page of an event: its name, dates and counts, and the list of its races.

use jiff::civil::{Date, DateTime, Time};
use scraper::{ElementRef, Html};

use super::bounds;
use super::error::PageError;
use super::html::check_whole;
use super::text::{cells, elements, first_of_class, has_class, parent_name, visible};
use super::{times, title};
use crate::model::{Event, ListedRace};

/// Class of the three tables of an event page.
pub(crate) const EVENT_TABLE: &str = "entry_list_data";

/// What an event page says. It does not name its own id and host: see [`EventPage::into_event`].
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// LiveRC's id, where the page links to its own entry list or overall ranking.
    pub id: Option<u64>,
    /// The track's name.
    pub track_name: String,
    /// The event's name.
    pub name: String,
    /// First day.
    pub first_day: Option<Date>,
    /// Last day.
    pub last_day: Option<Date>,
    /// `Entries: 71`.
    pub entries: Option<u32>,
    /// `Drivers: 60`.
    pub drivers: Option<u32>,
    /// Total Race Laps.
    pub total_laps: Option<u32>,
    /// Whether the page links to an entry list.
    pub has_entry_list: bool,
    /// The races, in the page's order (newest first).
    pub races: Vec<ListedRace>,
}

impl EventPage {
    /// The event, with the id and the track that it was fetched by.
    #[must_use]
    pub fn into_event(self, track: &str, id: u64) -> Event {
        Event {
            id,
            track: track.to_owned(),
            track_name: self.track_name,
            name: self.name,
            first_day: self.first_day,
            last_day: self.last_day,
            entries: self.entries,
            drivers: self.drivers,
            total_laps: self.total_laps,
            has_entry_list: self.has_entry_list,
            races: self.races,
        }
    }
}

/// Reads an event page.
///
/// # Errors
/// A page that is cut short, that has no name or no table `Race Results`, or that lists one race id twice and differently.
pub fn parse(text: &str) -> Result<EventPage, PageError> {
    check_whole(text)?;
    bounds::check(text)?;
    let html = Html::parse_document(text);
    let root = html.root_element();
    let header = |name: &str| {
        elements(root)
            .find(|e| e.value().name() == name && has_class(*e, "page-header"))
            .map(|e| visible(e, &[]))
            .unwrap_or_default()
    };
    let name = header("h3");
    if name.is_empty() {
        return Err(PageError::Missing { kind: "event page", what: "name (h3.page-header)" });
    }
    let (first_day, last_day) = days(&header("h5"));
    let mut page = EventPage {
        id: None,
        track_name: header("h1"),
        name,
        first_day,
        last_day,
        entries: None,
        drivers: None,
        total_laps: None,
        has_entry_list: false,
        races: Vec::new(),
    };
    read_stats(root, &mut page);
    for link in elements(root).filter_map(|e| e.value().attr("href")) {
        if let Some(id) = link_id(link, "view_entry_list") {
            page.has_entry_list = true;
            page.id = Some(id);
        } else if page.id.is_none() {
            page.id = link_id(link, "event_overall_ranking");
        }
    }
    page.races = races(root)?;
    Ok(page)
}

/// The id in `/results/?p=PAGE&id=N`.
fn link_id(link: &str, page: &str) -> Option<u64> {
    let (_, query) = link.split_once('?')?;
    let value = |wanted: &str| query.split('&').find_map(|p| p.split_once('=').filter(|(k, _)| *k == wanted));
    (value("p")?.1 == page).then(|| value("id").and_then(|(_, id)| times::id(id.trim()))).flatten()
}

/// `Nov 16, 2025`, or `Apr 23, 2025 to Apr 27, 2025`.
fn days(text: &str) -> (Option<Date>, Option<Date>) {
    match text.split_once(" to ") {
        Some((first, last)) => (date(first), date(last)),
        None => (date(text), date(text)),
    }
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `Nov 16, 2025`.
fn date(text: &str) -> Option<Date> {
    let mut words = text.split_whitespace();
    let name = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().zip(1_i8..).find(|(m, _)| name.get(..3) == Some(**m))?.1;
    let day: i8 = words.next()?.trim_end_matches(',').parse().ok()?;
    let year: i16 = words.next()?.parse().ok()?;
    if words.next().is_some() {
        return None;
    }
    Date::new(year, month, day).ok()
}

/// `5:30pm`, `12:05am`.
fn time_of_day(text: &str) -> Option<Time> {
    let text = text.trim().to_ascii_lowercase();
    let (clock, afternoon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(clock), _) => (clock, 0),
        (_, Some(clock)) => (clock, 12),
        _ => return None,
    };
    let (hour, minute) = clock.trim().split_once(':')?;
    let hour: i8 = hour.parse().ok().filter(|h| (1..=12).contains(h))?;
    Time::new(hour % 12 + afternoon, minute.parse().ok()?, 0, 0).ok()
}

/// `Nov 16, 2025 at 5:30pm`; `None` if it is missing or something else.
fn completed_at(text: &str) -> Option<DateTime> {
    let (day, time) = text.split_once(" at ")?;
    Some(DateTime::from_parts(date(day)?, time_of_day(time)?))
}

/// The rows `Registrations` and `Total Race Laps` of the statistics.
fn read_stats(root: ElementRef<'_>, page: &mut EventPage) {
    for row in elements(root).filter(|e| e.value().name() == "tr") {
        let mut cells = cells(row);
        let (Some(head), Some(value)) = (cells.next(), cells.next()) else { continue };
        if head.value().name() != "th" || value.value().name() != "td" {
            continue;
        }
        let value = visible(value, &[]);
        match visible(head, &[]).to_ascii_lowercase().as_str() {
            "registrations" => {
                page.entries = count_after(&value, "Entries:");
                page.drivers = count_after(&value, "Drivers:");
            }
            "total race laps" => page.total_laps = count(&value),
            _ => {}
        }
    }
}

fn count_after(text: &str, label: &str) -> Option<u32> {
    let (_, tail) = text.split_once(label)?;
    count(tail.split_whitespace().next()?)
}

/// `4,129`.
fn count(text: &str) -> Option<u32> {
    times::number(&text.trim().replace(',', "")).ok()
}

/// The rows of the tables headed `Race Results`.
fn races(root: ElementRef<'_>) -> Result<Vec<ListedRace>, PageError> {
    let mut races: Vec<ListedRace> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut found = false;
    let is_race_table = |table: &ElementRef<'_>| {
        has_class(*table, EVENT_TABLE)
            && first_of_class(*table, "class_header")
                .is_some_and(|h| visible(h, &[]).eq_ignore_ascii_case("Race Results"))
    };
    for table in elements(root).filter(|e| e.value().name() == "table").filter(is_race_table) {
        found = true;
        let mut round = String::new();
        for row in elements(table).filter(|e| e.value().name() == "tr" && !matches!(parent_name(*e), "thead" | "tfoot"))
        {
            let mut cells = cells(row);
            let Some(first) = cells.next() else { continue };
            if first.value().name() == "th" {
                round = visible(first, &[]);
                continue;
            }
            let Some(race) = race(first, cells.next(), &round)? else { continue };
            match places.entry(race.id) {
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(races.len());
                    races.push(race);
                }
                std::collections::hash_map::Entry::Occupied(place) => {
                    if races.get(*place.get()) != Some(&race) {
                        return Err(PageError::RaceTwice { id: race.id });
                    }
                }
            }
        }
    }
    if found { Ok(races) } else { Err(PageError::NoRaceTable) }
}

/// A race of one row; `None` for a row that links to no race.
fn race(cell: ElementRef<'_>, completed: Option<ElementRef<'_>>, round: &str) -> Result<Option<ListedRace>, PageError> {
    let is_race = |link: &str| link.contains("p=view_race_result");
    let Some((link, href)) =
        elements(cell).find_map(|e| e.value().attr("href").filter(|href| is_race(href)).map(|href| (e, href)))
    else {
        return Ok(None);
    };
    let id = link_id(href, "view_race_result").ok_or_else(|| PageError::Impossible {
        what: "the id",
        of: format!("a race in the list ({})", visible(link, &[])),
        value: href.to_owned(),
    })?;
    let title = title::parse(&visible(link, &[]));
    Ok(Some(ListedRace {
        id,
        round: round.to_owned(),
        number: title.number,
        class: title.class,
        label: title.label,
        completed_at: completed.and_then(|cell| completed_at(&visible(cell, &[]))),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date as day, datetime};

    #[test]
    fn dates_and_ranges() {
        assert_eq!(days("Nov 16, 2025"), (Some(day(2025, 11, 16)), Some(day(2025, 11, 16))));
        assert_eq!(days("Apr 23, 2025 to Apr 27, 2025"), (Some(day(2025, 4, 23)), Some(day(2025, 4, 27))));
        assert_eq!(days("soon"), (None, None));
        assert_eq!(days("Feb 30, 2025"), (None, None));
        assert_eq!(date("September 1, 2025"), Some(day(2025, 9, 1)));
    }

    #[test]
    fn times_of_completion() {
        assert_eq!(completed_at("Nov 16, 2025 at 5:30pm"), Some(datetime(2025, 11, 16, 17, 30, 0, 0)));
        assert_eq!(completed_at("Nov 16, 2025 at 12:05am"), Some(datetime(2025, 11, 16, 0, 5, 0, 0)));
        assert_eq!(completed_at("Nov 16, 2025 at 12:00pm"), Some(datetime(2025, 11, 16, 12, 0, 0, 0)));
        for none in ["", "Nov 16, 2025", "Nov 16, 2025 at 13:00pm", "Nov 16, 2025 at 5:61pm"] {
            assert_eq!(completed_at(none), None, "{none}");
        }
    }

    #[test]
    fn ids_in_links() {
        assert_eq!(link_id("/results/?p=view_race_result&id=12", "view_race_result"), Some(12));
        assert_eq!(link_id("/results/?id=12&p=view_race_result", "view_race_result"), Some(12));
        assert_eq!(link_id("/results/?p=view_race_result_old&id=12", "view_race_result"), None);
        assert_eq!(link_id("/results/?p=view_race_result&raceid=12", "view_race_result"), None);
        assert_eq!(link_id("/results/", "view_race_result"), None);
    }

    #[test]
    fn counts_with_thousands() {
        assert_eq!(count("4,129"), Some(4129));
        assert_eq!(count_after("Entries: 71 Drivers: 60", "Drivers:"), Some(60));
        assert_eq!(count_after("Entries: 71", "Drivers:"), None);
    }
}
