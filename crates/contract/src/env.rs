//! The environment variables through which the harness speaks to an engine.

/// URL of the PostgreSQL database to ingest into. Holds a password: never log it.
pub const DATABASE_URL: &str = "DATABASE_URL";

/// Base URL pattern of LiveRC, in which `{track}` stands for the track's host label.
pub const LIVERC_BASE_URL: &str = "LIVERC_BASE_URL";

/// Path of the feed file. The engine appends to it; it need not exist.
pub const HARNESS_FEED: &str = "HARNESS_FEED";

/// What the engine does to itself at which step, see [`crate::Arming`].
pub const HARNESS_ARM: &str = "HARNESS_ARM";
