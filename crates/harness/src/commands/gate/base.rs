//! The build that the one under test takes turns with.

use std::path::Path;

use super::super::Failure;
use crate::gate::BaseBuild;
use crate::trial::attempt::EngineSpec;
use crate::trial::observe::resources;

/// How it is started, and what is recorded of it.
pub type Build = (EngineSpec, BaseBuild);

/// A revision, built in a git worktree.
///
/// # Errors
/// When there is no such revision, or it does not build.
pub fn revision(revision: &str) -> Result<Build, Failure> {
    let base = super::super::ab::base::build(revision)?;
    let (spec, record) = build(&base.program)?;
    Ok((spec, BaseBuild { revision: Some(base.revision), ..record }))
}

/// A build by its program: a harness, whose engine is a hidden verb, or an `ingest`.
///
/// # Errors
/// When there is no such program, or it is neither.
pub fn build(path: &Path) -> Result<Build, Failure> {
    let bad = |why: String| Failure::usage(format!("--engine-base {}: {why}", path.display()));
    let program = path.canonicalize().map_err(|e| bad(e.to_string()))?;
    let output = std::process::Command::new(&program)
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| bad(format!("it cannot be started: {e}")))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let spec = match version.split_whitespace().next() {
        Some("harness") => EngineSpec::of_build(program, true),
        Some("ingest") => EngineSpec::of_build(program, false),
        _ => return Err(bad("its --version says neither `harness` nor `ingest`".to_owned())),
    };
    if version.contains("(debug build)") && !cfg!(debug_assertions) {
        return Err(bad("it is a debug build, which a release build is not compared with".to_owned()));
    }
    let hash = resources::file_hash(&spec.program).map_err(|e| bad(e.to_string()))?;
    let engine = spec.program.display().to_string();
    Ok((spec, BaseBuild { engine, hash, revision: None }))
}
