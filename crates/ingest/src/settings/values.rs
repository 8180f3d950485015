//! The values of settings: their types, how they read, and how all of them are resolved together.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{
    DatabaseSettings, KEYS, LivercSettings, REAL_SITE, Resolved, Settings, SettingsError, Source, UnitSettings,
};
use crate::retry::RetryPolicy;

macro_rules! choice {
    ($(#[$doc:meta])+ $name:ident { $($(#[$vdoc:meta])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])+ $variant,)+ }

        impl $name {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $text,)+ })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(one_of(other, &[$($text,)+])),
                }
            }
        }
    };
}

choice! {
    /// A named set of engine settings.
    Profile {
        /// The reviewed statement pattern.
        Before = "before",
        /// With the review's four cures.
        After = "after",
        /// Ours.
        Fast = "fast",
    }
}

choice! {
    /// How drivers, entries and results are written.
    RowWrites {
        /// A SELECT and an INSERT or UPDATE for each, as reviewed.
        OneByOne = "one-by-one",
        /// A statement for all of a unit.
        Batched = "batched",
    }
}

choice! {
    /// How laps are written.
    WritePath {
        /// Multi-row INSERT.
        Insert = "insert",
        /// INSERT from arrays.
        Unnest = "unnest",
        /// Binary COPY, straight into the table for new races, through a temporary one for others.
        Copy = "copy",
    }
}

/// Rows of a lap batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LapBatch {
    /// All laps of a unit, whose size the memory budget bounds.
    Auto,
    /// So many.
    Rows(u32),
}

impl fmt::Display for LapBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Rows(n) => n.fmt(f),
        }
    }
}

impl FromStr for LapBatch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => count(text).map(Self::Rows).map_err(|e| format!("{e}, or auto")),
        }
    }
}

/// Connections of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolSize {
    /// As the review says: race_concurrency × 2 + 5.
    Auto,
    /// So many.
    Connections(u32),
}

impl FromStr for PoolSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => count(text).map(Self::Connections).map_err(|e| format!("{e}, or auto")),
        }
    }
}

fn one_of(given: &str, choices: &[&str]) -> String {
    let hint = super::nearest(given, choices.iter().copied()).map(|n| format!(" (did you mean `{n}`?)"));
    format!("must be one of {}{}", choices.join(", "), hint.unwrap_or_default())
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|&n| n > 0 && n <= 1_000_000_000).ok_or_else(|| "must be a whole number from 1".to_owned())
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * scale;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|d| *d <= Duration::from_secs(86_400));
    duration.ok_or_else(|| "must be a duration such as 500ms, 1.5s or 2m, at most a day".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => 0,
    };
    let bytes = number.parse::<u32>().ok().map(|n| u64::from(n) * scale).filter(|&b| b > 0);
    bytes.ok_or_else(|| "must be a size such as 512KiB or 64MiB".to_owned())
}

fn url_pattern(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("must begin with http:// or https:// and name a host; {track} stands for the track".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

struct Resolver {
    said: BTreeMap<&'static str, (String, Source)>,
    profile: Profile,
    out: Vec<Resolved>,
}

impl Resolver {
    /// Takes a setting; where nobody said anything and the table has no default, `follows` is its value.
    fn take<T>(
        &mut self,
        name: &'static str,
        follows: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        let key = super::keys::find(name);
        let of_profile = key.map_or("", |k| k.profiles.get(self.profile as usize).copied().unwrap_or_default());
        let default = key.map_or("", |k| k.default);
        let (value, source) = match self.said.remove(name) {
            Some(said) => said,
            None if !of_profile.is_empty() => (of_profile.to_owned(), Source::Profile),
            None if !default.is_empty() => (default.to_owned(), Source::Default),
            None => (follows.to_owned(), Source::Default),
        };
        let read = read(&value).map_err(|expected| SettingsError::Value {
            source_of: source.clone(),
            name,
            value: value.clone(),
            expected,
        })?;
        self.out.push(Resolved { name, value, source, comes_to: None });
        Ok(read)
    }
}

impl Resolver {
    /// Tells what the setting that was taken last comes to.
    fn comes_to(&mut self, value: impl ToString, whence: &'static str) {
        if let Some(last) = self.out.last_mut() {
            last.comes_to = Some((value.to_string(), whence));
        }
    }
}

pub(super) fn resolve(said: BTreeMap<&'static str, (String, Source)>) -> Result<Settings, SettingsError> {
    let mut r = Resolver { said, profile: Profile::Fast, out: Vec::with_capacity(KEYS.len()) };
    r.profile = r.take("profile", "", str::parse)?;
    let profile = r.profile;
    let race_concurrency = r.take("race_concurrency", "", count)?;
    let base_url = r.take("liverc.base_url", "", url_pattern)?;
    let real = base_url == REAL_SITE;
    let in_flight = if real { "1".to_owned() } else { race_concurrency.to_string() };
    let pool_size = match r.take("pool_size", "", str::parse)? {
        PoolSize::Auto => {
            let size = race_concurrency.saturating_mul(2).saturating_add(5);
            r.comes_to(size, "race_concurrency x 2 + 5, fewer where the server has fewer left");
            size
        }
        PoolSize::Connections(n) => n,
    };
    let settings = Settings {
        profile,
        race_concurrency,
        unit: UnitSettings {
            select_existing: r.take("select_existing", "", truth)?,
            lap_batch: r.take("lap_batch", "", str::parse)?,
            accumulate_laps: r.take("accumulate_laps", "", truth)?,
            row_writes: r.take("row_writes", "", str::parse)?,
            write_path: r.take("write_path", "", str::parse)?,
            skip_unchanged: r.take("skip_unchanged", "", truth)?,
            commit_races: r.take("commit_races", "", count)?,
            memory_budget: r.take("memory_budget", "", size)?,
            extra_statement: r.take("debug.extra_statement", "", truth)?,
        },
        writers: r.take("writers", "", count)?,
        liverc: LivercSettings {
            max_in_flight: r.take("liverc.max_in_flight", &in_flight, count)?,
            min_delay: r.take("liverc.min_delay", if real { "1s" } else { "0s" }, duration)?,
            connect_timeout: r.take("liverc.connect_timeout", "", duration)?,
            read_timeout: r.take("liverc.read_timeout", "", duration)?,
            page_timeout: r.take("liverc.page_timeout", "", duration)?,
            max_page: r.take("liverc.max_page", "", size)?,
            base_url,
        },
        database: DatabaseSettings {
            pool_size,
            acquire_timeout: r.take("acquire_timeout", "", duration)?,
            statement_timeout: r.take("statement_timeout", "", duration)?,
            lock_wait: r.take("lock_wait", "", duration)?,
            lock_lease: r.take("lock_lease", "", duration)?,
        },
        retry: RetryPolicy {
            attempts: r.take("retry_attempts", "", count)?,
            base: r.take("retry_base", "", duration)?,
            cap: r.take("retry_cap", "", duration)?,
            budget: r.take("retry_budget", "", duration)?,
        },
        resolved: Vec::new(),
    };
    let mut resolved = r.out;
    resolved.sort_by_key(|s| KEYS.iter().position(|k| k.name == s.name));
    Ok(Settings { resolved, ..settings })
}
