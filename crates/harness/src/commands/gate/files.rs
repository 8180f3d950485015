//! The files of baselines.

use std::path::{Path, PathBuf};

use super::super::Failure;
use super::Args;
use crate::gate::Baseline;
use crate::report;

/// The baseline that is compared with when none is named.
const DEFAULT: &str = "main";

/// Reads the baseline. `None`: one is saved, or there is a base build and no file of the default name.
///
/// # Errors
/// When there is none to compare with, or one that is of no use.
pub fn baseline(args: &Args) -> Result<Option<(String, Baseline)>, Failure> {
    if let Some(name) = &args.save_baseline {
        path(args, name)?;
        return Ok(None);
    }
    let name = args.baseline.as_deref().unwrap_or(DEFAULT);
    let path = path(args, name)?;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if args.baseline.is_none() && (args.engine_base.is_some() || args.base.is_some()) => return Ok(None),
        Err(e) => {
            let there = names(&args.baselines);
            let there = if there.is_empty() {
                format!("{} holds none", args.baselines.display())
            } else {
                format!("there are: {}", there.join(", "))
            };
            return Err(Failure::usage(format!(
                "cannot read the baseline {}: {e}; {there}; make it with `harness gate --save-baseline {name}`, or compare with \
                 a build by --base or --engine-base",
                path.display()
            )));
        }
    };
    let baseline = Baseline::parse(&path.display().to_string(), name, &text).map_err(Failure::usage)?;
    Ok(Some((name.to_owned(), baseline)))
}

/// Writes a baseline, and tells where.
///
/// # Errors
/// When it cannot be written.
pub fn save(args: &Args, name: &str, baseline: &Baseline) -> Result<String, Failure> {
    let path = path(args, name)?;
    let text = baseline.text().map_err(Failure::environment)?;
    std::fs::create_dir_all(&args.baselines)
        .map_err(|e| Failure::environment(format!("cannot make {}: {e}", args.baselines.display())))?;
    report::replace(&path, text.as_bytes())?;
    Ok(path.display().to_string())
}

/// `DIR/NAME.json`. A name is no path.
fn path(args: &Args, name: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Failure::usage(format!(
            "`{name}` is no name of a baseline: letters, digits, `-`, `_` and `.` make one; the folder is --baselines"
        )));
    }
    Ok(args.baselines.join(format!("{name}.json")))
}

/// Names of the baselines that are there.
fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}
