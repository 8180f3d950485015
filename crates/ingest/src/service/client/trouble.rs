//! Errors of a connection, recognised by their types wherever in the cause chain they are.

use std::error::Error;
use std::io;

use nix::libc;

use super::names::NameError;

/// What is wrong with a connection: the review's patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// Nobody listens there.
    Refused,
    /// The other side, or something on the way, cut the connection.
    Reset,
    /// There is no host of that name.
    HostNotFound,
    /// The name could not be looked up now.
    TemporaryDns,
    /// There is no way to the host.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// The socket was closed before the answer was whole.
    Closed,
}

/// What is wrong, by the innermost error of the chain that says so; `None`: it is no trouble of the connection.
#[must_use]
pub fn trouble_of(error: &(dyn Error + 'static)) -> Option<Trouble> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        // An `io::Error` that wraps another passes over it when asked for its source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = wrapped.and_then(|wrapped| trouble_of(wrapped as &(dyn Error + 'static)));
        found = inner.or_else(|| of_one(error)).or(found);
        next = error.source();
    }
    found
}

fn of_one(error: &(dyn Error + 'static)) -> Option<Trouble> {
    if let Some(error) = error.downcast_ref::<NameError>() {
        return Some(if error.temporary { Trouble::TemporaryDns } else { Trouble::HostNotFound });
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return of_io(error);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        let closed = error.is_incomplete_message()
            || error.is_closed()
            || error.is_canceled()
            || error.is_body_write_aborted()
            || error.is_shutdown();
        return if error.is_timeout() { Some(Trouble::TimedOut) } else { closed.then_some(Trouble::Closed) };
    }
    if error.is::<tokio::time::error::Elapsed>() {
        return Some(Trouble::TimedOut);
    }
    let error = error.downcast_ref::<reqwest::Error>()?;
    error.is_timeout().then_some(Trouble::TimedOut)
}

fn of_io(error: &io::Error) -> Option<Trouble> {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Some(Trouble::Refused),
        Kind::ConnectionReset | Kind::ConnectionAborted => Some(Trouble::Reset),
        Kind::TimedOut => Some(Trouble::TimedOut),
        Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::NetworkDown => Some(Trouble::Unreachable),
        Kind::BrokenPipe | Kind::NotConnected | Kind::UnexpectedEof => Some(Trouble::Closed),
        _ => match error.raw_os_error() {
            Some(libc::ESHUTDOWN | libc::EBADF) => Some(Trouble::Closed),
            Some(libc::ENETRESET) => Some(Trouble::Reset),
            Some(libc::EHOSTDOWN) => Some(Trouble::Unreachable),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("import failed")]
    struct Outer(#[source] Box<dyn Error + Send + Sync>);

    type Make = Box<dyn Fn() -> Box<dyn Error + Send + Sync>>;

    #[test]
    fn every_pattern_is_recognised_alone_and_nested() {
        let of = |code: i32| io::Error::from_raw_os_error(code);
        let patterns: Vec<(Make, Trouble)> = vec![
            (Box::new(move || of(libc::ECONNREFUSED).into()), Trouble::Refused),
            (Box::new(move || of(libc::ECONNRESET).into()), Trouble::Reset),
            (Box::new(move || of(libc::ECONNABORTED).into()), Trouble::Reset),
            (Box::new(move || of(libc::ENETUNREACH).into()), Trouble::Unreachable),
            (Box::new(move || of(libc::EHOSTUNREACH).into()), Trouble::Unreachable),
            (Box::new(move || of(libc::ENETDOWN).into()), Trouble::Unreachable),
            (Box::new(move || of(libc::ETIMEDOUT).into()), Trouble::TimedOut),
            (Box::new(move || of(libc::EPIPE).into()), Trouble::Closed),
            (Box::new(move || of(libc::ENOTCONN).into()), Trouble::Closed),
            (Box::new(move || of(libc::ESHUTDOWN).into()), Trouble::Closed),
            (Box::new(|| io::Error::from(io::ErrorKind::UnexpectedEof).into()), Trouble::Closed),
            (Box::new(|| NameError::made_up(false).into()), Trouble::HostNotFound),
            (Box::new(|| NameError::made_up(true).into()), Trouble::TemporaryDns),
        ];
        for (make, trouble) in patterns {
            assert_eq!(trouble_of(&*make()), Some(trouble));
            assert_eq!(trouble_of(&Outer(make())), Some(trouble), "as a cause");
            assert_eq!(trouble_of(&Outer(Box::new(Outer(make())))), Some(trouble), "as a cause of a cause");
            assert_eq!(trouble_of(&io::Error::other(Outer(make()))), Some(trouble), "wrapped in an io::Error");
            assert_eq!(trouble_of(&Outer(Box::new(io::Error::other(make())))), Some(trouble), "wrapped and nested");
        }
    }

    #[test]
    fn the_text_of_an_error_says_nothing() {
        let looks = io::Error::other("connection refused: ECONNREFUSED, timed out, socket hang up");
        assert_eq!(trouble_of(&looks), None);
        assert_eq!(trouble_of(&Outer(Box::new(io::Error::from(io::ErrorKind::PermissionDenied)))), None);
    }

    #[tokio::test]
    async fn a_real_refusal_and_a_real_timeout_are_recognised_through_the_http_client() {
        crate::liverc::client::install_tls_provider();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = client.get(format!("http://{nobody}/")).send().await.unwrap_err();
        assert_eq!(trouble_of(&refused), Some(Trouble::Refused), "{refused:?}");
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let slow = client.get(url).timeout(std::time::Duration::from_millis(20)).send().await.unwrap_err();
        assert_eq!(trouble_of(&slow), Some(Trouble::TimedOut), "{slow:?}");
    }
}
