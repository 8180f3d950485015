//! What a user sees when something is wrong: the exit code, the message with what to do, and no password.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use std::path::Path;
use std::process::Output;

use support::{Reports, harness, text};

/// Runs, and asserts exit code and parts of the message.
fn refused(command: &mut assert_cmd::Command, code: i32, parts: &[&str]) -> Output {
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is missing in: {stderr}");
    }
    output
}

/// `run small-event` with these arguments is a mistake: exit code 2, and nothing was made.
fn mistake(args: &[&str], parts: &[&str]) {
    let reports = Reports::new();
    let out = reports.path().join("reports");
    let mut command = harness(&["run", "small-event", "--out"]);
    refused(command.arg(&out).args(args), 2, parts);
    assert!(!out.exists(), "refused before anything is made: {args:?}");
}

#[test]
fn settings_and_sweeps_are_refused_before_anything_starts() {
    mistake(&["--sweep", "race_concurency=1,2"], &["--sweep", "did you mean `race_concurrency`?"]);
    mistake(&["--sweep", "race_concurrency=1,none"], &["--sweep", "race_concurrency = `none`", "whole number"]);
    mistake(&["--sweep", "write_path=copy,insrt"], &["did you mean `insert`?"]);
    mistake(&["--sweep", "race_concurrency"], &["--sweep", "NAME=VALUE"]);
    mistake(&["--sweep", "race_concurrency=1,2", "--set", "race_concurrency=4"], &["--sweep", "--set"]);
    mistake(&["--sweep", "race_concurrency=1,2", "--engine", "true {event_id}"], &["--sweep", "built-in"]);
    mistake(&["--sweep", "liverc.base_url=https://a.example,https://b.example"], &["harness"]);
    mistake(&["--set", "race_concurrency=0"], &["--set", "race_concurrency = `0`", "whole number"]);
    mistake(&["--set", "lap_bacth=5"], &["--set", "did you mean `lap_batch`?"]);
    mistake(&["--set", "profile=before"], &["--set", "--profile"]);
}

#[test]
fn a_bad_value_in_a_scenario_is_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, "# Mine.\n[event]\nsize = \"small\"\n[engine]\nsettings = { lap_batch = 0 }\n").unwrap();
    refused(&mut harness(&["run", file.to_str().unwrap(), "--out", "/nonexistent"]), 2, &["mine", "lap_batch = `0`"]);
}

