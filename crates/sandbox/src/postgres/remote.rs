//! A server that others own, by its URL. Only what hurts nobody else is done to it.

use futures::future::BoxFuture;
use sqlx::Connection;

use super::backend::{Backend, Kind};
use super::capability::{Capabilities, Capability};
use super::connect::connect;
use super::error::{Error, Unsupported};
use super::url::ServerUrl;

/// The server of a URL.
#[derive(Debug)]
pub struct Remote {
    url: ServerUrl,
    capabilities: Capabilities,
}

impl Remote {
    /// Looks whether it is there, and whether the way to it is encrypted.
    ///
    /// # Errors
    /// [`Error::Sql`] when it cannot be reached.
    pub async fn reach(url: &ServerUrl) -> Result<Self, Error> {
        let mut connection = connect(url).await?;
        let encrypted: bool =
            sqlx::query_scalar("SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)")
                .fetch_one(&mut connection)
                .await
                .map_err(Error::sql("asking whether the connection is encrypted"))?;
        let _ = connection.close().await;
        Ok(Self { url: url.clone(), capabilities: capabilities(encrypted) })
    }
}

fn capabilities(encrypted: bool) -> Capabilities {
    let others = "others use that server, and it would hurt them";
    let mut some = Capabilities::all(Kind::Url);
    for harmful in [
        Capability::Kill,
        Capability::Quit,
        Capability::StopFast,
        Capability::Restart,
        Capability::Pause,
        Capability::Failover,
        Capability::NetworkDisconnect,
        Capability::ChangeSettings,
    ] {
        some = some.without(harmful, others);
    }
    some = some.without(Capability::ProcessFigures, "its processes belong to others and may be on another machine");
    if encrypted {
        let why = "the connection is encrypted (TLS), and a proxy cannot see into it; add sslmode=disable to the URL where the server allows it";
        some = some.without(Capability::WireFaults, why);
    }
    some
}

impl Backend for Remote {
    fn kind(&self) -> Kind {
        Kind::Url
    }

    fn origin(&self) -> String {
        format!("{}:{}", self.url.host(), self.url.port())
    }

    fn admin_url(&self) -> &ServerUrl {
        &self.url
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn postmaster(&self) -> Result<i32, Error> {
        let refused: Unsupported = self.capabilities.refusal_of(Capability::ProcessFigures);
        Err(refused.into())
    }

    fn log_tail(&self) -> BoxFuture<'_, String> {
        Box::pin(async { String::new() })
    }

    fn psql(&self, database: &str) -> String {
        // Without a password: psql asks for it.
        format!("psql '{}'", self.url.with_role(&self.url.role(), None).with_database(database))
    }

    fn keep(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async { Ok(self.psql(&self.url.database())) })
    }

    /// Nothing of it is ours but databases and a role, which `Server` removes.
    fn dispose(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_hurts_others_is_allowed() {
        let plain = capabilities(false);
        let allowed: Vec<Capability> =
            plain.iter().filter(|(_, refusal)| refusal.is_none()).map(|(capability, _)| capability).collect();
        assert_eq!(allowed, [Capability::TerminateOwnBackends, Capability::WireFaults]);
        assert!(capabilities(true).refusal(Capability::WireFaults).is_some_and(|why| why.contains("TLS")));
    }
}
