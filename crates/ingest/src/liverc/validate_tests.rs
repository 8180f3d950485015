use super::*;
use crate::model::Lap;

fn row(name: &str, driver_id: Option<u64>, qualifying: u32, laps: u32, total_ms: Option<u32>) -> RaceResult {
    RaceResult {
        driver_id,
        name: name.to_owned(),
        nth: 0,
        car_number: "1".to_owned(),
        position: Some(1),
        qualifying: Some(qualifying),
        grid: None,
        laps_completed: Some(laps),
        total_ms,
        behind: String::new(),
        fastest_ms: None,
        fastest_lap: None,
        average_ms: None,
        average_top5_ms: None,
        average_top10_ms: None,
        average_top15_ms: None,
        top3_ms: None,
        deviation_ms: None,
        consistency_bp: None,
        laps: Vec::new(),
    }
}

fn laps(driver_id: u64, name: &str, numbers: &[u32]) -> DriverLaps {
    DriverLaps {
        driver_id,
        name: name.to_owned(),
        grid: Some(3),
        starts: 1,
        laps: numbers
            .iter()
            .map(|&number| Lap { number, position: Some(1), time_ms: 1000 + number, pace_laps: None, pace_ms: None })
            .collect(),
        odd_positions: 0,
        odd_paces: 0,
    }
}

fn listed() -> ListedRace {
    ListedRace {
        id: 5,
        round: "Qualifier Round 2".to_owned(),
        number: Some(4),
        class: "Buggy".to_owned(),
        label: "Buggy (Heat 1/2)".to_owned(),
        completed_at: None,
    }
}

fn page(rows: Vec<RaceResult>, drivers: Vec<DriverLaps>) -> RacePage {
    RacePage {
        heading: String::new(),
        class: "Buggy (Heat 1/2)".to_owned(),
        round: "Qualifier Round 2".to_owned(),
        length: "5:00 Timed".to_owned(),
        number: Some(4),
        rows,
        drivers,
        warnings: Vec::new(),
    }
}

fn check(rows: Vec<RaceResult>, drivers: Vec<DriverLaps>) -> Result<Race, PageError> {
    validate(page(rows, drivers), listed())
}

#[test]
fn linked_rows_first_then_names_in_page_order() {
    let race = check(
        vec![
            row("ANNA EXAMPLE", None, 1, 1, None),
            row("ANNA EXAMPLE", Some(2), 2, 2, None),
            row("ANNA EXAMPLE", None, 3, 3, None),
            row("ANNA EXAMPLE", None, 4, 0, None),
        ],
        vec![laps(2, "ANNA EXAMPLE", &[1, 2]), laps(1, "Anna Example", &[1]), laps(3, "ANNA EXAMPLE", &[1, 2, 3])],
    )
    .unwrap();
    let got: Vec<_> = race.results.iter().map(|r| (r.driver_id, r.laps.len(), r.nth, r.grid)).collect();
    assert_eq!(got, [(Some(1), 1, 0, Some(3)), (Some(2), 2, 0, Some(3)), (Some(3), 3, 0, Some(3)), (None, 0, 0, None)]);
    assert_eq!(race.warnings, Vec::<String>::new());
}

