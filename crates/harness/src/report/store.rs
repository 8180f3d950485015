//! The rim: a run's files are written whole or not at all, and read back with errors that say what to do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::trial::record::{RunRecord, SCHEMA, TrialRecord};

use super::index::{Entry, Line, Schema, TITLE, index_html};
use super::plots::{self, PlotError};
use super::{html, junit, overall, result_json, scrub, summary};

/// Name of the file with everything.
const RESULT: &str = "result.json";

/// The run without its trials, written as it begins: what a killed run is read from, with [`TRIALS`].
const HEADER: &str = "run.json";

/// One line per trial, appended as it ends.
const TRIALS: &str = "trials.jsonl";

/// What went wrong at the rim.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be written: no space, no right, no such folder.
    #[error("cannot write {path}: {source}; free space there or choose another folder with --out")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no run in the folder.
    #[error(
        "{dir} holds no run: neither {RESULT} nor {HEADER} is there; name a folder that `harness run` has written, as reports/<scenario>-<time>"
    )]
    Missing {
        /// Which folder.
        dir: PathBuf,
    },
    /// A file is no record of a run.
    #[error("{path} is not a run's record: {why}; it was not written by this harness, or was changed since")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What does not fit, with its line.
        why: String,
    },
    /// A file's schema is not this harness's.
    #[error("{path} has schema {found}, this harness reads {SCHEMA}: {}", if *.found > SCHEMA { "it was made by a newer harness; use that one" } else { "it was made by an older harness; run the scenario again" })]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
    /// A format could not be made of the record: a fault of the harness.
    #[error("cannot make {file}: {cause}; this is a fault of the harness")]
    Format {
        /// Which file.
        file: String,
        /// Why.
        cause: String,
    },
    /// A plot could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

impl ReportError {
    /// Exit code by DESIGN 10: 5 where the environment failed, 2 where a wrong folder was named.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Missing { .. } | Self::Malformed { .. } | Self::Schema { .. } => 2,
            Self::Write { .. } | Self::Read { .. } | Self::Format { .. } | Self::Plot(_) => 5,
        }
    }
}

/// Files that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Folder of the run.
    pub dir: PathBuf,
    /// Files in it.
    pub files: Vec<PathBuf>,
}

/// Writes every file of a run but `trials.jsonl`, which grows during it. `result.json` comes first: all others can be
/// made again from it.
///
/// # Errors
/// The first file that could not be written, by name.
pub fn write(run: &RunRecord, dir: &Path) -> Result<Written, ReportError> {
    let format = |file: &str, cause: String| ReportError::Format { file: file.to_string(), cause };
    let mut files = vec![(RESULT.to_string(), result_json(run).map_err(|e| format(RESULT, e.to_string()))?)];
    let plots = plots::all(run)?;
    files.push(("report.html".to_string(), html::report(run, &plots)));
    files.push(("summary.md".to_string(), summary::markdown(run)));
    files.push(("junit.xml".to_string(), junit::xml(run).map_err(|e| format("junit.xml", e.to_string()))?));
    files.extend(plots.iter().map(|p| (format!("plots/{}.svg", p.name), scrub(&p.standalone()))));
    for folder in [dir.to_path_buf(), dir.join("plots")] {
        fs::create_dir_all(&folder).map_err(|source| ReportError::Write { path: folder, source })?;
    }
    let mut written = Vec::with_capacity(files.len());
    for (name, text) in files {
        let path = dir.join(name);
        replace(&path, text.as_bytes())?;
        written.push(path);
    }
    Ok(Written { dir: dir.to_path_buf(), files: written })
}

/// Writes a file beside its place, makes it durable, and moves it there: a reader sees the old or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself is durable when the folder is.
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    })();
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        ReportError::Write { path: path.to_path_buf(), source }
    })
}

/// Writes `run.json`, the record without its trials, as a run begins: with `trials.jsonl` it is what a killed run leaves.
///
/// # Errors
/// When it cannot be written.
pub fn write_header(run: &RunRecord, dir: &Path) -> Result<(), ReportError> {
    let header = RunRecord { trials: Vec::new(), ..run.clone() };
    let text =
        result_json(&header).map_err(|e| ReportError::Format { file: HEADER.to_string(), cause: e.to_string() })?;
    fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_path_buf(), source })?;
    replace(&dir.join(HEADER), text.as_bytes())
}

/// Appends a trial's line to `trials.jsonl` as the trial ends, durable on return.
///
/// # Errors
/// When it cannot be written.
pub fn append_trial(trial: &TrialRecord, dir: &Path) -> Result<(), ReportError> {
    let path = dir.join(TRIALS);
    let mut trial = trial.clone();
    trial.metrics.retain(|_, value| value.is_finite());
    trial.statements.retain(|s| s.exec_us.is_finite());
    let mut line = serde_json::to_string(&trial)
        .map(|text| scrub(&text))
        .map_err(|e| ReportError::Format { file: TRIALS.to_string(), cause: e.to_string() })?;
    line.push('\n');
    let appended = OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| {
        file.write_all(line.as_bytes())?;
        file.sync_data()
    });
    appended.map_err(|source| ReportError::Write { path, source })
}

