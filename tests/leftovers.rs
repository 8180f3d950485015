//! The harness is killed, or interrupted, at several moments of a run: no process survives it, and what it left goes.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const MARK: &str = "HARNESS_TEST_MARK";

/// Only against a test that never ends: nothing here is judged by how long it takes.
const HUNG: Duration = Duration::from_secs(120);

/// Between two looks at what is waited for.
const POLL: Duration = Duration::from_millis(2);

/// Directories of a test's own, so that no other run's sweep has a part in what is seen here.
struct World {
    base: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        // Root's server runs under another account, which must get through.
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["tmp", "cache", "out"] {
            fs::create_dir(base.path().join(name)).unwrap();
        }
        Self { base }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command
            .args(args)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .env("TMPDIR", self.at("tmp"))
            .env("XDG_CACHE_HOME", self.at("cache"))
            .env("LIVERC_HARNESS_RUNTIME_DIR", self.at("runtime"))
            .env("HARNESS_OUT", self.at("out"))
            .env(MARK, self.base.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts a run whose ingestion is slow enough to be hit, with its output in files.
    fn start(&self, postgres: &str, more: &[&str]) -> Child {
        let file = |name: &str| fs::File::create(self.at(name)).unwrap();
        let mut args = vec!["run", "small-event", "--set", "liverc.min_delay=50ms", "--postgres", postgres];
        args.extend(more);
        self.command(&args).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Processes that run in the name of this world: by their environment, or (a server's, which overwrite theirs) by command
    /// line or working directory.
    fn alive(&self) -> Vec<String> {
        let base = self.base.path().to_string_lossy().into_owned();
        let mark = format!("{MARK}={base}");
        let mut alive = Vec::new();
        for process in procfs::process::all_processes().unwrap().flatten() {
            if !process.stat().is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X')) {
                continue;
            }
            let read = |name: &str| {
                let bytes = fs::read(format!("/proc/{}/{name}", process.pid)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let (environment, words) = (read("environ"), read("cmdline"));
            let inside = process.cwd().is_ok_and(|cwd| cwd.to_string_lossy().contains(&base));
            if environment.contains(&mark) || words.contains(&base) || inside {
                alive.push(format!("{} {words}", process.pid));
            }
        }
        alive
    }

    /// Stops a harness, then its helpers (migration, status, initdb): so they cannot end by themselves, for want of a server,
    /// once it is killed.
    fn freeze_helpers(&self, child: &Child) {
        kill(pid(child), Signal::SIGSTOP).unwrap();
        let stopped = || procfs::process::Process::new(pid(child).as_raw()).unwrap().stat().unwrap().state == 'T';
        while !stopped() {
            std::thread::sleep(POLL);
        }
        for words in self.alive() {
            if words.contains(" __engine ") || words.contains("/initdb ") {
                let pid = words.split(' ').next().unwrap().parse().unwrap();
                let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
            }
        }
    }

    /// Waits until none of them is left.
    fn all_gone(&self, moment: &str) {
        let began = Instant::now();
        loop {
            let alive = self.alive();
            if alive.is_empty() {
                return;
            }
            if began.elapsed() > HUNG {
                for words in &alive {
                    let _ = kill(Pid::from_raw(words.split(' ').next().unwrap().parse().unwrap()), Signal::SIGKILL);
                }
                panic!("killed {moment}: {alive:#?} survive");
            }
            std::thread::sleep(POLL);
        }
    }

    /// What of ours is on disk besides reports.
    fn left(&self) -> Vec<PathBuf> {
        let ours = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("liverc-") || name.starts_with("new-") || path.parent() == Some(&self.at("runtime"))
        };
        let places = [self.at("tmp"), self.at("runtime"), self.at("cache").join("liverc-harness")];
        places.iter().flat_map(|place| entries(place)).filter(ours).collect()
    }

    /// The run's directory, when there is one.
    fn run_directory(&self) -> Option<PathBuf> {
        entries(&self.at("out")).into_iter().find(|path| path.is_dir())
    }

    fn file(&self, below_run: &str) -> String {
        self.run_directory().and_then(|dir| fs::read_to_string(dir.join(below_run)).ok()).unwrap_or_default()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.at("stderr")).unwrap_or_default()
    }

    /// Watches until it has come to a moment.
    fn until(&self, child: &mut Child, what: &str, moment: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !moment(self) {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the run ended before it was {what}: {ended:?}\n{}", self.stderr());
            assert!(began.elapsed() < HUNG, "the run never was {what}\n{}", self.stderr());
            std::thread::sleep(POLL);
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map(|dir| dir.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// A moment of a run, by what is to be seen of it from outside.
type Moment = (&'static str, fn(&World) -> bool);

fn server_directory(world: &World) -> Option<PathBuf> {
    entries(&world.at("tmp")).into_iter().find(|path| path.to_string_lossy().contains("liverc-pg-"))
}

const MAKING_THE_SERVER: Moment = ("making the server's directory", |world| server_directory(world).is_some());
const STARTING_THE_SERVER: Moment = ("starting the server", |world| {
    server_directory(world).is_some_and(|dir| dir.join("data/postmaster.pid").exists())
});
const MIGRATING: Moment = ("migrating", |world| world.alive().iter().any(|words| words.contains("__engine migrate")));
const INGESTING: Moment =
    ("ingesting", |world| world.file("trials/001-fast/feed-1-1.jsonl").contains("\"race-fetched\""));
const VERIFYING: Moment = ("verifying", |world| {
    // The engine has said its last word; what follows is the harness's looking.
    world.file("trials/001-fast/feed-1-1.jsonl").contains("\"summary\"")
});
const INGESTING_AGAIN: Moment =
    ("ingesting once more", |world| !world.file("trials/001-fast/feed-2-1.jsonl").is_empty());

/// Kills a run at a moment and sees that no process survives.
fn kill_at(world: &World, (what, moment): Moment) {
    let mut child = world.start("local", &[]);
    world.until(&mut child, what, moment);
    world.freeze_helpers(&child);
    child.kill().unwrap();
    child.wait().unwrap();
    world.all_gone(what);
}

/// `doctor --clean` names what was left and removes it.
fn doctor_cleans(world: &World, what: &str) {
    let left = world.left();
    assert!(!left.is_empty(), "killed {what}, a run leaves something to clean");
    // A look alone removes nothing.
    let looked = world.run(&["doctor", "--json", "--postgres", "local"]);
    assert_eq!(looked.status.code(), Some(0), "{}", String::from_utf8_lossy(&looked.stderr));
    assert_eq!(world.left(), left, "killed {what}");
    let cleaned = world.run(&["doctor", "--clean", "--json", "--postgres", "local"]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", String::from_utf8_lossy(&cleaned.stdout));
    let json: Value = serde_json::from_slice(&cleaned.stdout).unwrap();
    for path in left {
        let found = json["leftovers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["what"].to_string().contains(path.to_str().unwrap()));
        assert_eq!(found.map(|l| l["removed"] == true), Some(true), "killed {what}: {} in {json}", path.display());
    }
    assert_eq!(world.left(), Vec::<PathBuf>::new(), "killed {what}");
}

#[test]
fn nothing_survives_a_harness_that_is_killed_while_it_starts() {
    let world = World::new();
    for moment in [MAKING_THE_SERVER, STARTING_THE_SERVER, MIGRATING] {
        kill_at(&world, moment);
        doctor_cleans(&world, moment.0);
    }
}

#[test]
fn nothing_survives_a_harness_that_is_killed_while_it_works_and_the_next_run_removes_the_rest() {
    for moment in [INGESTING, VERIFYING, INGESTING_AGAIN] {
        let world = World::new();
        kill_at(&world, moment);
        let killed = world.run_directory().expect("a killed run leaves what it has measured");
        assert!(!world.left().is_empty(), "killed {}", moment.0);
        // An engine that does nothing makes a short run.
        let next = world.run(&["run", "small-event", "--engine", "true {event_id}", "--postgres", "local", "-v"]);
        let stderr = String::from_utf8_lossy(&next.stderr).into_owned();
        assert_eq!(next.status.code(), Some(4), "{stderr}");
        assert!(stderr.contains("removed what a killed run left"), "{stderr}");
        assert_eq!(world.left(), Vec::<PathBuf>::new(), "killed {}", moment.0);
        let report = world.run(&["report", killed.to_str().unwrap()]);
        assert_eq!(report.status.code(), Some(0), "{}", String::from_utf8_lossy(&report.stderr));
        let index = fs::read_to_string(world.at("out").join("index.html")).unwrap();
        assert!(index.contains(killed.file_name().unwrap().to_str().unwrap()), "the index has the killed run as well");
    }
}

/// Control groups of the harness on this machine that carry a process's id.
fn groups_of(pid: u32) -> Vec<PathBuf> {
    fn below(directory: &Path, mark: &str, found: &mut Vec<PathBuf>) {
        for path in entries(directory).into_iter().filter(|path| path.is_dir() && !path.is_symlink()) {
            if path.file_name().unwrap().to_string_lossy().contains(mark) {
                found.push(path.clone());
            }
            below(&path, mark, found);
        }
    }
    let mut found = Vec::new();
    below(Path::new("/sys/fs/cgroup"), &format!("_{pid}_"), &mut found);
    found
}

#[test]
fn the_doctor_and_the_next_run_remove_the_small_disk_and_the_control_group_of_a_killed_run() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: mounting a small disk needs root");
    }
    // The second of them never comes: it only has the engine start in a group of its own.
    let args = ["--fault", "unit-begun#1=db-full:100s", "--fault", "race-fetched#999=out-of-memory"];
    let mounts = |world: &World| {
        let all = fs::read_to_string("/proc/self/mounts").unwrap();
        all.lines()
            .filter(|line| line.contains(world.at("tmp").to_str().unwrap()))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for cleaner in ["the doctor", "the next run"] {
        let world = World::new();
        let mut child = world.start("local", &args);
        world.until(&mut child, "working on a small disk", |world| {
            let full = |path: &PathBuf| path.join("ballast").exists();
            entries(&world.at("tmp")).iter().any(full)
        });
        let (id, groups) = (child.id(), groups_of(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        world.all_gone("while its disk was full");
        assert_eq!(mounts(&world).len(), 1, "a killed run leaves its mount");
        assert_eq!(groups_of(id), groups);
        if cleaner == "the doctor" {
            doctor_cleans(&world, "while its disk was full");
        } else {
            let next = world.run(&["run", "small-event", "--engine", "true {event_id}", "--postgres", "local"]);
            assert_eq!(next.status.code(), Some(4), "{}", String::from_utf8_lossy(&next.stderr));
        }
        assert_eq!(mounts(&world), Vec::<String>::new(), "{cleaner}");
        assert_eq!(world.left(), Vec::<PathBuf>::new(), "{cleaner}");
        assert_eq!(groups_of(id), Vec::<PathBuf>::new(), "{cleaner}");
    }
}

#[test]
fn an_engine_that_would_go_on_for_ever_ends_with_the_harness() {
    let world = World::new();
    // Deaf to all that can be ignored: only SIGKILL ends it.
    let engine = world.at("deaf");
    fs::write(&engine, "#!/bin/sh\ntrap '' HUP INT TERM\nexec sleep 100000\n").unwrap();
    fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    let is_there = |world: &World| world.alive().iter().any(|words| words.contains("sleep 100000"));
    let command = format!("{} {{event_id}}", engine.display());
    let start = || {
        let args = ["run", "small-event", "--engine", &command, "--postgres", "local"];
        let mut child = world.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        world.until(&mut child, "running its engine", is_there);
        child
    };
    let mut killed = start();
    killed.kill().unwrap();
    killed.wait().unwrap();
    world.all_gone("while its engine goes on for ever");
    let mut interrupted = start();
    kill(pid(&interrupted), Signal::SIGINT).unwrap();
    assert_eq!(interrupted.wait().unwrap().code(), Some(130));
    assert_eq!(world.alive(), Vec::<String>::new());
}

#[test]
fn an_interrupted_run_leaves_its_report_and_nothing_else() {
    let world = World::new();
    let mut child = world.start("local", &["--trials", "3"]);
    world.until(&mut child, "ingesting in its second trial", |world| {
        world.file("trials/002-fast/feed-1-1.jsonl").contains("\"race-fetched\"")
    });
    kill(pid(&child), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", world.stderr());
    assert_eq!(world.alive(), Vec::<String>::new(), "when it has ended, all have");
    assert_eq!(world.left(), Vec::<PathBuf>::new());
    let result: Value = serde_json::from_str(&world.file("result.json")).unwrap();
    assert_eq!((result["interrupted"].as_bool(), result["exit"].as_u64()), (Some(true), Some(130)));
    let trials = result["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 1, "what was measured is kept, what was not is no trial");
    assert!(trials[0]["broken"].is_null());
    assert!(world.file("report.html").contains("interrupted"));
    assert!(world.at("out").join("index.html").exists());
}

#[test]
fn a_run_that_is_interrupted_while_it_starts_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let world = World::new();
        let mut child = world.start("local", &[]);
        world.until(&mut child, MAKING_THE_SERVER.0, MAKING_THE_SERVER.1);
        kill(pid(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{}", world.stderr());
        assert_eq!(world.alive(), Vec::<String>::new());
        assert_eq!(world.left(), Vec::<PathBuf>::new());
        assert_eq!(world.run_directory(), None, "nothing was measured");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_a_killed_run_on_a_server_of_others_are_removed() {
    use sandbox::postgres::{Choice, Options, Server, connect};
    let host = Server::obtain(&Choice::local_first(), &Options::default()).await.unwrap();
    let url = host.admin_url().expose().to_owned();
    let ours = async || -> i64 {
        let mut connection = connect(host.admin_url()).await.unwrap();
        let count = "SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE 'liverc%') + \
                     (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'liverc%')";
        sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap()
    };
    let world = World::new();
    let kill_it = || {
        let mut child = world.start(&url, &[]);
        world.until(&mut child, INGESTING.0, INGESTING.1);
        child.kill().unwrap();
        child.wait().unwrap();
        world.all_gone(INGESTING.0);
        fs::remove_dir_all(world.run_directory().unwrap()).unwrap();
    };
    kill_it();
    assert_eq!(ours().await, 3, "a template, a trial, a role");
    let cleaned = world.run(&["doctor", "--clean", "--postgres", &url]);
    let stdout = String::from_utf8_lossy(&cleaned.stdout).into_owned();
    assert_eq!(cleaned.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains("database liverc_harness_") && stdout.contains("removed"), "{stdout}");
    assert_eq!(ours().await, 0);
    kill_it();
    let next = world.run(&["run", "small-event", "--engine", "true {event_id}", "--postgres", &url]);
    assert_eq!(next.status.code(), Some(4), "{}", String::from_utf8_lossy(&next.stderr));
    assert_eq!(ours().await, 0, "the next run removes them, and its own");
    host.dispose().await.unwrap();
}

/// Names of the containers of a process.
fn containers_of(pid: u32) -> Vec<String> {
    let mut list = Command::new("docker");
    list.args(["ps", "--all", "--filter", "label=liverc-harness", "--format", "{{.Names}}"]);
    let output = list.output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    output.lines().filter(|name| name.contains(&format!("_{pid}_"))).map(str::to_owned).collect()
}

#[test]
fn no_container_survives_a_killed_harness() {
    let probe = World::new().run(&["doctor", "--json", "--postgres", "docker"]);
    if probe.status.code() != Some(0) {
        return eprintln!("skipped: no Docker, or no image");
    }
    for what in ["starting its container", INGESTING.0] {
        let world = World::new();
        let mut child = world.start("docker", &[]);
        let id = child.id();
        if what == INGESTING.0 {
            world.until(&mut child, what, INGESTING.1);
        } else {
            world.until(&mut child, what, |_| !containers_of(id).is_empty());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        world.all_gone(what);
        let began = Instant::now();
        while !containers_of(id).is_empty() {
            assert!(began.elapsed() < HUNG, "killed {what}: {:?} survive", containers_of(id));
            std::thread::sleep(POLL);
        }
    }
}
