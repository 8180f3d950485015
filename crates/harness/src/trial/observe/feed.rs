//! The feed of an ingestion's processes: what each said, folded into figures.

use std::collections::BTreeMap;
use std::path::Path;

use contract::feed::{self, Line, Record};

use crate::stats::{Histogram, Stage};

/// A feed file, read once more from where the last reading ended.
#[derive(Debug, Default)]
pub struct FeedFile {
    read: u64,
}

/// Lines read, and what could not be.
#[derive(Debug, Default)]
pub struct Lines {
    /// The records in file order.
    pub lines: Vec<Line>,
    /// Lines that could not be read: number within this reading, and why.
    pub errors: Vec<String>,
}

impl FeedFile {
    /// Reads what was appended since the last call. A missing file is an engine without a feed: no lines.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&mut self, path: &Path) -> std::io::Result<Lines> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Lines::default()),
            Err(e) => return Err(e),
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A line without its line feed is still being written, or was cut by a kill.
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let (lines, errors) = feed::read(&text);
        Ok(Lines { lines, errors: errors.into_iter().map(|(n, why)| format!("line {n}: {why}")).collect() })
    }
}

/// What the lines of one process say.
#[derive(Debug, Default)]
pub struct Digest {
    /// Settings that it ran under.
    pub settings: BTreeMap<String, String>,
    /// Its summary.
    pub summary: Option<feed::Summary>,
    /// Races whose COMMIT was acknowledged: (race, CLOCK_MONOTONIC µs).
    pub committed: Vec<(u64, u64)>,
    /// Occurrences of each step.
    pub steps: BTreeMap<contract::Step, u32>,
    /// Races given up.
    pub failed: Vec<feed::Failed>,
    /// Retries by what was tried again.
    pub retries: BTreeMap<String, u32>,
    /// Races fetched.
    pub fetched: u32,
    /// Lap batches, commits.
    pub batches: u64,
    /// Commit units.
    pub units: u64,
    /// Rows of the committed units; `None`: of one they are not known.
    pub rows_told: Option<feed::Changes>,
    /// Laps sent, committed or not.
    pub laps_sent: u64,
    /// Laps of confirmed commits.
    pub laps_committed: u64,
    /// Time in the transactions of units, all together, µs.
    pub write_us: u64,
    /// The last step reached.
    pub last_step: Option<feed::StepReached>,
    /// Laps on the pages, by race.
    pub laps: BTreeMap<u64, u64>,
    /// Laps made durable: (CLOCK_MONOTONIC µs, laps of the unit).
    pub durable: Vec<(u64, u64)>,
}

