//! Limits met, and not met, by a program that eats memory.

use std::io::BufRead as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};

use super::*;

const EAT: &str = "HARNESS_TEST_EATS_MEMORY";

/// Not a test: what the others start, this program once more. It waits for a line, takes 200 MB, and ends well.
#[test]
fn eats_memory() {
    if std::env::var_os(EAT).is_none() {
        return;
    }
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let mut all = Vec::new();
    for _ in 0..200 {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
    assert_eq!(all.len(), 200);
}

fn eater() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "world::memory::tests::eats_memory", "--test-threads=1", "--nocapture"]);
    command.env(EAT, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Starts one and waits until it has begun, so that a limit does not meet its loader.
fn started(limit: &MemoryLimit) -> Child {
    let mut command = eater();
    limit.on_command(&mut command).unwrap();
    let mut child = command.spawn().unwrap();
    let said = std::io::BufReader::new(child.stdout.as_mut().unwrap());
    assert!(said.lines().any(|line| line.unwrap() == "ready"));
    child
}

fn fed(mut child: Child) -> Exit {
    drop(child.stdin.take());
    exit(child.wait().unwrap())
}

fn exit(status: ExitStatus) -> Exit {
    status.signal().map_or_else(|| Exit::Code(status.code().unwrap()), Exit::Signal)
}

fn group_or_skip() -> bool {
    let group = Group::make(Some(1 << 20));
    if let Err(why) = &group {
        eprintln!("skipped: no control group can be made here: {why}");
    }
    group.is_ok()
}

#[test]
fn a_group_kills_what_goes_past_it_from_the_start_or_later() {
    if !group_or_skip() {
        return;
    }
    let limit = MemoryLimit::of(50 << 20);
    let mut command = eater();
    limit.on_command(&mut command).unwrap();
    let ended = fed(command.spawn().unwrap());
    assert_eq!(ended, Exit::Signal(9));
    let Met::Yes(evidence) = limit.met(ended) else { panic!("not met") };
    assert!(evidence.contains("cgroup") && evidence.contains("50MiB"), "{evidence}");

    let mut limit = MemoryLimit::none_yet();
    let child = started(&limit);
    limit.starve(child.id()).unwrap();
    let ended = fed(child);
    assert_eq!(ended, Exit::Signal(9));
    assert!(matches!(limit.met(ended), Met::Yes(_)));
}

#[test]
fn a_limit_that_is_large_enough_is_not_met_and_its_group_goes() {
    let limit = MemoryLimit::of(2 << 30);
    let place = match &limit.means {
        Means::Group(group) => Some(group.path().to_owned()),
        Means::Data { .. } => None,
    };
    let mut command = eater();
    limit.on_command(&mut command).unwrap();
    let ended = fed(command.spawn().unwrap());
    assert_eq!(ended, Exit::Code(0));
    assert!(matches!(limit.met(ended), Met::No(_)));
    drop(limit);
    assert!(!place.is_some_and(|path| path.exists()), "no group is left");
}

#[test]
fn without_a_group_data_is_limited_and_the_process_aborts() {
    let none = || Err("a test wants none".to_owned());
    let limit = MemoryLimit::new(Some(50 << 20), none());
    let mut command = eater();
    limit.on_command(&mut command).unwrap();
    let ended = fed(command.spawn().unwrap());
    assert_eq!(ended, Exit::Signal(6));
    let Met::Yes(evidence) = limit.met(ended) else { panic!("not met") };
    assert!(evidence.contains("signal 6") && evidence.contains("a test wants none"), "{evidence}");

    let mut limit = MemoryLimit::new(None, none());
    let child = started(&limit);
    limit.starve(child.id()).unwrap();
    assert!(matches!(limit.met(fed(child)), Met::Yes(_)));

    let limit = MemoryLimit::new(Some(2 << 30), none());
    assert!(matches!(limit.met(fed(started(&limit))), Met::No(_)), "it needed no more");
}
