//! The assignments `racerLaps[ID] = { … }` of a race page: every driver's laps.
//!
//! Read as text, not run: a scanner that understands quotes, escapes, nesting and comments, so that raw captures (single
//! quotes, trailing commas) and formatted copies (bare keys, double quotes, no semicolons) read alike.

use memchr::memmem;

use super::error::PageError;
use super::html::{Piece, Pieces};
use super::script::{Scalar, Scanner};
use super::text::{collapse, decode_entities};
use super::times;
use crate::model::Lap;

/// Name of the variable.
const WORD: &str = "racerLaps";

/// Most drivers of a race; a large one has some dozens.
const MOST_DRIVERS: usize = 4096;

/// What `racerLaps` says of one driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverLaps {
    /// LiveRC's driver id.
    pub driver_id: u64,
    /// `driverName`.
    pub name: String,
    /// Place on the grid: `pos` of lap 0.
    pub grid: Option<u32>,
    /// How often lap 0 occurs.
    pub starts: u32,
    /// The laps in the page's order, lap 0 left out; not checked yet for gaps and repeats.
    pub laps: Vec<Lap>,
    /// Laps whose `pos` is there and no number.
    pub odd_positions: u32,
    /// Laps whose `pace` is there and does not read as laps and time.
    pub odd_paces: u32,
}

impl DriverLaps {
    fn new(driver_id: u64) -> Self {
        Self { driver_id, name: String::new(), grid: None, starts: 0, laps: Vec::new(), odd_positions: 0, odd_paces: 0 }
    }

    /// Name and id, for messages.
    #[must_use]
    pub fn who(&self) -> String {
        format!("{} (driver {})", self.name, self.driver_id)
    }
}

/// Reads all assignments in the scripts of a page.
///
/// # Errors
/// A script that is not closed, an assignment that cannot be read, an impossible number, a driver who occurs twice.
pub fn in_page(page: &str) -> Result<Vec<DriverLaps>, PageError> {
    let mut all = Vec::new();
    for piece in Pieces::new(page) {
        if let Piece::Script { body, start } = piece? {
            in_script(body, start, &mut all)?;
        }
    }
    Ok(all)
}

/// Reads the assignments of one script, which starts at byte `base` of its page.
///
/// # Errors
/// As [`in_page`].
pub fn in_script(body: &str, base: usize, all: &mut Vec<DriverLaps>) -> Result<(), PageError> {
    if memmem::find(body.as_bytes(), WORD.as_bytes()).is_none() {
        return Ok(());
    }
    let mut scanner = Scanner::new(body, base);
    while scanner.find_word(WORD)? {
        let after = scanner.pos() + WORD.len();
        scanner.set_pos(after);
        let Some(driver_id) = assigned_to(&mut scanner)? else {
            scanner.set_pos(after);
            continue;
        };
        if all.len() == MOST_DRIVERS {
            return Err(PageError::Overgrown { what: "has more drivers", at: scanner.offset() });
        }
        if all.iter().any(|d| d.driver_id == driver_id) {
            return Err(PageError::DriverTwice { id: driver_id, place: "racerLaps" });
        }
        all.push(driver(&mut scanner, driver_id)?);
    }
    Ok(())
}

/// After `racerLaps`: reads `[ID] =` up to the object. `None` where it is another use of the name, such as
/// `console.log(racerLaps[1])`.
fn assigned_to(s: &mut Scanner<'_>) -> Result<Option<u64>, PageError> {
    s.skip_trivia()?;
    if s.byte() != Some(b'[') {
        return Ok(None);
    }
    s.set_pos(s.pos() + 1);
    let key_at = s.pos();
    let Ok(key) = s.scalar() else { return Ok(None) };
    s.skip_trivia()?;
    if s.byte() != Some(b']') {
        return Ok(None);
    }
    s.set_pos(s.pos() + 1);
    s.skip_trivia()?;
    if s.byte() != Some(b'=') || s.starts_with("==") || s.starts_with("=>") {
        return Ok(None);
    }
    s.set_pos(s.pos() + 1);
    let text = key.as_str();
    if let Some(id) = times::id(text) {
        return Ok(Some(id));
    }
    // A variable as key is code, not data. Anything else was meant to be an id.
    if matches!(key, Scalar::Bare(word) if !word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.')) {
        return Ok(None);
    }
    s.set_pos(key_at);
    Err(s.fail(format!("racerLaps of {text:?}, which is no driver id")))
}