/// Reads a run back: `result.json`, or what a killed run left (`run.json` and `trials.jsonl`), which is then *interrupted*.
///
/// # Errors
/// No run there, or one that this harness cannot read.
pub fn load(dir: &Path) -> Result<RunRecord, ReportError> {
    if let Some(text) = read(&dir.join(RESULT))? {
        return record(&dir.join(RESULT), &text);
    }
    let header = dir.join(HEADER);
    let Some(text) = read(&header)? else { return Err(ReportError::Missing { dir: dir.to_path_buf() }) };
    let mut run = record(&header, &text)?;
    let path = dir.join(TRIALS);
    let lines = read(&path)?.unwrap_or_default();
    let whole = lines.ends_with('\n');
    let count = lines.lines().count();
    for (i, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match trial(&path, line, i + 1) {
            Ok(trial) => run.trials.push(trial),
            // The harness was killed while it wrote the last line.
            Err(ReportError::Malformed { .. }) if i + 1 == count && !whole => {
                run.environment
                    .remarks
                    .push(format!("Line {count} of {TRIALS} was cut short; that trial is left out."));
            }
            Err(e) => return Err(e),
        }
    }
    run.interrupted = true;
    run.run_us = run.run_us.max(run.trials.iter().map(|t| t.trial_us).sum());
    run.exit = overall::exit_code_of(&run);
    Ok(run)
}

/// A file's text; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<String>, ReportError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path: path.to_path_buf(), source }),
    }
}

/// The schema first: a file of another schema fails to parse for reasons that would mislead.
fn schema(path: &Path, text: &str, line: Option<usize>) -> Result<(), ReportError> {
    let malformed = |why: String| ReportError::Malformed { path: path.to_path_buf(), why: at(line, why) };
    let schema: Schema = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
    match schema.schema {
        Some(SCHEMA) => Ok(()),
        Some(found) => Err(ReportError::Schema { path: path.to_path_buf(), found }),
        None => Err(malformed("it has no field `schema`".to_string())),
    }
}

fn at(line: Option<usize>, why: String) -> String {
    line.map_or(why.clone(), |n| format!("line {n}: {why}"))
}

fn record(path: &Path, text: &str) -> Result<RunRecord, ReportError> {
    schema(path, text, None)?;
    serde_json::from_str(text).map_err(|e| ReportError::Malformed { path: path.to_path_buf(), why: e.to_string() })
}

fn trial(path: &Path, text: &str, line: usize) -> Result<TrialRecord, ReportError> {
    schema(path, text, Some(line))?;
    serde_json::from_str(text)
        .map_err(|e| ReportError::Malformed { path: path.to_path_buf(), why: at(Some(line), e.to_string()) })
}

/// The index's line of a run; a gate's has the gate's verdict.
fn line(run: &RunRecord, dir: &Path) -> Result<Line, ReportError> {
    let line = Line::of(run);
    Ok(match crate::gate::report::load(dir)? {
        Some(gate) => line.gated(&crate::gate::verdict(run, &gate)),
        None => line,
    })
}

/// Whether a folder is a reports' root: its `index.html` is ours, or it has none and everything in it is a run. Other folders
/// that a run was copied to get no page, and no page of somebody else is replaced.
#[must_use]
pub fn is_root(dir: &Path) -> bool {
    match fs::read_to_string(dir.join("index.html")) {
        Ok(page) => page.contains(&format!("<title>{TITLE}</title>")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::read_dir(dir).is_ok_and(|entries| {
            let is_run = |path: PathBuf| path.join(RESULT).is_file() || path.join(HEADER).is_file();
            entries.flatten().all(|entry| is_run(entry.path()))
        }),
        Err(_) => false,
    }
}

/// Writes `index.html` at the reports' root, of every folder that holds a run; what cannot be read is listed as such.
///
/// # Errors
/// When the root cannot be read or the page not be written. A run that cannot be read is no error.
pub fn write_index(root: &Path) -> Result<PathBuf, ReportError> {
    let unreadable = |source| ReportError::Read { path: root.to_path_buf(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let folder = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let run = match load(&path).and_then(|run| line(&run, &path)) {
            Ok(line) => Ok(line),
            Err(ReportError::Missing { .. }) => continue,
            Err(ReportError::Read { .. }) if !path.is_dir() => continue,
            Err(e) => Err(e.to_string()),
        };
        entries.push(Entry { folder, run });
    }
    entries.sort_by(|a, b| a.folder.cmp(&b.folder));
    let path = root.join("index.html");
    replace(&path, index_html(&entries).as_bytes())?;
    Ok(path)
}
