//! `--base REV`: the harness of another revision, built in a git worktree and kept by revision.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::Failure;

/// A built revision.
pub(in crate::commands) struct Base {
    /// The program, a harness.
    pub program: PathBuf,
    /// Revision, shortened.
    pub revision: String,
}

/// Builds a revision's harness in release mode, unless it is there already. Under the build directory of this program:
/// `bases/<revision>/harness`, and one shared build directory, so that only the first base pays for the dependencies.
///
/// # Errors
/// No such revision, no git, or a build that fails.
pub(in crate::commands) fn build(revision: &str) -> Result<Base, Failure> {
    let top = PathBuf::from(git(None, &["rev-parse", "--show-toplevel"])?);
    let commit = format!("{revision}^{{commit}}");
    let full = git(None, &["rev-parse", "--verify", "--end-of-options", &commit])
        .map_err(|why| Failure::usage(format!("--base: there is no revision `{revision}` here: {why}")))?;
    let short = full.chars().take(12).collect::<String>();
    let own = std::env::current_exe().map_err(|e| Failure::environment(format!("this program is not found: {e}")))?;
    // target/release/harness → target/bases
    let bases = own.parent().and_then(Path::parent).unwrap_or(&top).join("bases");
    let (folder, source) = (bases.join(&short), bases.join(&short).join("source"));
    let program = folder.join("harness");
    if program.is_file() {
        return Ok(Base { program, revision: short });
    }
    std::fs::create_dir_all(&folder)
        .map_err(|e| Failure::environment(format!("cannot make {}: {e}", folder.display())))?;
    // Two comparisons with the same base wait for each other here.
    let lock = std::fs::File::create(bases.join("lock"))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|e| Failure::environment(format!("cannot lock {}: {e}", bases.display())))?;
    if !program.is_file() {
        eprintln!("building {short} ({revision}) in {}: minutes the first time, seconds later", source.display());
        // What an interrupted build left.
        let _ = git(Some(&top), &["worktree", "remove", "--force", &source.display().to_string()]);
        let _ = std::fs::remove_dir_all(&source);
        git(Some(&top), &["worktree", "prune"]).map_err(Failure::environment)?;
        git(Some(&top), &["worktree", "add", "--detach", "--force", &source.display().to_string(), &full])
            .map_err(|why| Failure::environment(format!("--base: no worktree of {short}: {why}")))?;
        let built = compile(&source, &bases.join("build"), &program);
        let _ = git(Some(&top), &["worktree", "remove", "--force", &source.display().to_string()]);
        built?;
    }
    drop(lock);
    Ok(Base { program, revision: short })
}

fn compile(source: &Path, target: &Path, program: &Path) -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "-p", "harness", "--bin", "harness"])
        .current_dir(source)
        .env("CARGO_TARGET_DIR", target)
        .stdin(std::process::Stdio::null())
        // Cargo tells its progress on standard error; standard output is the harness's result.
        .stdout(std::io::stderr())
        .status()
        .map_err(|e| Failure::environment(format!("--base: cargo cannot be started: {e}")))?;
    if !status.success() {
        return Err(Failure::environment(format!(
            "--base: the revision in {} does not build ({status}); what cargo said is above",
            source.display()
        )));
    }
    let copied = program.with_extension("new");
    std::fs::copy(target.join("release/harness"), &copied)
        .and_then(|_| std::fs::rename(&copied, program))
        .map_err(|e| Failure::environment(format!("cannot write {}: {e}", program.display())))
}

/// What git prints, without the line feed at its end.
fn git(dir: Option<&Path>, args: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let output = command
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| Failure::environment(format!("git cannot be started: {e}")))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(Failure::usage(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
