//! The table of settings.

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in files and output: `lap_batch`, `liverc.min_delay`.
    pub name: &'static str,
    /// What it says, for `--help`.
    pub help: &'static str,
    /// Default where no profile says otherwise. Empty: it follows from others.
    pub(super) default: &'static str,
    /// Values under `before`, `after`, `fast`; empty: not part of a profile.
    pub(super) profiles: [&'static str; 3],
    /// Not shown to users: makes the engine worse on purpose, so that a harness can be seen to notice.
    pub hidden: bool,
}

impl Key {
    /// Its environment variable: `INGEST_LIVERC_MIN_DELAY`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("INGEST_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Its flag without the dashes: `liverc-min-delay`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }
}

const fn plain(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, help, default, profiles: [""; 3], hidden: false }
}

const fn cure(name: &'static str, profiles: [&'static str; 3], help: &'static str) -> Key {
    Key { name, help, default: "", profiles, hidden: false }
}

const fn debug(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, help, default, profiles: [""; 3], hidden: true }
}

/// Every setting, in the order in which they are printed.
pub const KEYS: &[Key] = &[
    plain("profile", "fast", "Settings to start from: before, after or fast"),
    cure("select_existing", ["true", "false", "false"], "SELECT existing lap keys ahead of each lap batch"),
    cure("lap_batch", ["1000", "5000", "auto"], "Rows of a lap batch, or auto: all that the memory budget allows"),
    cure("race_concurrency", ["4", "8", "8"], "Race pages in flight"),
    cure("commit_races", ["10", "20", "20"], "Most races of a commit unit"),
    cure("accumulate_laps", ["false", "true", "true"], "Let lap batches go across the races of a unit"),
    cure("row_writes", ["one-by-one", "one-by-one", "batched"], "How drivers, entries and results are written"),
    cure("write_path", ["insert", "insert", "copy"], "How laps are written: insert, unnest or copy"),
    cure("skip_unchanged", ["false", "false", "true"], "Leave out what is equal to what is stored"),
    cure("writers", ["1", "1", "2"], "Commit units that are written side by side"),
    plain("memory_budget", "64MiB", "A unit closes when its laps take this much memory"),
    plain(
        "pool_size",
        "auto",
        "Most connections to the database; auto: race_concurrency x 2 + 5. Fewer where the server has fewer left",
    ),
    plain("acquire_timeout", "10s", "Longest wait for a connection"),
    plain("statement_timeout", "60s", "Longest time for one statement"),
    plain("lock_wait", "30s", "How long another engine's lock on the event is waited for"),
    plain("lock_lease", "20s", "How long a stalled engine keeps its lock and its open transaction"),
    plain("retry_attempts", "8", "Attempts at a page or a unit, the first included"),
    plain("retry_base", "100ms", "Pause after the first failure; doubled each time"),
    plain("retry_cap", "5s", "Longest pause between attempts"),
    plain("retry_budget", "60s", "No retry of a page or a unit begins later than this after its first failure"),
    plain("liverc.base_url", super::REAL_SITE, "Base URL pattern; {track} stands for the track"),
    plain("liverc.max_in_flight", "", "Requests in flight; 1 for the real site, else race_concurrency"),
    plain("liverc.min_delay", "", "Time between two requests; 1s for the real site, else none"),
    plain("liverc.connect_timeout", "10s", "Longest time to connect"),
    plain("liverc.read_timeout", "20s", "Longest silence of the site: until an answer begins, and between its parts"),
    plain("liverc.page_timeout", "60s", "Longest time for the body of a page"),
    plain("liverc.max_page", "32MiB", "Largest page that is read"),
    debug("debug.extra_statement", "false", "Make a needless statement for each race"),
];

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}
