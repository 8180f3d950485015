//! Where this machine's PostgreSQL is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::error::Error;

/// Oldest version that this module drives (`DROP DATABASE … WITH (FORCE)`).
const OLDEST: u32 = 13;

/// A directory that holds `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// Looks in `PG_BIN`, where `pg_config` says, in `/usr/lib/postgresql/*/bin` (newest first), in other usual places, and in
    /// `PATH`. A `PG_BIN` that is set and wrong is an error, not passed over.
    ///
    /// # Errors
    /// [`Error::Local`] with what was looked at, [`Error::TooOld`].
    pub fn find() -> Result<Self, Error> {
        if let Some(named) = std::env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
            let directory = PathBuf::from(named);
            return Self::at(&directory).unwrap_or_else(|| {
                let missing = format!("PG_BIN is {}, which holds no initdb and postgres", directory.display());
                Err(Error::Local(missing))
            });
        }
        let places = places();
        let mut too_old = None;
        for place in &places {
            match Self::at(place) {
                Some(Ok(found)) => return Ok(found),
                Some(Err(error)) => too_old = too_old.or(Some(error)),
                None => {}
            }
        }
        Err(too_old.unwrap_or_else(|| {
            let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            Error::Local(format!("no initdb and postgres in PG_BIN (not set), {}", looked.join(", ")))
        }))
    }

    /// Those of a directory; `None` when it does not hold them.
    fn at(directory: &Path) -> Option<Result<Self, Error>> {
        let directory = directory.canonicalize().ok()?;
        if !directory.join("initdb").is_file() || !directory.join("postgres").is_file() {
            return None;
        }
        let said = output(&directory.join("postgres"), "--version")?;
        let version = said.trim().trim_start_matches("postgres (PostgreSQL) ").to_owned();
        let major: u32 = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        if major < OLDEST {
            return Some(Err(Error::TooOld { found: version }));
        }
        Some(Ok(Self { directory, version, major }))
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What `postgres --version` says, without its name: `15.14 (Debian 15.14-0+deb12u1)`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// 15 of 15.14.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(directory) = output(Path::new("pg_config"), "--bindir") {
        places.push(PathBuf::from(directory.trim()));
    }
    for (parent, child) in
        [("/usr/lib/postgresql", "bin"), ("/usr/lib64/postgresql", "bin"), ("/opt/postgresql", "bin")]
    {
        places.extend(newest_first(Path::new(parent)).into_iter().map(|version| version.join(child)));
    }
    // Red Hat: /usr/pgsql-16/bin.
    places.extend(
        newest_first(Path::new("/usr")).into_iter().filter(|path| named_pgsql(path)).map(|path| path.join("bin")),
    );
    if let Some(path) = std::env::var_os("PATH") {
        for directory in std::env::split_paths(&path) {
            // Through links: Debian and others link single programs into /usr/bin.
            let real =
                directory.join("initdb").canonicalize().ok().and_then(|file| file.parent().map(Path::to_path_buf));
            places.extend(real);
        }
    }
    let mut seen = Vec::new();
    places.retain(|place| !seen.contains(place) && (seen.push(place.clone()), true).1);
    places
}

fn named_pgsql(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgsql-"))
}

/// Entries of a directory by the number in their name, highest first.
fn newest_first(parent: &Path) -> Vec<PathBuf> {
    let number = |path: &PathBuf| -> f64 {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0.0)
    };
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(parent).map(|dir| dir.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    entries.sort_by(|a, b| number(b).total_cmp(&number(a)));
    entries
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_numbers() {
        let parent = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "16", "100"] {
            std::fs::create_dir(parent.path().join(version)).unwrap();
        }
        let order: Vec<String> = newest_first(parent.path())
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(order, ["100", "16", "15", "9.6"]);
    }

    #[test]
    fn a_directory_without_the_programs_is_none() {
        assert!(Binaries::at(tempfile::tempdir().unwrap().path()).is_none());
        assert!(Binaries::at(Path::new("/nonexistent")).is_none());
    }
}