#[test]
fn a_scenario_that_cannot_be_read_says_which() {
    refused(
        &mut harness(&["run", "/nonexistent/mine.toml"]),
        2,
        &["cannot read /nonexistent/mine.toml", "No such file"],
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    refused(&mut harness(&["run", path]), 2, &["cannot read", path, "directory"]);
}

#[test]
fn a_bad_word_for_postgres_says_what_to_write() {
    mistake(&["--postgres", "dokcer"], &["dokcer", "auto, docker, local"]);
    mistake(&["--postgres", "mysql://ann@h/d"], &["mysql", "postgres://"]);
    refused(&mut harness(&["doctor", "--postgres", "dokcer"]), 2, &["auto, docker, local"]);
}

#[test]
fn without_postgres_every_verb_says_how_to_get_one() {
    let empty = tempfile::tempdir().unwrap();
    let bare = |args: &[&str]| {
        let mut command = harness(args);
        let out = empty.path().join("out");
        command.env("PATH", empty.path()).env("PG_BIN", "/nonexistent/bin").env("HARNESS_OUT", out);
        command.env("DOCKER_HOST", format!("unix://{}/none.sock", empty.path().display()));
        command
    };
    let how = ["/nonexistent/bin", "apt install postgresql", "PG_BIN", "postgres://"];
    refused(&mut bare(&["run", "small-event", "--postgres", "local"]), 5, &how);
    refused(&mut bare(&["run", "small-event", "--postgres", "auto"]), 5, &how);
    refused(&mut bare(&["run", "small-event", "--postgres", "docker"]), 5, &["Docker"]);
    let doctor = bare(&["doctor"]).output().unwrap();
    let stdout = text(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(5), "{stdout}");
    assert!(stdout.contains("No database can be had") && stdout.contains("apt install postgresql"), "{stdout}");
}

#[test]
fn a_doctor_that_finds_a_database_exits_0_and_says_which() {
    let output = harness(&["doctor", "--postgres", "local"]).output().unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    for part in ["Docker", "PostgreSQL", "started and answered", "memory", "temporary", "A database can be had: local"]
    {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let json = harness(&["doctor", "--postgres", "local", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json["database"].as_str().unwrap().starts_with("local"), "{json}");
    assert!(json["checks"].as_array().unwrap().iter().any(|c| c["name"] == "PostgreSQL" && c["state"] == "ok"));
}

#[test]
fn a_password_is_never_printed() {
    let reports = Reports::new();
    let out = reports.path().to_str().unwrap();
    let url = "postgres://ann:s3cret-word@127.0.0.1:1/races";
    for args in [
        vec!["run", "small-event", "-vv", "--out", out, "--postgres", url],
        vec!["run", "small-event", "--out", out, "--postgres", "postgres://ann:s3cret-word@127.0.0.1:port/races"],
        vec!["run", "small-event", "--out", out, "--postgres", "ann:s3cret-word@127.0.0.1/races"],
        vec!["run", "small-event", "--postgres", url, "--profile", "fsat"],
        vec!["run", "--postgres", url],
        vec!["doctor", "-vv", "--postgres", url],
        vec!["doctor", "--json", "--clean", "--postgres", url],
    ] {
        let output = harness(&args).output().unwrap();
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success() && !all.contains("s3cret-word"), "{args:?}: {all}");
    }
    let help = harness(&["run", "--help"]).env("HARNESS_POSTGRES", url).output().unwrap();
    assert!(!text(&help.stdout).contains("s3cret-word"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_on_a_url_leaves_its_password_nowhere() {
    use sandbox::postgres::{Choice, Options, Server, connect};
    let host = Server::obtain(&Choice::local_first(), &Options::default()).await.unwrap();
    let mut connection = connect(host.admin_url()).await.unwrap();
    let role = "CREATE ROLE ann SUPERUSER LOGIN PASSWORD 's3cret-word'";
    sqlx::raw_sql(role).execute(&mut connection).await.unwrap();
    let url = host.admin_url().with_role("ann", Some("s3cret-word"));
    let reports = Reports::new();
    let args = ["run", "small-event", "-vv", "--keep", "--postgres", url.expose(), "--out"];
    let output = harness(&args).arg(reports.path()).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    host.dispose().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    assert!(!(stdout + &stderr).contains("s3cret-word"));
    let mut seen = 0;
    each_file(reports.path(), &mut |path, bytes| {
        seen += 1;
        assert!(!text(bytes).contains("s3cret-word"), "{}", path.display());
    });
    assert!(seen > 8, "report, record and the kept files: {seen}");
}

fn each_file(directory: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, look);
        } else {
            look(&path, &std::fs::read(&path).unwrap());
        }
    }
}

/// A small disk of its own; `None` where none can be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "harness-test"]).arg(at.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: no tmpfs can be mounted here");
        }
        mounted.then_some(Self(at))
    }

    /// Fills it but for so many bytes.
    fn fill_but(&self, bytes: u64) {
        let found = nix::sys::statvfs::statvfs(self.0.path()).unwrap();
        let free = found.blocks_available() * found.fragment_size();
        std::fs::write(self.0.path().join("ballast"), vec![0; usize::try_from(free - bytes).unwrap()]).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// A run on a disk with so much space fails, exits 5, and says what is full and what to do.
fn full_with(free: u64) {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    disk.fill_but(free);
    let mut command = harness(&["run", "small-event", "--postgres", "local", "--out"]);
    let path = disk.0.path().to_str().unwrap();
    refused(command.arg(path), 5, &[path, "No space left on device", "--out"]);
}

#[test]
fn a_disk_that_is_full_at_once_exits_5() {
    full_with(0);
}

#[test]
fn a_disk_that_fills_up_in_the_run_exits_5() {
    // Enough for the trial's files, not for the report.
    full_with(160 << 10);
}

#[test]
fn a_folder_that_cannot_be_made_exits_5_before_a_server_is_started() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let out = file.path().join("reports");
    let mut command = harness(&["run", "small-event", "--postgres", "local", "--out"]);
    refused(command.arg(&out), 5, &[out.to_str().unwrap(), "--out"]);
}
