//! What went over the wire, in numbers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counted over all connections since the proxy was started.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Stats {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// Requests by target (path and query). Past [`TARGETS`] different ones the rest is counted as `…`.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            pub requests_by_target: BTreeMap<String, u64>,
        }

        /// What one connection has counted since it last told.
        #[derive(Default)]
        pub(super) struct Local {
            $(pub(super) $name: u64,)+
            pub(super) targets: Vec<String>,
            any: bool,
        }

        #[derive(Default)]
        pub(super) struct Counters {
            $($name: AtomicU64,)+
            targets: Mutex<BTreeMap<String, u64>>,
        }

        impl Counters {
            /// Adds what a connection has counted, and sets it to nothing.
            pub(super) fn add(&self, local: &mut Local) {
                if !std::mem::take(&mut local.any) {
                    return;
                }
                $(if local.$name != 0 {
                    self.$name.fetch_add(std::mem::take(&mut local.$name), Relaxed);
                })+
                if !local.targets.is_empty() {
                    let mut targets = super::lock(&self.targets);
                    for target in local.targets.drain(..) {
                        let full = targets.len() >= TARGETS && !targets.contains_key(&target);
                        *targets.entry(if full { "…".to_owned() } else { target }).or_default() += 1;
                    }
                }
            }

            pub(super) fn stats(&self) -> Stats {
                Stats {
                    $($name: self.$name.load(Relaxed),)+
                    requests_by_target: super::lock(&self.targets).clone(),
                }
            }
        }
    };
}

/// How many different request targets are told apart.
pub const TARGETS: usize = 20_000;

counts! {
    /// Connections accepted.
    connections,
    /// Of these, those that the server could not be reached for.
    upstream_failures,
    /// Connections ended.
    connections_ended,
    /// Bytes forwarded from clients to the server.
    bytes_up,
    /// Bytes forwarded from the server to clients.
    bytes_down,
    /// PostgreSQL: messages from clients, startup packets included.
    frames_up,
    /// PostgreSQL: messages from the server.
    frames_down,
    /// PostgreSQL: ReadyForQuery replies, the one that ends each session's start included.
    round_trips,
    /// PostgreSQL: sessions that reached their first ReadyForQuery (so `round_trips - sessions` answer statements).
    sessions,
    /// PostgreSQL: statements as the wire saw them, Query and Execute messages.
    statements,
    /// PostgreSQL: COMMITs among them.
    commits,
    /// PostgreSQL: messages that carry rows into a table (INSERT, MERGE, CopyData).
    batches,
    /// PostgreSQL: ErrorResponse messages.
    errors,
    /// HTTP: requests.
    requests,
    /// HTTP: final responses.
    responses,
    /// HTTP: of these, those with a status from 400 up.
    responses_failed,
    /// Connections whose content could not be read (TLS, an upgrade, or not the expected protocol): forwarded blindly.
    opaque,
}

impl Local {
    /// Notes that there is something to tell. Every change goes through here or is followed by it.
    pub(super) fn touch(&mut self) -> &mut Self {
        self.any = true;
        self
    }
}
