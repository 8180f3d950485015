//! The page of one race: its heading, its result table and its `racerLaps`, as the page gives them.
//!
//! [`super::validate`] joins the three and checks them. An HTML parser runs over the result table only: over the whole
//! page it would take four times as long.

use scraper::{ElementRef, Html};

use super::bounds;
use super::error::PageError;
use super::html::{Piece, Pieces, class_has, plain_text};
use super::racer_laps::{self, DriverLaps};
use super::text::{cells, collapse, elements, first_of_class, parent_name, visible};
use super::times::{self, NotRead};
use crate::model::RaceResult;

/// Class of the result table.
pub(crate) const RESULT_TABLE: &str = "race_result";

/// A race page, read but not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RacePage {
    /// Panel heading: `CLASS A-Main Results [M1 Race #14]`, or empty.
    pub heading: String,
    /// First line of the table's head: `CLASS A-Main`, or empty.
    pub class: String,
    /// `Main Events`, or empty.
    pub round: String,
    /// `30:00 Timed`, or empty.
    pub length: String,
    /// Race number in its round.
    pub number: Option<u32>,
    /// Rows of the table in its order; without grid and laps, the name as the table has it.
    pub rows: Vec<RaceResult>,
    /// The assignments of `racerLaps`, in the page's order.
    pub drivers: Vec<DriverLaps>,
    /// What was odd in the table but loses nothing.
    pub warnings: Vec<String>,
}

/// Reads a race page.
///
/// # Errors
/// A page that is cut short, has not exactly one result table, has a script that cannot be read, or a number that cannot be.
pub fn parse(text: &str) -> Result<RacePage, PageError> {
    let parts = Parts::find(text)?;
    let mut page = RacePage {
        heading: parts.heading,
        class: String::new(),
        round: String::new(),
        length: String::new(),
        number: None,
        rows: Vec::new(),
        drivers: parts.drivers,
        warnings: Vec::new(),
    };
    bounds::check(parts.table)?;
    let html = Html::parse_fragment(&without_indentation(parts.table));
    read_table(html.root_element(), &mut page)?;
    if page.number.is_none() {
        page.number = number_in_heading(&page.heading);
    }
    Ok(page)
}

/// The parts of the page that are read, found in one pass.
struct Parts<'a> {
    heading: String,
    table: &'a str,
    drivers: Vec<DriverLaps>,
}

impl<'a> Parts<'a> {
    fn find(text: &'a str) -> Result<Self, PageError> {
        let (mut heading, mut heading_from, mut drivers) = (String::new(), None, Vec::new());
        let mut table: Option<(usize, Option<usize>)> = None; // start, and end once it is known
        let (mut depth, mut last, mut html_end) = (0_u32, 0, None);
        for piece in Pieces::new(text) {
            match piece? {
                Piece::Open { name, attrs, start, end } if name.eq_ignore_ascii_case("table") => {
                    if class_has(attrs, RESULT_TABLE) {
                        if table.is_some() {
                            return Err(PageError::SecondResultTable { at: start });
                        }
                        table = Some((start, None));
                        depth = 1;
                    } else if matches!(table, Some((_, None))) {
                        depth += 1;
                    }
                    last = end;
                }
                Piece::Open { name, attrs, end, .. }
                    if heading.is_empty() && name.eq_ignore_ascii_case("div") && class_has(attrs, "panel-heading") =>
                {
                    heading_from = Some(end);
                }
                Piece::Close { name, start, end } if name.eq_ignore_ascii_case("table") => {
                    if let Some((from, None)) = table {
                        depth -= 1;
                        if depth == 0 {
                            table = Some((from, Some(end)));
                        }
                    }
                    last = start;
                }
                Piece::Close { name, start, .. } if name.eq_ignore_ascii_case("div") => {
                    if let Some(from) = heading_from.take() {
                        let shown = plain_text(text.get(from..start).unwrap_or(""));
                        if shown.contains("Results") {
                            heading = shown;
                        }
                    }
                }
                Piece::Close { name, start, .. } if name.eq_ignore_ascii_case("html") => html_end = Some(start),
                Piece::Script { body, start } => {
                    let before = drivers.len();
                    racer_laps::in_script(body, start, &mut drivers)?;
                    if drivers.len() > before {
                        last = start;
                    }
                }
                _ => {}
            }
        }
        // `</html>` after everything that is read: then nothing of the race can have been cut off.
        if html_end.is_none_or(|end| end < last) {
            return Err(PageError::CutShort { missing: "no </html>", at: text.len() });
        }
        match table {
            None => Err(PageError::NoResultTable),
            Some((_, None)) => Err(PageError::CutShort { missing: "the result table is not closed", at: text.len() }),
            Some((from, Some(to))) => Ok(Self { heading, table: text.get(from..to).unwrap_or(""), drivers }),
        }
    }
}

