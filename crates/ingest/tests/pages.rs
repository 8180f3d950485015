//! The hand-made pages, raw and formatted, against what they say.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use ingest::liverc::race_page::RacePage;
use ingest::liverc::{PageError, PageKind, describe, entry_list, event_page, parse_race, race_page};
use ingest::model::{Lap, ListedRace, Race};
use jiff::civil::{date, datetime};

const RACE_RAW: &str = include_str!("../fixtures/pages/race-raw.html");
const RACE_FORMATTED: &str = include_str!("../fixtures/pages/race-formatted.html");
const EVENT_RAW: &str = include_str!("../fixtures/pages/event-raw.html");
const EVENT_FORMATTED: &str = include_str!("../fixtures/pages/event-formatted.html");
const ENTRIES_RAW: &str = include_str!("../fixtures/pages/entry-list-raw.html");
const ENTRIES_FORMATTED: &str = include_str!("../fixtures/pages/entry-list-formatted.html");

fn listed() -> ListedRace {
    event_page::parse(EVENT_RAW).unwrap().races[1].clone()
}

fn race(text: &str) -> Result<Race, PageError> {
    parse_race(text, listed())
}

/// The raw page with one place changed, which must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(RACE_RAW.contains(from), "the fixture has no {from:?}");
    RACE_RAW.replacen(from, to, 1)
}

#[test]
fn raw_and_formatted_pages_say_the_same() {
    assert_eq!(race_page::parse(RACE_RAW), race_page::parse(RACE_FORMATTED));
    assert_eq!(event_page::parse(EVENT_RAW), event_page::parse(EVENT_FORMATTED));
    assert_eq!(entry_list::parse(ENTRIES_RAW), entry_list::parse(ENTRIES_FORMATTED));
}

#[test]
fn a_race_is_read_whole() {
    let race = race(RACE_FORMATTED).unwrap();
    assert_eq!(race.warnings, Vec::<String>::new());
    assert_eq!(race.length, "1:00 Timed");
    assert_eq!((race.results.len(), race.lap_count()), (4, 8));
    let [anna, ben, zoe, cara] = race.results.as_slice() else { panic!("four results") };
    assert_eq!(anna.driver_id, Some(101));
    assert_eq!((anna.name.as_str(), anna.car_number.as_str(), anna.behind.as_str()), ("ANNA EXAMPLE", "1", ""));
    assert_eq!((anna.position, anna.qualifying, anna.grid), (Some(1), Some(1), Some(1)));
    assert_eq!((anna.laps_completed, anna.total_ms), (Some(3), Some(60_373)));
    assert_eq!((anna.fastest_ms, anna.fastest_lap), (Some(19_750), Some(2)));
    assert_eq!((anna.average_ms, anna.average_top5_ms, anna.top3_ms), (Some(20_124), None, Some(60_373)));
    assert_eq!((anna.deviation_ms, anna.consistency_bp), (Some(380), Some(9811)));
    let lap = |number, time_ms, pace_ms| Lap {
        number,
        position: Some(1),
        time_ms,
        pace_laps: Some(3),
        pace_ms: Some(pace_ms),
    };
    assert_eq!(anna.laps, [lap(1, 20_500, 61_500), lap(2, 19_750, 60_375), lap(3, 20_123, 60_373)]);
    assert_eq!((ben.name.as_str(), ben.behind.as_str()), ("BEN O'SAMPLE", "1.227"));
    assert_eq!((zoe.name.as_str(), zoe.behind.as_str(), zoe.grid), ("ZOË MÜSTER", "1 Lap", Some(4)));
    // Did not start: no link, so the id comes from racerLaps by name.
    assert_eq!((cara.driver_id, cara.laps_completed, cara.total_ms), (Some(104), Some(0), None));
    assert_eq!((cara.laps.len(), cara.grid, cara.fastest_ms, cara.consistency_bp), (0, None, None, None));
}

