//! Pages that are cut, damaged or made up: no panic, and never a race that is silently shorter.

use ingest::liverc::racer_laps::{self, DriverLaps};
use ingest::liverc::{PageError, describe, entry_list, event_page, parse_race};
use ingest::model::{ListedRace, Race};
use proptest::prelude::*;

const PAGES: [&str; 6] = [
    include_str!("../fixtures/pages/race-raw.html"),
    include_str!("../fixtures/pages/race-formatted.html"),
    include_str!("../fixtures/pages/event-raw.html"),
    include_str!("../fixtures/pages/event-formatted.html"),
    include_str!("../fixtures/pages/entry-list-raw.html"),
    include_str!("../fixtures/pages/entry-list-formatted.html"),
];

fn race(text: &str) -> Result<Race, PageError> {
    let listed = ListedRace {
        id: 1,
        round: String::new(),
        number: None,
        class: String::new(),
        label: String::new(),
        completed_at: None,
    };
    parse_race(text, listed)
}

/// The page up to a byte, as a client that replaces a broken character gives it.
fn cut(page: &str, at: usize) -> String {
    String::from_utf8_lossy(&page.as_bytes()[..at]).into_owned()
}

#[test]
fn a_race_cut_at_any_byte_is_an_error_or_whole() {
    for page in &PAGES[..2] {
        let whole = race(page).unwrap();
        let mut errors = 0;
        for at in 0..page.len() {
            match race(&cut(page, at)) {
                Ok(read) => assert_eq!(read, whole, "cut at {at}"),
                Err(_) => errors += 1,
            }
        }
        // The cuts that are harmless are those after `</html>`.
        assert!(errors >= page.trim_end().len(), "{errors}");
    }
}

#[test]
fn lists_cut_at_any_byte_are_errors_or_whole() {
    for page in &PAGES[2..4] {
        let whole = event_page::parse(page).unwrap();
        for at in (0..page.len()).step_by(7).chain(page.len() - 20..page.len()) {
            if let Ok(read) = event_page::parse(&cut(page, at)) {
                assert_eq!(read, whole, "cut at {at}");
            }
        }
    }
    for page in &PAGES[4..] {
        let whole = entry_list::parse(page).unwrap();
        for at in (0..page.len()).step_by(7).chain(page.len() - 20..page.len()) {
            if let Ok(read) = entry_list::parse(&cut(page, at)) {
                assert_eq!(read, whole, "cut at {at}");
            }
        }
    }
}

/// Found by fuzzing: the HTML parser takes the square of the nesting, minutes for a page of 2 MB.
#[test]
fn a_page_that_nests_for_ever_is_refused_at_once() {
    let overgrown = |error: PageError| {
        assert!(matches!(error, PageError::Overgrown { what: "nests deeper", .. }), "{error}");
        assert!(error.worth_fetching_again());
    };
    let deep = "<colspan='14'><div class=\"race_num\" style=\"color: white;\">2".repeat(20_000);
    let into = |page: &str, at: &str| page.replacen(at, &format!("{deep}{at}"), 1);
    overgrown(race(&into(PAGES[0], "</table>")).unwrap_err());
    overgrown(event_page::parse(&into(PAGES[2], "</table>")).unwrap_err());
    overgrown(entry_list::parse(&into(PAGES[4], "</table>")).unwrap_err());
}

/// Found by fuzzing: each of these took the square of its length, minutes for a page of 1 MB.
#[test]
fn a_script_that_goes_on_for_ever_is_read_in_one_go() {
    for piece in ["//\n", "(1/8 ", "\\'", "\\\"", "\\`", "/ ", "'\n", "\\'\\\n", "racerLaps "] {
        let line = piece.repeat(1_000_000 / piece.len());
        let opened = match piece {
            "\\\"" => "\"",
            "\\`" => "`",
            _ => "'",
        };
        // CPU time would do as well; that the test ends at all is enough: at the square it takes an hour.
        let _ = scan(&format!("{opened}{line}\nracerLaps[1] = {{}}"));
        let _ = scan(&format!("{line}\nracerLaps[1] = {{}}"));
    }
    let many: String = (0..5000).map(|id| format!("racerLaps[{id}] = {{ laps: [] }};\n")).collect();
    assert!(matches!(scan(&many), Err(PageError::Overgrown { what: "has more drivers", .. })));
}

fn scan(script: &str) -> Result<Vec<DriverLaps>, PageError> {
    let mut all = Vec::new();
    racer_laps::in_script(script, 0, &mut all)?;
    Ok(all)
}

/// Pieces of JavaScript in any order: closer to what trips a scanner than random text.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "racerLaps[1] = {",
        "racerLaps",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "`",
        "\\",
        "\\u",
        "//",
        "/*",
        "*/",
        "\n",
        "laps:",
        "'laps' :",
        "lapNum: '1'",
        "time: '1.5'",
        ",",
        ":",
        ";",
        "=",
        "/",
        "é",
        "\u{2028}",
        "driverName",
        "(",
        ")",
        "0",
        "<!--",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_time: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), soup in soup()) {
        let _ = scan(&format!("racerLaps[1] = {text}"));
        let _ = scan(&soup);
        let page = format!("<html><script>{soup}</script>{text}<table class='race_result'>{text}</table></html>");
        let _ = race(&page);
        let _ = describe(&page);
        let _ = describe(&text);
    }

    #[test]
    fn a_damaged_page_is_read_or_refused(which in 0_usize..6, at in any::<prop::sample::Index>(), drop in 0_usize..300, put in "[<>'\"/={}\\[\\]!a-z0-9 \\\\-]{0,6}") {
        let bytes = PAGES[which].as_bytes();
        let at = at.index(bytes.len());
        let end = (at + drop).min(bytes.len());
        let damaged = [&bytes[..at], put.as_bytes(), &bytes[end..]].concat();
        let damaged = String::from_utf8_lossy(&damaged);
        let _ = describe(&damaged);
        let _ = race(&damaged);
        let _ = event_page::parse(&damaged);
    }

    /// Whatever a driver is called and however the literal is written, name and laps come back; json5 agrees.
    #[test]
    fn what_is_written_is_read_back(name in "[ -~éüÖ]{0,20}", times in prop::collection::vec(0_u32..4_000_000, 0..40), double in any::<bool>()) {
        let quote = if double { '"' } else { '\'' };
        let escaped = name.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
        let q = |text: &str| format!("{quote}{text}{quote}");
        let laps: String = times
            .iter()
            .zip(1..)
            .map(|(ms, n)| format!("{{ {}: {}, time: {}, pos: {} }},\n", q("lapNum"), q(&format!("{n}")), q(&format!("{}.{:03}", ms / 1000, ms % 1000)), q("1")))
            .collect();
        let literal = format!("{{ driverName: {}, // it's a name\n laps: [{laps}], }}", q(&escaped));
        let read = scan(&format!("x = 'racerLaps[2] = {{';\nracerLaps[7] = {literal}\nconsole.log(racerLaps[7])")).unwrap();
        prop_assert_eq!(read.len(), 1);
        let second: serde_json::Value = json5::from_str(&literal).unwrap();
        prop_assert_eq!(second["driverName"].as_str(), Some(name.as_str()));
        prop_assert_eq!(second["laps"].as_array().map(Vec::len), Some(times.len()));
        prop_assert_eq!(read[0].laps.iter().map(|l| l.time_ms).collect::<Vec<_>>(), times);
        let shown = ingest::liverc::text::collapse(&ingest::liverc::text::decode_entities(&name));
        prop_assert_eq!(&read[0].name, &shown);
    }
}