fn driver(s: &mut Scanner<'_>, driver_id: u64) -> Result<DriverLaps, PageError> {
    s.expect(b'{', "after racerLaps[…] =")?;
    let mut driver = DriverLaps::new(driver_id);
    let (mut named, mut has_laps) = (false, false);
    while !s.closes(b'}')? {
        let at = s.pos();
        match s.key()?.as_ref() {
            "driverName" if !named => {
                named = true;
                driver.name = collapse(&decode_entities(s.scalar()?.as_str()));
            }
            "laps" if !has_laps => {
                has_laps = true;
                laps(s, &mut driver)?;
            }
            key @ ("driverName" | "laps") => {
                let what = format!("racerLaps[{driver_id}] has {key} twice");
                s.set_pos(at);
                return Err(s.fail(what));
            }
            _ => s.skip_value()?,
        }
        s.separator(b'}')?;
    }
    if has_laps { Ok(driver) } else { Err(s.fail(format!("racerLaps[{driver_id}] has no laps member"))) }
}

fn laps(s: &mut Scanner<'_>, driver: &mut DriverLaps) -> Result<(), PageError> {
    s.expect(b'[', "before the laps")?;
    while !s.closes(b']')? {
        lap(s, driver)?;
        s.separator(b']')?;
    }
    Ok(())
}