/// Folds the lines of one process. Samples go into `stages`.
#[must_use]
pub fn digest(lines: &[Line], stages: &mut BTreeMap<Stage, Histogram>) -> Digest {
    let mut digest = Digest::default();
    // Laps in finished batches of each unit.
    let mut batched: BTreeMap<u32, u64> = BTreeMap::new();
    // Units whose COMMIT was acknowledged and whose own line has not come.
    let mut acknowledged = std::collections::BTreeSet::new();
    let mut told = feed::Changes::default();
    // Units whose COMMIT was about to be sent, and of which nothing was told since. Several are written at once.
    let mut in_doubt = std::collections::BTreeSet::new();
    let mut sample = |stage: Stage, us: u64| stages.entry(stage).or_default().record(us);
    for line in lines {
        match &line.record {
            Record::Started(started) => digest.settings.clone_from(&started.settings),
            Record::Step(step) => {
                let seen = digest.steps.entry(step.name).or_default();
                *seen = (*seen).max(step.occurrence);
                match step.name {
                    // At *kill* the process ends before it sends anything.
                    contract::Step::BeforeCommit if step.armed != Some(contract::ArmAction::Kill) => {
                        in_doubt.insert(step.unit);
                    }
                    // Tried again: it was found not to have been committed.
                    contract::Step::UnitBegun => {
                        in_doubt.remove(&step.unit);
                    }
                    _ => {}
                }
                digest.last_step = Some(step.clone());
            }
            Record::Committed(committed) => {
                in_doubt.remove(&Some(committed.unit));
                acknowledged.insert(committed.unit);
                digest.committed.extend(committed.races.iter().map(|&race| (race, line.t_us)));
            }
            Record::Race(race) => {
                digest.fetched += 1;
                digest.laps.insert(race.race, race.laps);
                sample(Stage::Fetch, race.fetch_us);
                sample(Stage::Parse, race.parse_us);
            }
            Record::Batch(batch) => {
                digest.batches += 1;
                digest.laps_sent += batch.rows;
                *batched.entry(batch.unit).or_default() += batch.rows;
                sample(Stage::Batch, batch.write_us);
            }
            Record::Unit(unit) => {
                digest.units += 1;
                told += unit.rows;
                digest.laps_committed += unit.laps;
                digest.write_us += unit.write_us;
                acknowledged.remove(&unit.unit);
                digest.durable.push((line.t_us, unit.laps));
                for _ in 0..unit.races {
                    sample(Stage::Write, unit.write_us);
                }
                sample(Stage::Commit, unit.commit_us);
                sample(Stage::Acquire, unit.acquire_us);
            }
            Record::Retry(retry) => *digest.retries.entry(retry.what.clone()).or_default() += 1,
            Record::Failed(failed) => digest.failed.push(failed.clone()),
            Record::Warning(_) => {}
            Record::Summary(summary) => digest.summary = Some((**summary).clone()),
        }
    }
    // Without steps nobody knows when it commits.
    let all_told = acknowledged.is_empty() && in_doubt.is_empty() && !digest.steps.is_empty();
    digest.rows_told = all_told.then_some(told);
    // A process that died right after COMMIT has told of the commit, not of the unit.
    digest.laps_committed += acknowledged.iter().filter_map(|unit| batched.get(unit)).sum::<u64>();
    // A batch that was under way when the process died has no line of its own.
    if let Some(feed::StepReached { name: contract::Step::MidBatch, unit: Some(unit), laps: Some(laps), .. }) =
        digest.last_step
    {
        digest.laps_sent += laps.saturating_sub(batched.get(&unit).copied().unwrap_or(0));
    }
    digest
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_feed_is_read_on_from_where_it_ended_and_a_cut_line_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feed");
        let mut feed = FeedFile::default();
        assert!(feed.read(&path).unwrap().lines.is_empty());
        let line = r#"{"t_us":1,"pid":2,"committed":{"unit":1,"races":[3,4]}}"#;
        let mut file = std::fs::File::create(&path).unwrap();
        write!(file, "{line}\n{}", &line[..20]).unwrap();
        assert_eq!(feed.read(&path).unwrap().lines.len(), 1);
        assert_eq!(feed.read(&path).unwrap().lines.len(), 0);
        writeln!(file, "{}", &line[20..]).unwrap();
        let lines = feed.read(&path).unwrap();
        assert_eq!((lines.lines.len(), lines.errors.len()), (1, 0));
        let digest = digest(&lines.lines, &mut BTreeMap::new());
        assert_eq!(digest.committed, [(3, 1), (4, 1)]);
    }

    #[test]
    fn laps_of_a_process_killed_in_mid_batch_or_after_commit_are_told_apart() {
        let batch = r#"{"t_us":1,"pid":2,"batch":{"unit":1,"rows":40,"write_us":1}}"#;
        let committed = r#"{"t_us":2,"pid":2,"committed":{"unit":1,"races":[3]}}"#;
        let mid_batch =
            r#"{"t_us":3,"pid":2,"step":{"name":"mid-batch","occurrence":2,"unit":2,"laps":25,"armed":"kill"}}"#;
        let of = |lines: &[&str]| digest(&feed::read(&format!("{}\n", lines.join("\n"))).0, &mut BTreeMap::new());
        let after_commit = of(&[batch, committed]);
        assert_eq!((after_commit.laps_sent, after_commit.laps_committed), (40, 40));
        let in_batch = of(&[batch, committed, mid_batch]);
        assert_eq!((in_batch.laps_sent, in_batch.laps_committed), (65, 40));
        assert_eq!(of(&[batch]).laps_committed, 0);
        assert_eq!(in_batch.last_step.unwrap().name, contract::Step::MidBatch);
    }

    #[test]
    fn rows_of_committed_units_are_known_unless_the_process_ended_around_a_commit() {
        let unit = r#"{"t_us":9,"pid":2,"unit":{"unit":1,"races":1,"laps":30,"batches":1,"acquire_us":1,"write_us":50,"commit_us":5,"rows":{"laps":{"inserted":30,"updated":0,"deleted":0,"unchanged":0}}}}"#;
        let committed = r#"{"t_us":8,"pid":2,"committed":{"unit":1,"races":[3]}}"#;
        let step = |name: &str, armed: &str| {
            format!(r#"{{"t_us":7,"pid":2,"step":{{"name":"{name}","occurrence":1,"unit":1{armed}}}}}"#)
        };
        let of =
            |lines: &[&str]| digest(&feed::read(&format!("{}\n", lines.join("\n"))).0, &mut BTreeMap::new()).rows_told;
        let (begun, before) = (step("unit-begun", ""), step("before-commit", ""));
        let killed = step("before-commit", r#","armed":"kill""#);
        assert_eq!(of(&[&begun, &before, committed, unit]).unwrap().laps.inserted, 30);
        assert_eq!(of(&[&begun]).unwrap().laps.inserted, 0);
        assert_eq!(of(&[&begun, &killed]).unwrap().laps.inserted, 0, "nothing was sent");
        assert_eq!(of(&[&begun, &before]), None, "nobody knows what came of it");
        assert_eq!(of(&[&begun, &before, committed]), None, "committed, and its rows not told");
        let other = step("unit-begun", "").replace(r#""unit":1"#, r#""unit":2"#);
        assert_eq!(of(&[&begun, &before, &other]), None, "another unit says nothing about this one");
        assert_eq!(of(&[&begun, &before, &begun]).unwrap().laps.inserted, 0, "tried again");
        assert_eq!(of(&[]), None, "without steps nobody knows when it commits");
    }

    #[test]
    fn a_unit_of_three_races_is_three_write_samples_and_one_commit() {
        let text = r#"{"t_us":9,"pid":2,"unit":{"unit":1,"races":3,"laps":30,"batches":1,"acquire_us":1,"write_us":50,"commit_us":5,"rows":{}}}"#;
        let mut stages = BTreeMap::new();
        let digest = digest(&feed::read(&format!("{text}\n")).0, &mut stages);
        assert_eq!(stages[&Stage::Write].len(), 3);
        assert_eq!(stages[&Stage::Commit].len(), 1);
        assert_eq!((digest.durable, digest.write_us), (vec![(9, 30)], 50));
    }
}