#[test]
fn an_event_is_read_whole() {
    let event = event_page::parse(EVENT_FORMATTED).unwrap().into_event("example", 700);
    assert_eq!((event.track_name.as_str(), event.name.as_str()), ("Example Park Raceway", "Invented Cup 2024"));
    assert_eq!((event.first_day, event.last_day), (Some(date(2024, 5, 3)), Some(date(2024, 5, 4))));
    assert_eq!((event.entries, event.drivers, event.total_laps), (Some(1071), Some(60), Some(4129)));
    assert!(event.has_entry_list);
    let races: Vec<_> = event
        .races
        .iter()
        .map(|r| (r.id, r.round.as_str(), r.number, r.class.as_str(), r.label.as_str(), r.completed_at))
        .collect();
    let at = |day, hour, minute| Some(datetime(2024, 5, day, hour, minute, 0, 0));
    assert_eq!(
        races,
        [
            (9005, "Main Events", Some(3), "Junior", "", at(4, 12, 5)),
            (9004, "Main Events", Some(2), "Stock (17.5) Buggy", "Stock (17.5) Buggy A-Main", at(4, 11, 58)),
            (9003, "Main Events", Some(1), "1/8 Truggy", "1/8 Truggy A3-Main", None),
            (9002, "Qualifier Round 1", Some(2), "1/8 Truggy", "1/8 Truggy (Heat 2/2)", at(3, 0, 30)),
            (9001, "Qualifier Round 1", Some(1), "1/8 Truggy", "1/8 Truggy (Heat 1/2)", at(3, 17, 30)),
        ]
    );
}

#[test]
fn an_event_without_entry_list_still_has_its_races() {
    let page = event_page::parse(&EVENT_RAW.replace("view_entry_list", "view_other")).unwrap();
    assert!(!page.has_entry_list);
    assert_eq!(page.races.len(), 5);
}

#[test]
fn an_event_page_that_lost_its_list_is_an_error() {
    let without = EVENT_RAW.replace(">Race Results<", ">Other<");
    assert_eq!(event_page::parse(&without), Err(PageError::NoRaceTable));
    let twice = EVENT_RAW.replace("id=9003", "id=9004");
    assert_eq!(event_page::parse(&twice), Err(PageError::RaceTwice { id: 9004 }));
    let cut = EVENT_RAW.replace("</html>", "");
    assert!(matches!(event_page::parse(&cut), Err(PageError::CutShort { .. })));
}

#[test]
fn entries_are_read_without_hidden_text() {
    let entries = entry_list::parse(ENTRIES_RAW).unwrap();
    let rows: Vec<_> = entries
        .iter()
        .map(|e| (e.class.as_str(), e.car_number.as_str(), e.name.as_str(), e.transponder.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            ("Stock (17.5) Buggy", "1", "ANNA EXAMPLE", "1234567"),
            ("Stock (17.5) Buggy", "2", "BEN O'SAMPLE", "2222363/2"),
            ("Stock (17.5) Buggy", "3", "CARA STILL", ""),
            ("1/8 Truggy", "1", "ANNA EXAMPLE", "7654321"),
            ("1/8 Truggy", "2", "ZOË MÜSTER", "1111111"),
            ("1/8 Truggy", "3", "ZOË MÜSTER", "2222222"),
        ]
    );
}

#[test]
fn a_race_over_an_hour_has_its_total() {
    let page = changed("<td>3/1:00.373</td>", "<td>58/1:02:30.1</td>");
    let anna = &race(&page).unwrap().results[0];
    assert_eq!((anna.laps_completed, anna.total_ms), (Some(58), Some(3_750_100)));
}

#[test]
fn a_position_that_is_no_number_is_unknown_and_the_row_stays() {
    for position in ["DQ", "", "99999999999", "-1"] {
        let race = race(&changed("<td>1</td>", &format!("<td>{position}</td>"))).unwrap();
        assert_eq!((race.results.len(), race.results[0].position, race.results[0].laps.len()), (4, None, 3));
    }
}

#[test]
fn impossible_numbers_are_errors_and_words_are_warnings() {
    for (from, to) in [
        ("<td>3/1:00.373</td>", "<td>3/1:75.000</td>"),
        ("<td>3/1:00.373</td>", "<td>99999999999/1:00.373</td>"),
        ("<td>19.750<sup>2</sup></td>", "<td>-19.750</td>"),
        ("data-driver-id=\"101\"", "data-driver-id=\"1o1\""),
        ("'time' : '19.75'", "'time' : '19.75.3'"),
        ("'time' : '19.75'", "'time' : '-1'"),
        ("'lapNum' : '2'", "'lapNum' : 'two'"),
    ] {
        assert!(matches!(race(&changed(from, to)), Err(PageError::Impossible { .. })), "{to}");
    }
    let race = race(&changed("<td>98.11%</td>", "<td>-5.00%</td>")).unwrap();
    assert_eq!(race.results[0].consistency_bp, None);
    assert_eq!(race.warnings, ["Consistency of ANNA EXAMPLE is no number: \"-5.00%\""]);
}