fn lap(s: &mut Scanner<'_>, driver: &mut DriverLaps) -> Result<(), PageError> {
    s.expect(b'{', "before a lap")?;
    let (mut number, mut position, mut time, mut pace) = (None, None, None, None);
    while !s.closes(b'}')? {
        let key = s.key()?;
        let slot = match key.as_ref() {
            "lapNum" => &mut number,
            "pos" => &mut position,
            "time" => &mut time,
            "pace" => &mut pace,
            _ => {
                s.skip_value()?;
                s.separator(b'}')?;
                continue;
            }
        };
        if slot.is_some() {
            return Err(s.fail(format!("a lap of racerLaps[{}] has {key} twice", driver.driver_id)));
        }
        *slot = Some(s.scalar()?);
        s.separator(b'}')?;
    }
    let impossible = |what, value: &Option<Scalar<'_>>, of: String| PageError::Impossible {
        what,
        of,
        value: value.as_ref().map_or_else(|| "(none)".to_owned(), |v| v.as_str().to_owned()),
    };
    let text = |value: &Option<Scalar<'_>>| value.as_ref().map(|v| v.as_str().trim().to_owned()).unwrap_or_default();
    let read = |value: &Option<Scalar<'_>>| value.as_ref().and_then(|v| times::number(v.as_str().trim()).ok());
    let Some(lap_number) = read(&number) else { return Err(impossible("a lap number", &number, driver.who())) };
    let place = read(&position);
    if lap_number == 0 {
        driver.starts += 1;
        driver.grid = place;
        return Ok(());
    }
    let Some(time_ms) = time.as_ref().and_then(|v| times::time_ms(v.as_str().trim()).ok()) else {
        return Err(impossible("the time of a lap", &time, format!("{}, lap {lap_number}", driver.who())));
    };
    driver.odd_positions += u32::from(place.is_none() && !text(&position).is_empty());
    let (pace_laps, pace_ms) = match pace.as_ref().map(|v| times::laps_and_time(v.as_str().trim())) {
        Some(Ok((laps, Some(ms)))) => (Some(laps), Some(ms)),
        _ => {
            driver.odd_paces += u32::from(!matches!(text(&pace).as_str(), "" | "0"));
            (None, None)
        }
    };
    driver.laps.push(Lap { number: lap_number, position: place, time_ms, pace_laps, pace_ms });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &str = r"
        var racerLaps = {};
        var positionData = [];
        positionDataDriver.label = 'ANNA O\'EXAMPLE';
        racerLaps[11] = {
            'driverName' : 'ANNA O\'EXAMPLE', // 'laps' : [ {
            'fastLap' : '9.5', 'odd' : { 'laps' : [ 'x}', ] },
            'laps' : [
                { 'lapNum' : '0', 'pos' : '2', 'time' : '0', 'pace' : '0', 'segments' : [ ] },
                { 'lapNum' : '1', 'pos' : '1', 'time' : '10.17', 'pace' : '48/30:32.160', 'segments' : [ { 'a' : '}' } ] },
                { 'lapNum' : '2', 'pos' : '1', 'time' : '1:09.5', 'pace' : '', 'segments' : [ ] },
            ]
        };
        positionDataDriver.data.push([0, 2]);
        console.log(racerLaps[11]);
        racerLaps[12] = { 'driverName' : 'BEN SAMPLE', 'fastLap' : '', 'laps' : [
            ] };
        console.log(racerLaps[12]);";

    const FORMATTED: &str = r#"
        var racerLaps = {}
        racerLaps[11] = {
            driverName: "ANNA O'EXAMPLE",
            fastLap: "9.5",
            laps: [
                { lapNum: "0", pos: "2", time: "0", pace: "0", segments: [] },
                { lapNum: "1", pos: "1", time: "10.17", pace: "48/30:32.160", segments: [] },
                { lapNum: "2", pos: "1", time: "1:09.5", pace: "", segments: [] },
            ],
        }
        positionDataDriver.data.push([0, 2])
        console.log(racerLaps[11])
        racerLaps[12] = { driverName: "BEN SAMPLE", fastLap: "", laps: [] }
        console.log(racerLaps[12])"#;

    fn read(script: &str) -> Result<Vec<DriverLaps>, PageError> {
        let mut all = Vec::new();
        in_script(script, 0, &mut all)?;
        Ok(all)
    }

    #[test]
    fn raw_and_formatted_read_alike() {
        let raw = read(RAW).unwrap();
        assert_eq!(raw, read(FORMATTED).unwrap());
        assert_eq!(raw.len(), 2);
        assert_eq!((raw[0].name.as_str(), raw[0].grid, raw[0].starts), ("ANNA O'EXAMPLE", Some(2), 1));
        let lap = |number, time_ms, pace: Option<(u32, u32)>| Lap {
            number,
            position: Some(1),
            time_ms,
            pace_laps: pace.map(|p| p.0),
            pace_ms: pace.map(|p| p.1),
        };
        assert_eq!(raw[0].laps, [lap(1, 10_170, Some((48, 1_832_160))), lap(2, 69_500, None)]);
        assert_eq!((raw[1].driver_id, raw[1].laps.len(), raw[1].starts), (12, 0, 0));
    }

    #[test]
    fn other_uses_of_the_name_are_no_assignment() {
        for script in [
            "console.log(racerLaps[1]);\n x = { laps: 1 }",
            "console.log(racerLaps[1])\n{ x = 1 }",
            "if (racerLaps[1] == {}) {}",
            "// racerLaps[1] = { laps: [] }",
            "var a = 'racerLaps[1] = { laps: [] }';",
            "racerLaps[id] = { laps: [] }",
            "oldracerLaps[1] = {}",
            "racerLaps[1].laps.push({})",
        ] {
            assert_eq!(read(script), Ok(vec![]), "{script}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for script in [
            "racerLaps[1] = ",
            "racerLaps[1] = other;",
            "racerLaps[1] = { 'driverName' : 'A' }",
            "racerLaps[1] = { laps: [], laps: [] }",
            "racerLaps[1] = { laps: [ { lapNum: '1', time: '1', time: '2' } ] }",
            "racerLaps[1] = { laps: [ { lapNum: '1', time: '1' } }",
            "racerLaps[1] = { laps: [ { lapNum: '1', time: '1' } { lapNum: '2', time: '1' } ] }",
            "racerLaps[1] = { laps: [ { lapNum: '1', time: '1:75' } ] }",
            "racerLaps[1] = { laps: [ { lapNum: '1', time: '' } ] }",
            "racerLaps[1] = { laps: [ { lapNum: '-1', time: '1' } ] }",
            "racerLaps[1] = { laps: [ { time: '1' } ] }",
            "racerLaps['x'] = { laps: [] }",
            "racerLaps[99999999999999999999] = { laps: [] }",
            "racerLaps[1] = { laps: [] }; racerLaps[1] = { laps: [] }",
        ] {
            assert!(read(script).is_err(), "{script}");
        }
    }

    #[test]
    fn only_scripts_count() {
        let page = "<p>racerLaps[1] = { laps: [] }</p><!-- <script>racerLaps[2] = { laps: [] }</script> -->\
                    <script>racerLaps[3] = { laps: [] }</script>";
        let ids: Vec<u64> = in_page(page).unwrap().iter().map(|d| d.driver_id).collect();
        assert_eq!(ids, [3]);
    }

    #[test]
    fn offsets_are_those_of_the_page() {
        let page = "<script>racerLaps[3] = {</script>";
        let Err(PageError::Script { at, .. }) = in_page(page) else { panic!("must fail") };
        assert_eq!(at, page.find("</script>").unwrap());
    }
}
