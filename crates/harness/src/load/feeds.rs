//! The workers' feeds: which process worked on which event, from when to when.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contract::feed::{Line, Record};

use super::record::EngineRun;
use crate::trial::drive::Broken;
use crate::trial::observe::feed::FeedFile;

/// Reads every feed: the runs, and the lines that could not be read.
///
/// # Errors
/// A feed is there and cannot be read.
pub fn read(feeds: &[(u32, PathBuf)], events: &BTreeMap<u64, u64>) -> Result<(Vec<EngineRun>, Vec<String>), Broken> {
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    for (pid, path) in feeds {
        let lines = FeedFile::default().read(path).map_err(Broken::io(format!("reading {}", path.display())))?;
        runs.extend(runs_of(*pid, &lines.lines, events));
        errors.extend(lines.errors.into_iter().map(|why| format!("process {pid}: {why}")));
    }
    runs.sort_by_key(|run| run.started_us);
    Ok((runs, errors))
}

/// The runs of one process. `events`: the event of each race.
#[must_use]
pub fn runs_of(pid: u32, lines: &[Line], events: &BTreeMap<u64, u64>) -> Vec<EngineRun> {
    let mut runs: Vec<EngineRun> = Vec::new();
    for line in lines {
        let open = |runs: &mut Vec<EngineRun>, event: u64| {
            runs.iter().rposition(|run| run.event_id == event && run.ended_us.is_none())
        };
        let of_race = |race: &u64| events.get(race).copied();
        match &line.record {
            Record::Started(started) => runs.push(EngineRun {
                pid,
                event_id: started.event_id,
                started_us: line.t_us,
                worked_us: None,
                ended_us: None,
                commits: Vec::new(),
            }),
            Record::Summary(summary) => {
                if let Some(at) = open(&mut runs, summary.event_id) {
                    runs[at].ended_us = Some(line.t_us);
                }
            }
            Record::Race(race) => {
                if let Some(at) = of_race(&race.race).and_then(|event| open(&mut runs, event)) {
                    runs[at].worked_us.get_or_insert(line.t_us);
                }
            }
            Record::Committed(committed) => {
                if let Some(at) = committed.races.first().and_then(of_race).and_then(|event| open(&mut runs, event)) {
                    runs[at].worked_us.get_or_insert(line.t_us);
                    runs[at].commits.push((line.t_us, committed.races.clone()));
                }
            }
            _ => {}
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_several_jobs_at_once_are_told_apart() {
        let text = r#"
{"t_us":1,"pid":9,"started":{"event_id":1,"profile":"fast","settings":{}}}
{"t_us":2,"pid":9,"started":{"event_id":2,"profile":"fast","settings":{}}}
{"t_us":3,"pid":9,"race":{"race":21,"fetch_us":1,"parse_us":1,"page_bytes":1,"laps":1,"attempts":1}}
{"t_us":4,"pid":9,"committed":{"unit":1,"races":[11,12]}}
{"t_us":5,"pid":9,"committed":{"unit":2,"races":[21]}}
{"t_us":6,"pid":9,"summary":{"event_id":1,"exit":0}}
{"t_us":7,"pid":9,"started":{"event_id":1,"profile":"fast","settings":{}}}
"#;
        let (lines, errors) = contract::feed::read(text);
        assert!(errors.is_empty(), "{errors:?}");
        let runs = runs_of(9, &lines, &BTreeMap::from([(11, 1), (12, 1), (21, 2)]));
        let seen: Vec<_> = runs.iter().map(|r| (r.event_id, r.worked_us, r.ended_us, r.commits.len())).collect();
        assert_eq!(seen, [(1, Some(4), Some(6), 1), (2, Some(3), None, 1), (1, None, None, 0)]);
    }
}
