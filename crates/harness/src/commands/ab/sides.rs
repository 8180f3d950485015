//! The two sides from the command line: profile, settings, engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Args;
use crate::ab::SideRecord;
use crate::commands::{Failure, sweep_flag};
use crate::nearest::UnknownName;
use crate::scenario::Scenario;
use crate::trial::attempt::EngineSpec;
use crate::trial::observe::resources;

/// A side, ready to run.
#[derive(Debug, Clone)]
pub(super) struct Runnable {
    /// What is stored of it.
    pub record: SideRecord,
    /// Its engine.
    pub engine: EngineSpec,
}

/// Both sides.
///
/// # Errors
/// What is wrong with one of them, and by which argument.
pub(super) fn of(args: &Args, scenario: &Scenario) -> Result<[Runnable; 2], Failure> {
    let itself = args.aa || args.calibrate;
    let usual = scenario.engine.profiles.first().map_or("fast", String::as_str);
    let builds = args.engine_a.is_some() || args.engine_b.is_some() || args.base.is_some();
    if args.b.is_none() && !itself && !builds {
        return Err(Failure::usage(
            "compare what with what? name two profiles (before fast), two engines (--engine-a, --engine-b), a base \
             (--base REV), or one profile and --aa",
        ));
    }
    let base = match &args.base {
        Some(revision) => Some(super::base::build(revision)?),
        None => None,
    };
    let text_a = args.a.as_deref().unwrap_or(usual);
    let text_b = args.b.as_deref().unwrap_or(text_a);
    let mut a = side("A", text_a, args.engine_a.as_deref(), scenario)?;
    if let Some(base) = base {
        a = with_engine(a, base.program, true, Some("release".to_owned()))?;
        a.record.label = format!("{} of {}", a.record.label, base.revision);
    }
    let mut b = if itself { a.clone() } else { side("B", text_b, args.engine_b.as_deref(), scenario)? };
    if builds && !itself && a.record.label == b.record.label {
        // Both have the same profile: the programs tell them apart.
        if a.record.engine_hash == b.record.engine_hash {
            return Err(Failure::usage("both engines are the same file and the same profile; that is --aa"));
        }
        b.record.label = format!("{} of {}", b.record.label, b.record.engine_path);
        a.record.label = format!("{} of {}", a.record.label, a.record.engine_path);
    }
    if !itself && a.record == b.record {
        return Err(Failure::usage(format!("A and B are both `{text_a}`; to compare it with itself, say --aa")));
    }
    Ok([a, b])
}

/// `fast,writers=1`.
fn side(name: &str, text: &str, engine: Option<&str>, scenario: &Scenario) -> Result<Runnable, Failure> {
    let wrong = |why: String| Failure::usage(format!("{name}: {why}"));
    let mut parts = text.split(',').map(str::trim);
    let profile = parts.next().unwrap_or_default().to_owned();
    let mut settings: BTreeMap<String, String> = scenario.engine.settings.clone();
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| {
            wrong(format!("`{part}` is not of the form NAME=VALUE; a side is a profile and settings: fast,writers=1"))
        })?;
        settings.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    if let Some(engine) = engine.filter(|e| e.contains("{event_id}")) {
        let command: Vec<String> = engine.split_whitespace().map(str::to_owned).collect();
        let spec = EngineSpec::of_command(&command).map_err(|e| wrong(e.to_string()))?;
        let hash = hash(&spec.program)?;
        let record = SideRecord {
            label: engine.to_owned(),
            profile: "external".to_owned(),
            settings: BTreeMap::new(),
            engine_path: spec.program.display().to_string(),
            engine_hash: hash,
            args: spec.args.clone(),
            build_profile: None,
        };
        return Ok(Runnable { record, engine: spec });
    }
    let known = ingest::cli::profile_names();
    if !known.contains(&profile.as_str()) {
        return Err(wrong(UnknownName::new("profile", &profile, &known).to_string()));
    }
    for (key, value) in &settings {
        sweep_flag::setting(key, value).map_err(wrong)?;
    }
    let changed = settings.iter().map(|(k, v)| format!(", {k} = {v}")).collect::<String>();
    let own = std::env::current_exe().map_err(|e| Failure::environment(format!("this program is not found: {e}")))?;
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let record = SideRecord {
        label: format!("{profile}{changed}"),
        profile,
        settings,
        engine_path: String::new(),
        engine_hash: String::new(),
        args: Vec::new(),
        build_profile: None,
    };
    let blank = Runnable { record, engine: EngineSpec::of_build(own.clone(), true) };
    match engine {
        None => with_engine(blank, own, true, Some(build.to_owned())),
        Some(path) => {
            let program = PathBuf::from(path);
            let told = told_version(&program).map_err(wrong)?;
            let harness = match told.split_whitespace().next() {
                Some("harness") => true,
                Some("ingest") => false,
                _ => {
                    return Err(wrong(format!(
                        "{path} is neither a harness nor an ingest (its --version says `{}`); name another engine by its \
                         command, with {{track}} and {{event_id}}",
                        told.lines().next().unwrap_or_default()
                    )));
                }
            };
            let build = ["debug", "release"].into_iter().find(|kind| told.contains(&format!("({kind} build)")));
            with_engine(blank, program, harness, build.map(str::to_owned))
        }
    }
}

fn with_engine(
    side: Runnable,
    program: PathBuf,
    harness: bool,
    build_profile: Option<String>,
) -> Result<Runnable, Failure> {
    let mut record = side.record;
    record.engine_hash = hash(&program)?;
    record.engine_path = program.display().to_string();
    record.build_profile = build_profile;
    let engine = EngineSpec::of_build(program, harness);
    record.args.clone_from(&engine.args);
    Ok(Runnable { record, engine })
}

/// A stored side, if its program is still what it was.
///
/// # Errors
/// When it is not.
pub(super) fn of_record(record: &SideRecord) -> Result<Runnable, Failure> {
    let program = PathBuf::from(&record.engine_path);
    let now = hash(&program)?;
    if now != record.engine_hash {
        return Err(Failure::usage(format!(
            "{} is no longer the program of the interrupted comparison (it was {}, it is {now}); begin a new one",
            record.engine_path, record.engine_hash
        )));
    }
    let own = [true, false].map(|harness| EngineSpec::of_build(program.clone(), harness));
    let external =
        EngineSpec { program, args: record.args.clone(), built_in: false, hashes: false, prefix: Vec::new() };
    let engine = own.into_iter().find(|e| e.args == record.args).unwrap_or(external);
    Ok(Runnable { record: record.clone(), engine })
}

fn hash(program: &Path) -> Result<String, Failure> {
    resources::file_hash(program)
        .map_err(|e| Failure::usage(format!("the engine {} cannot be read: {e}", program.display())))
}

/// What a program answers to `--version`.
fn told_version(program: &Path) -> Result<String, String> {
    let output = std::process::Command::new(program)
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| format!("the engine {} cannot be started: {e}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