#[test]
fn namesakes_without_any_id_are_told_apart() {
    let race =
        check(vec![row("A B", None, 1, 0, None), row("C D", None, 2, 0, None), row("A B", None, 3, 0, None)], vec![])
            .unwrap();
    assert_eq!(race.results.iter().map(|r| r.nth).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
fn unordered_laps_are_put_in_order() {
    let race = check(vec![row("A B", Some(1), 1, 3, Some(3006))], vec![laps(1, "A B", &[3, 1, 2])]).unwrap();
    assert_eq!(race.results[0].laps.iter().map(|l| l.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(race.warnings, Vec::<String>::new());
}

#[test]
fn gaps_and_repeats_are_errors() {
    let run = |numbers: &[u32]| check(vec![row("A B", Some(1), 1, 3, None)], vec![laps(1, "A B", numbers)]);
    assert!(matches!(run(&[1, 3]), Err(PageError::LapGap { lap: 2, .. })));
    assert!(matches!(run(&[2, 3]), Err(PageError::LapGap { lap: 1, .. })));
    assert!(matches!(run(&[1, 2, 2, 3]), Err(PageError::LapRepeat { lap: 2, .. })));
    let mut twice = laps(1, "A B", &[1]);
    twice.starts = 2;
    assert!(matches!(
        check(vec![row("A B", Some(1), 1, 1, None)], vec![twice]),
        Err(PageError::LapRepeat { lap: 0, .. })
    ));
    assert!(matches!(check(vec![], vec![laps(1, "A B", &[2])]), Err(PageError::LapGap { .. })));
}

#[test]
fn laps_that_are_linked_to_must_be_there() {
    assert!(matches!(check(vec![row("A B", Some(1), 1, 3, None)], vec![]), Err(PageError::LapsMissing { .. })));
    assert!(check(vec![row("A B", Some(1), 1, 0, None)], vec![]).is_ok());
    let twice = vec![row("A B", Some(1), 1, 0, None), row("C D", Some(1), 2, 0, None)];
    assert!(matches!(check(twice, vec![]), Err(PageError::DriverTwice { id: 1, .. })));
}

#[test]
fn what_officials_adjust_is_a_warning() {
    let race = check(
        vec![row("A B", Some(1), 1, 3, Some(2003)), row("C D", Some(2), 2, 2, Some(9))],
        vec![laps(1, "A B", &[1, 2]), laps(2, "C D", &[1, 2]), laps(9, "E F", &[1])],
    )
    .unwrap();
    assert_eq!(
        race.warnings,
        [
            "A B has 2 laps, Laps/Time says 3",
            "the laps of C D sum to 2003 ms, Laps/Time says 9 ms",
            "racerLaps has E F (driver 9) with 1 laps, who is not in the result table",
        ]
    );
    assert_eq!(race.lap_count(), 4);
}

#[test]
fn an_empty_race_is_legal() {
    let race = check(vec![], vec![]).unwrap();
    assert!(race.results.is_empty() && race.warnings.is_empty());
}

#[test]
fn qualifying_numbers_are_taken_off_names_and_nothing_else_is() {
    let name = |row: RaceResult, called: Option<&str>, others: Vec<RaceResult>| {
        let drivers = called.map(|c| laps(1, c, &[])).into_iter().collect();
        let mut rows = vec![row];
        rows.extend(others);
        check(rows, drivers).unwrap().results[0].name.clone()
    };
    let one = |name: &str, qualifying| row(name, Some(1), qualifying, 0, None);
    // racerLaps knows the name
    assert_eq!(name(one("1 ANNA EXAMPLE", 1), Some("ANNA EXAMPLE"), vec![]), "ANNA EXAMPLE");
    assert_eq!(name(one("1 ANNA EXAMPLE", 7), Some("ANNA EXAMPLE"), vec![]), "ANNA EXAMPLE");
    // the number is a part of it, and another row has none
    assert_eq!(
        name(one("2 FAST EXAMPLE", 2), Some("2 FAST EXAMPLE"), vec![row("B C", None, 1, 0, None)]),
        "2 FAST EXAMPLE"
    );
    // racerLaps has it too, and so has every row
    assert_eq!(
        name(one("2 ANNA EXAMPLE", 2), Some("2 ANNA EXAMPLE"), vec![row("1 B C", None, 1, 0, None)]),
        "ANNA EXAMPLE"
    );
    // nothing but the column to go by
    assert_eq!(name(one("1 ANNA EXAMPLE", 1), None, vec![]), "ANNA EXAMPLE");
    assert_eq!(name(one("2 FAST EXAMPLE", 1), None, vec![]), "2 FAST EXAMPLE");
    assert_eq!(name(one("50CENT EXAMPLE", 50), None, vec![]), "50CENT EXAMPLE");
}

#[test]
fn an_unlinked_name_with_its_number_still_finds_its_laps() {
    for called in ["ANNA EXAMPLE", "1 ANNA EXAMPLE"] {
        let race = check(vec![row("1 ANNA EXAMPLE", None, 1, 1, None)], vec![laps(1, called, &[1])]).unwrap();
        assert_eq!((race.results[0].name.as_str(), race.results[0].driver_id), ("ANNA EXAMPLE", Some(1)), "{called}");
        assert_eq!(race.warnings, Vec::<String>::new());
    }
}

#[test]
fn the_page_of_another_race_is_refused() {
    let run = |class: &str, round: &str, number| {
        let mut page = page(vec![], vec![]);
        (page.class, page.round, page.number) = (class.to_owned(), round.to_owned(), number);
        validate(page, listed())
    };
    let same = "Buggy (Heat 1/2)";
    for (class, round, number) in [
        (same, "Qualifier Round 2", Some(5)),
        (same, "Qualifier Round 3", Some(4)),
        ("Truck A-Main", "Main Events", Some(4)),
    ] {
        assert!(matches!(run(class, round, number), Err(PageError::OtherRace { .. })), "{class} {round} {number:?}");
    }
    for (class, round, number, warnings) in [
        (same, "Qualifier Round 2", None, 0),
        ("", "", None, 0),
        ("Buggy", "qualifier round 2", Some(4), 0),
        ("Buggy Heat 1", "Qualifier Round 2", Some(4), 1),
        (same, "Second Qualifier", Some(4), 1),
    ] {
        assert_eq!(run(class, round, number).unwrap().warnings.len(), warnings, "{class} {round} {number:?}");
    }
}
