//! Names of hosts, with errors that say which kind they are.
//!
//! The standard library's resolver tells "no such host" from "ask again later" only by its text. `getaddrinfo` itself
//! has a number for each.

use std::net::SocketAddr;

use dns_lookup::{LookupErrorKind, lookup_host};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host name that did not lead to an address.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {text}")]
pub struct NameError {
    /// The host.
    pub host: String,
    /// It may be known later: the resolver did not answer, or said so.
    pub temporary: bool,
    text: String,
}

impl NameError {
    fn new(host: &str, error: dns_lookup::LookupError) -> Self {
        let temporary = match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => false,
            LookupErrorKind::Again | LookupErrorKind::System | LookupErrorKind::Memory => true,
            _ => false,
        };
        Self { host: host.to_owned(), temporary, text: std::io::Error::from(error).to_string() }
    }

    #[cfg(test)]
    pub(super) fn made_up(temporary: bool) -> Self {
        Self { host: "server".to_owned(), temporary, text: "no address".to_owned() }
    }
}

/// Asks the system's resolver.
pub struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let looked = tokio::task::spawn_blocking(move || {
                let found = lookup_host(&host).map(Iterator::collect::<Vec<_>>);
                found.map_err(|error| NameError::new(&host, error))
            });
            let addresses = looked.await??;
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_is_none_is_told_by_type() {
        // RFC 6761: `invalid` has no names. Where no resolver can be asked, "later" is the right answer.
        let found = Names.resolve("nowhere.invalid".parse().unwrap()).await;
        let error = found.map(drop).unwrap_err();
        let error = error.downcast_ref::<NameError>().unwrap();
        assert!(error.host == "nowhere.invalid" && !error.to_string().is_empty(), "{error}");
        let found = Names.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.map(|a| a.ip()).all(|ip| ip.is_loopback()));
    }
}
