//! What can be done to a server, and why not where it cannot.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::backend::Kind;
use super::error::Unsupported;

/// Something a harness may want to do to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Kill the whole server with SIGKILL, as a crash would.
    Kill,
    /// Immediate shutdown (SIGQUIT): recovery at the next start.
    Quit,
    /// Fast shutdown (SIGINT): transactions are rolled back, no recovery needed.
    StopFast,
    /// Stop and start again, with the time to ready measured.
    Restart,
    /// Freeze all processes of the server, and thaw them.
    Pause,
    /// Put a promoted standby in its place.
    Failover,
    /// Cut the server off its network, and put it back.
    NetworkDisconnect,
    /// End connections of our own roles or databases (`pg_terminate_backend`).
    TerminateOwnBackends,
    /// Change settings of the whole server.
    ChangeSettings,
    /// CPU and memory of the server's processes.
    ProcessFigures,
    /// A proxy in front of it can read and change the protocol (no TLS in between).
    WireFaults,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 11] = [
        Self::Kill,
        Self::Quit,
        Self::StopFast,
        Self::Restart,
        Self::Pause,
        Self::Failover,
        Self::NetworkDisconnect,
        Self::TerminateOwnBackends,
        Self::ChangeSettings,
        Self::ProcessFigures,
        Self::WireFaults,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killing the server",
            Self::Quit => "an immediate shutdown",
            Self::StopFast => "a fast shutdown",
            Self::Restart => "a restart",
            Self::Pause => "pausing the server",
            Self::Failover => "failover to a standby",
            Self::NetworkDisconnect => "disconnecting the server's network",
            Self::TerminateOwnBackends => "ending our own connections",
            Self::ChangeSettings => "changing settings of the server",
            Self::ProcessFigures => "reading CPU and memory of the server's processes",
            Self::WireFaults => "faults on the wire",
        })
    }
}

/// What a server allows, with the reason for everything that it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    kind: Kind,
    refused: BTreeMap<Capability, String>,
}

impl Capabilities {
    /// Everything allowed.
    pub(crate) fn all(kind: Kind) -> Self {
        Self { kind, refused: BTreeMap::new() }
    }

    /// Takes a capability away, for a reason that a user can read.
    pub(crate) fn without(mut self, capability: Capability, reason: &str) -> Self {
        self.refused.insert(capability, reason.to_owned());
        self
    }

    /// Whether it can be done.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        !self.refused.contains_key(&capability)
    }

    /// Why it cannot be done; `None` when it can.
    #[must_use]
    pub fn refusal(&self, capability: Capability) -> Option<&str> {
        self.refused.get(&capability).map(String::as_str)
    }

    /// `Ok` when it can be done, else the typed reason.
    ///
    /// # Errors
    /// [`Unsupported`] when this server does not allow it.
    pub fn require(&self, capability: Capability) -> Result<(), Unsupported> {
        match self.refused.get(&capability) {
            None => Ok(()),
            Some(reason) => Err(Unsupported { kind: self.kind, capability, reason: reason.clone() }),
        }
    }

    /// The refusal of a capability that a kind of server does not implement.
    pub(crate) fn refusal_of(&self, capability: Capability) -> Unsupported {
        let reason = self.refusal(capability).unwrap_or("this kind of server has no such thing").to_owned();
        Unsupported { kind: self.kind, capability, reason }
    }

    /// Each capability with `None` when it is there and the reason when not, in the order of [`Capability::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Capability, Option<&str>)> {
        Capability::ALL.into_iter().map(|capability| (capability, self.refusal(capability)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_its_reason() {
        let some = Capabilities::all(Kind::Url).without(Capability::Kill, "others use it");
        assert!(!some.has(Capability::Kill) && some.has(Capability::WireFaults));
        assert!(some.require(Capability::WireFaults).is_ok());
        let message = some.require(Capability::Kill).unwrap_err().to_string();
        assert_eq!(message, "killing the server is not possible on the server of a URL: others use it");
        assert_eq!(some.iter().filter(|(_, refusal)| refusal.is_none()).count(), Capability::ALL.len() - 1);
    }
}
