//! A connection URL whose password is never shown.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::choice::BadChoice;

/// The URL of a PostgreSQL server and a database on it. `Debug` and `Display` hide passwords; [`ServerUrl::expose`] is the
/// only way to the real text, for the environment of a child process or a driver.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Query parameters by which a URL may name what its main parts also name; they win over those in every driver, so they
/// go when the main part is replaced.
const USER_PARAMETERS: &[&str] = &["user", "password"];
const ADDRESS_PARAMETERS: &[&str] = &["host", "hostaddr", "port"];
const DATABASE_PARAMETERS: &[&str] = &["dbname"];

impl ServerUrl {
    /// A URL made from its parts.
    pub(crate) fn from_parts(
        role: &str,
        password: Option<&str>,
        port: u16,
        database: &str,
        parameters: &[(&str, &str)],
    ) -> Self {
        // A constant that parses; `Url` has no other constructor.
        #[expect(clippy::expect_used, reason = "a constant URL parses")]
        let mut url = Url::parse("postgresql://127.0.0.1/").expect("a constant URL parses");
        let _ = url.set_port(Some(port));
        for (key, value) in parameters {
            url.query_pairs_mut().append_pair(key, value);
        }
        Self(url).with_role(role, password).with_database(database)
    }

    /// The text with its password. For a child's environment or a driver, never for a log, a message or a report.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        let mut url = self.without(DATABASE_PARAMETERS);
        url.set_path(database);
        Self(url)
    }

    /// The same server and database, another role.
    #[must_use]
    pub fn with_role(&self, role: &str, password: Option<&str>) -> Self {
        let mut url = self.without(USER_PARAMETERS);
        // These fail only for URLs without a host, which `from_str` refuses.
        let _ = url.set_username(role);
        let _ = url.set_password(password);
        Self(url)
    }

    /// The same role and database at another address: that of a proxy.
    #[must_use]
    pub fn with_address(&self, address: std::net::SocketAddr) -> Self {
        let mut url = self.without(ADDRESS_PARAMETERS);
        let _ = url.set_ip_host(address.ip());
        let _ = url.set_port(Some(address.port()));
        Self(url)
    }

    /// Name of the database; the role's name when the URL names none, as in libpq.
    #[must_use]
    pub fn database(&self) -> String {
        self.parameter("dbname")
            .or_else(|| Some(self.0.path().trim_start_matches('/').to_owned()).filter(|path| !path.is_empty()))
            .unwrap_or_else(|| self.role())
    }

    /// Name of the role, as the URL has it; empty when it names none.
    #[must_use]
    pub fn role(&self) -> String {
        self.parameter("user").unwrap_or_else(|| self.0.username().to_owned())
    }

    /// Host name or address, or the directory of a socket.
    #[must_use]
    pub fn host(&self) -> String {
        self.parameter("host")
            .or_else(|| self.parameter("hostaddr"))
            .unwrap_or_else(|| self.0.host_str().unwrap_or("localhost").to_owned())
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.parameter("port").and_then(|port| port.parse().ok()).or(self.0.port()).unwrap_or(5432)
    }

    /// Whether the URL insists on TLS (`sslmode` of `require` or stricter): a wire fault cannot see into that.
    #[must_use]
    pub fn wants_tls(&self) -> bool {
        self.parameter("sslmode")
            .or_else(|| self.parameter("ssl-mode"))
            .is_some_and(|mode| matches!(mode.as_str(), "require" | "verify-ca" | "verify-full"))
    }

    /// Value of a query parameter; the last one wins.
    #[must_use]
    pub fn parameter(&self, key: &str) -> Option<String> {
        self.0.query_pairs().filter(|(name, _)| name == key).last().map(|(_, value)| value.into_owned())
    }

    fn without(&self, dropped: &[&str]) -> Url {
        let mut url = self.0.clone();
        let kept: Vec<(String, String)> = self
            .0
            .query_pairs()
            .filter(|(key, _)| !dropped.contains(&key.as_ref()))
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        url
    }
}

/// `postgresql:///db?host=/socket/directory` is legal in libpq, but the parts of a URL without a host cannot be replaced: it gets one.
fn with_host(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (role, host) = authority.rsplit_once('@').map_or(("", authority), |(role, host)| (role, host));
    match (role, host) {
        ("", "") => format!("{scheme}://localhost{tail}"),
        (role, "") => format!("{scheme}://{role}@localhost{tail}"),
        _ => text.to_owned(),
    }
}

impl FromStr for ServerUrl {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, BadChoice> {
        // The text itself is not repeated in the errors: it may hold a password.
        let url = Url::parse(&with_host(text)).map_err(|error| BadChoice::Url(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(BadChoice::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(BadChoice::Url("it names no host".to_owned()));
        }
        if url.fragment().is_some() {
            return Err(BadChoice::Url("it holds a `#`; write `%23` for one in a password".to_owned()));
        }
        Ok(Self(url))
    }
}

/// The URL with every password replaced by `***`.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        if url.password().is_some() {
            let _ = url.set_password(Some("***"));
        }
        let shown: Vec<(String, String)> = self
            .0
            .query_pairs()
            .map(|(key, value)| {
                let hide = key.to_ascii_lowercase().contains("pass");
                (key.into_owned(), if hide { "***".to_owned() } else { value.into_owned() })
            })
            .collect();
        if shown.iter().any(|(_, value)| value == "***") {
            url.query_pairs_mut().clear().extend_pairs(shown);
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn no_password_is_shown() {
        for text in [
            "postgres://ann:s3cret@db.example:5433/races",
            "postgres://ann@db.example/races?password=s3cret&sslmode=disable",
            "postgres://ann:s3cret@db.example/races?sslpassword=s3cret",
        ] {
            let url = url(text);
            for shown in [format!("{url}"), format!("{url:?}")] {
                assert!(!shown.contains("s3cret"), "{shown}");
                assert!(shown.contains("***") && shown.contains("db.example"), "{shown}");
            }
            assert!(url.expose().contains("s3cret"));
        }
    }

    #[test]
    fn parts_are_read_and_replaced() {
        let start = url("postgres://ann:s3cret@db.example:5433/races?sslmode=disable&user=eve&port=5544");
        assert_eq!((start.role().as_str(), start.port(), start.database().as_str()), ("eve", 5544, "races"));
        let role = start.with_role("engine", Some("p@ss/w#rd"));
        assert_eq!(role.role(), "engine");
        assert_eq!(url(role.expose()), role, "a password with reserved characters survives the text");
        let moved = role.with_address("127.0.0.1:7000".parse().unwrap()).with_database("trial_1");
        assert_eq!((moved.host().as_str(), moved.port(), moved.database().as_str()), ("127.0.0.1", 7000, "trial_1"));
        assert_eq!(moved.parameter("sslmode").as_deref(), Some("disable"));
    }

    #[test]
    fn a_socket_url_without_a_host_is_understood() {
        let socket = url("postgresql:///races?host=/run/postgresql");
        assert_eq!((socket.host().as_str(), socket.database().as_str()), ("/run/postgresql", "races"));
        let with_role = url("postgresql://ann@/races?host=/run/postgresql");
        assert_eq!(with_role.role(), "ann");
    }

    #[test]
    fn tls_is_seen_where_the_url_insists_on_it() {
        assert!(url("postgres://db.example/x?sslmode=require").wants_tls());
        assert!(!url("postgres://db.example/x?sslmode=prefer").wants_tls());
        assert!(!url("postgres://db.example/x").wants_tls());
    }
}
