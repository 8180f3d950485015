//! CPU of the harness itself, and where a run is made.

use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::trial::record::Environment;

/// CPU used by this process so far (user and kernel), µs. Children are not in it.
#[must_use]
pub fn own_cpu_us() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF)
        .map(|u| u64::try_from(u.user_time().num_microseconds() + u.system_time().num_microseconds()).unwrap_or(0))
        .unwrap_or(0)
}

/// The machine, as far as the system tells.
#[must_use]
pub fn machine() -> Environment {
    use procfs::Current as _;
    let cpu = procfs::CpuInfo::current()
        .ok()
        .and_then(|c| c.model_name(0).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    let memory_bytes = procfs::Meminfo::current().map(|m| m.mem_total).unwrap_or(0);
    let kernel = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    Environment {
        cpu,
        cores: std::thread::available_parallelism().map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        memory_bytes,
        kernel,
        build_profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        harness_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_revision: git_revision(),
        ..Environment::default()
    }
}

/// Revision of the tree that the command was given in; empty outside of one.
fn git_revision() -> String {
    let git = |args: &[&str]| {
        let out = std::process::Command::new("git").args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(revision) if !revision.is_empty() => {
            let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
            if dirty { format!("{revision}-dirty") } else { revision }
        }
        _ => String::new(),
    }
}

/// MD5 of a file, with the function's name before it; tells builds apart, and is no proof against forgery.
///
/// # Errors
/// When the file cannot be read.
pub fn file_hash(path: &Path) -> std::io::Result<String> {
    use md5::Digest as _;
    let mut file = std::fs::File::open(path)?;
    let mut md5 = md5::Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = std::io::Read::read(&mut file, &mut buffer)?;
        if n == 0 {
            break;
        }
        md5.update(&buffer[..n]);
    }
    Ok(format!("md5:{}", hex(&md5.finalize())))
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}