#[test]
fn consistency_above_a_hundred_is_kept() {
    let race = race(&changed("<td>98.11%</td>", "<td>104.10%</td>")).unwrap();
    assert_eq!(race.results[0].consistency_bp, Some(10_410));
}

#[test]
fn gaps_repeats_and_lost_parts_are_errors() {
    let gap = race(&changed("'lapNum' : '2'", "'lapNum' : '4'"));
    assert!(matches!(gap, Err(PageError::LapGap { lap: 2, .. })), "{gap:?}");
    let repeat = race(&changed("'lapNum' : '2'", "'lapNum' : '1'"));
    assert!(matches!(repeat, Err(PageError::LapRepeat { lap: 1, .. })), "{repeat:?}");
    assert_eq!(
        race(&changed("race_result\" cellspacing", "race_results\" cellspacing")),
        Err(PageError::NoResultTable)
    );
    assert!(matches!(race(&changed("racerLaps[102] =", "other[102] =")), Err(PageError::LapsMissing { .. })));
    assert!(matches!(race(&changed("</html>", "")), Err(PageError::CutShort { .. })));
    assert!(matches!(
        race(&changed("Race #2", "Race #3").replace(">2</div>", ">3</div>")),
        Err(PageError::OtherRace { .. })
    ));
    // A stretch lost in mid-page, as a broken cache would do it.
    let (from, to) = (RACE_RAW.find("'19.75'").unwrap(), RACE_RAW.find("racerLaps[102]").unwrap());
    assert!(race(&[&RACE_RAW[..from], &RACE_RAW[to..]].concat()).is_err());
}

#[test]
fn a_race_without_rows_is_legal() {
    let (head, rest) = RACE_RAW.split_once("var racerLaps = {};").unwrap();
    let (_, rest) = rest.split_once("</script>").unwrap();
    let (middle, rest) = rest.split_once("<tbody>").unwrap();
    let (_, tail) = rest.split_once("</tbody>").unwrap();
    let empty = format!("{head}</script>{middle}<tbody></tbody>{tail}");
    let race = race(&empty).unwrap();
    assert_eq!((race.results.len(), race.warnings.len()), (0, 0));
}

#[test]
fn a_qualifying_number_before_the_name_is_left_out() {
    let page = RACE_RAW
        .replace("\"driver_name\">ANNA", "\"driver_name\">1 ANNA")
        .replace("\"driver_name\">CARA", "\"driver_name\">3 CARA");
    let race = race(&page).unwrap();
    assert_eq!(race.results[0].name, "ANNA EXAMPLE");
    assert_eq!((race.results[3].name.as_str(), race.results[3].driver_id), ("CARA STILL", Some(104)));
}

#[test]
fn the_kind_of_each_page_is_found() {
    for page in [RACE_RAW, RACE_FORMATTED] {
        assert_eq!(PageKind::of(page), Ok(PageKind::Race));
        let json = describe(page).unwrap();
        assert_eq!((json["kind"].as_str(), json["class"].as_str()), (Some("race"), Some("Stock (17.5) Buggy A-Main")));
        assert_eq!(json["results"][0]["laps"].as_array().map(Vec::len), Some(3));
        assert_eq!(json["heading"], "Stock (17.5) Buggy A-Main Results [M1 Race #2]");
    }
    for page in [EVENT_RAW, EVENT_FORMATTED] {
        let json = describe(page).unwrap();
        assert_eq!((json["kind"].as_str(), json["id"].as_u64()), (Some("event"), Some(700)));
        assert_eq!(json["races"].as_array().map(Vec::len), Some(5));
    }
    for page in [ENTRIES_RAW, ENTRIES_FORMATTED] {
        let json = describe(page).unwrap();
        assert_eq!(json["kind"], "entry_list");
        assert_eq!(json["entries"][1]["transponder"], "2222363/2");
    }
    assert_eq!(describe("<html></html>"), Err(PageError::UnknownKind));
}

#[test]
fn a_page_says_its_class_round_and_number() {
    let RacePage { class, round, number, .. } = race_page::parse(RACE_RAW).unwrap();
    assert_eq!((class.as_str(), round.as_str(), number), ("Stock (17.5) Buggy A-Main", "Main Events", Some(2)));
}