/// Runs of white space made single spaces. Most of a table is indentation, which the parser would turn into nodes; no text
/// that is read depends on it.
fn without_indentation(table: &str) -> String {
    let mut out = String::with_capacity(table.len());
    for (index, word) in table.split_ascii_whitespace().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// `14` of `CLASS A-Main Results [M1 Race #14]`.
fn number_in_heading(heading: &str) -> Option<u32> {
    let (_, tail) = heading.rsplit_once('#')?;
    let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    times::number(tail.get(..digits)?).ok()
}

/// Where each column stands.
#[derive(Debug, Clone, Copy)]
struct Columns([Option<usize>; 13]);

/// The columns' names in the order that LiveRC shows them in.
const COLUMNS: [&str; 13] = [
    "pos",
    "driver",
    "qual",
    "laps/time",
    "behind",
    "fastest lap",
    "avg lap",
    "avg top 5",
    "avg top 10",
    "avg top 15",
    "top 3 consecutive",
    "std. deviation",
    "consistency",
];

impl Columns {
    /// As LiveRC shows them, for a table whose head does not name them.
    fn usual() -> Self {
        Self(std::array::from_fn(Some))
    }

    /// By the names in a row of the head; `None` if it is not the row of names.
    fn named(row: ElementRef<'_>) -> Option<Self> {
        let names: Vec<String> = cells(row).map(|c| visible(c, &["sup"]).to_ascii_lowercase()).collect();
        let columns = COLUMNS.map(|column| names.iter().position(|name| name == column));
        (columns[1].is_some() && columns[3].is_some()).then_some(Self(columns))
    }
}

fn read_table(root: ElementRef<'_>, page: &mut RacePage) -> Result<(), PageError> {
    let mut columns = Columns::usual();
    let rows = elements(root).filter(|e| e.value().name() == "tr");
    for (index, row) in rows.enumerate() {
        match parent_name(row) {
            "thead" => {
                read_head(row, page);
                columns = Columns::named(row).unwrap_or(columns);
            }
            "tfoot" => {}
            _ => {
                let cells: Vec<ElementRef<'_>> = cells(row).collect();
                if cells.iter().all(|c| c.value().name() == "th") {
                    continue;
                }
                if let [notice] = cells.as_slice() {
                    page.warnings.push(format!(
                        "row {} of the table holds no result: {:?}",
                        index + 1,
                        visible(*notice, &[])
                    ));
                    continue;
                }
                let result =
                    Row { cells: &cells, columns, warnings: &mut page.warnings, who: String::new() }.read(index)?;
                page.rows.push(result);
            }
        }
    }
    Ok(())
}

/// The first row of the head: race number, class, round and length.
fn read_head(row: ElementRef<'_>, page: &mut RacePage) {
    if let Some(number) = first_of_class(row, "race_num") {
        page.number = times::number(&visible(number, &[])).ok();
    }
    if let Some(class) = first_of_class(row, "class_header") {
        page.class = visible(class, &[]);
    }
    for line in elements(row).filter(|e| super::text::has_class(*e, "class_sub_header")) {
        let line = visible(line, &[]);
        if let Some(round) = line.strip_prefix("Round:") {
            page.round = round.trim().to_owned();
        } else if let Some(length) = line.strip_prefix("Length:") {
            page.length = length.trim().to_owned();
        }
    }
}

/// One row of results.
struct Row<'a> {
    cells: &'a [ElementRef<'a>],
    columns: Columns,
    warnings: &'a mut Vec<String>,
    who: String,
}

