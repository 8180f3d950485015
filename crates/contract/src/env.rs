//! The environment variables through which the harness speaks to an engine.

/// URL of the PostgreSQL database to ingest into. Holds a password: never log it.
pub const DATABASE_URL: &str = "DATABASE_URL";

/// Base URL pattern of LiveRC, in which `{track}` stands for the track's host label.
pub const LIVERC_BASE_URL: &str = "LIVERC_BASE_URL";

/// Path of the feed file. The engine appends to it; it need not exist.
pub const HARNESS_FEED: &str = "HARNESS_FEED";

/// What the engine does to itself at which step, see [`crate::Arming`].
pub const HARNESS_ARM: &str = "HARNESS_ARM";

/// Share of its own time that the engine waits before it says that it is done: `0.2` makes an ingestion a fifth longer. It is
/// there to measure what a comparison of engines finds (`harness ab --calibrate`), and for nothing else.
pub const HARNESS_DELAY: &str = "HARNESS_DELAY";