impl<'a> Row<'a> {
    fn cell(&self, column: usize) -> Option<ElementRef<'a>> {
        let index = self.columns.0.get(column).copied().flatten()?;
        self.cells.get(index).copied()
    }

    fn text(&self, column: usize) -> String {
        self.cell(column).map(|c| visible(c, &["sup"])).unwrap_or_default()
    }

    /// A figure that may be empty. What is no number is an unknown and a warning; an impossible number is an error.
    fn figure<T>(
        &mut self,
        column: usize,
        what: &'static str,
        read: fn(&str) -> Result<T, NotRead>,
    ) -> Result<Option<T>, PageError> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        match read(&text) {
            Ok(value) => Ok(Some(value)),
            Err(NotRead::NotANumber) => {
                self.warnings.push(format!("{what} of {} is no number: {text:?}", self.who));
                Ok(None)
            }
            Err(NotRead::Impossible) => Err(PageError::Impossible { what, of: self.who.clone(), value: text }),
        }
    }

    fn read(mut self, index: usize) -> Result<RaceResult, PageError> {
        let driver = self.cell(1);
        let link = driver.and_then(|cell| elements(cell).find_map(|e| e.value().attr("data-driver-id")));
        let name = driver.map(driver_name).unwrap_or_default();
        self.who = if name.is_empty() { format!("row {}", index + 1) } else { name.clone() };
        let driver_id = match link.map(str::trim) {
            None | Some("") => None,
            Some(text) => Some(times::id(text).ok_or_else(|| PageError::Impossible {
                what: "the driver id",
                of: self.who.clone(),
                value: text.to_owned(),
            })?),
        };
        if name.is_empty() {
            self.warnings.push(format!("{} of the table has no driver name", self.who));
        }
        let laps_time = self.figure(3, "Laps/Time", times::laps_and_time)?;
        let fastest_ms = self.figure(5, "Fastest Lap", times::time_ms)?;
        let fastest_lap = self
            .cell(5)
            .and_then(|cell| elements(cell).find(|e| e.value().name() == "sup"))
            .and_then(|sup| times::number(visible(sup, &[]).trim_matches(['(', ')', '#', ' '])).ok());
        Ok(RaceResult {
            driver_id,
            name,
            nth: 0,
            car_number: driver
                .and_then(|cell| first_of_class(cell, "car_num"))
                .map(|e| visible(e, &[]))
                .unwrap_or_default(),
            position: times::number(&self.text(0)).ok(),
            qualifying: times::number(&self.text(2)).ok(),
            grid: None,
            laps_completed: laps_time.map(|(laps, _)| laps),
            total_ms: laps_time.and_then(|(_, time)| time),
            behind: self.text(4),
            fastest_ms,
            fastest_lap,
            average_ms: self.figure(6, "Avg Lap", times::time_ms)?,
            average_top5_ms: self.figure(7, "Avg Top 5", times::time_ms)?,
            average_top10_ms: self.figure(8, "Avg Top 10", times::time_ms)?,
            average_top15_ms: self.figure(9, "Avg Top 15", times::time_ms)?,
            top3_ms: self.figure(10, "Top 3 Consecutive", times::time_ms)?,
            deviation_ms: self.figure(11, "Std. Deviation", times::time_ms)?,
            consistency_bp: self.figure(12, "Consistency", percentage)?,
            laps: Vec::new(),
        })
    }
}

/// `span.driver_name`; without one, what the cell shows besides car number and link.
fn driver_name(cell: ElementRef<'_>) -> String {
    if let Some(name) = first_of_class(cell, "driver_name") {
        return visible(name, &[]);
    }
    let shown = visible(cell, &["a"]);
    let car = first_of_class(cell, "car_num").map(|e| visible(e, &[])).unwrap_or_default();
    collapse(shown.strip_prefix(car.as_str()).unwrap_or(&shown))
}

/// `92.82%` as basis points. A negative one is a poor race, not an impossible number, but the model has no place for it.
fn percentage(text: &str) -> Result<u32, NotRead> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.strip_prefix('-') {
        Some(positive) if times::hundredths(positive).is_ok() => Err(NotRead::NotANumber),
        _ => times::hundredths(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_the_heading() {
        assert_eq!(number_in_heading("Buggy A-Main Results [M1 Race #14]"), Some(14));
        assert_eq!(number_in_heading("Buggy #2"), Some(2));
        assert_eq!(number_in_heading("Buggy Results"), None);
        assert_eq!(number_in_heading("Buggy Results [Race #]"), None);
    }

    #[test]
    fn percentages_above_a_hundred_and_below_zero() {
        assert_eq!(percentage("92.82%"), Ok(9282));
        assert_eq!(percentage("104.1 %"), Ok(10_410));
        assert_eq!(percentage("-3.20%"), Err(NotRead::NotANumber));
        assert_eq!(percentage("-%"), Err(NotRead::NotANumber));
        assert_eq!(percentage("92.8.2%"), Err(NotRead::Impossible));
    }
}
