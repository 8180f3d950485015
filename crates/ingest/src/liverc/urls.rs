//! Where LiveRC's pages are, and URLs without secrets in them.

use reqwest::Url;
use thiserror::Error;

/// The real site.
pub const DEFAULT_PATTERN: &str = "https://{track}.liverc.com";

/// Why no URL can be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The track cannot be a part of a host name.
    #[error(
        "{0:?} is no track: give the first part of its host name, such as canberra of canberra.liverc.com \
         (letters, digits and hyphens, at most 63)"
    )]
    Track(String),
    /// The pattern does not make a URL.
    #[error("{pattern:?} is no base URL ({reason}): give one such as {DEFAULT_PATTERN}")]
    Pattern {
        /// The pattern, without a password.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The URLs of one track's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivercUrls {
    base: String,
    track: String,
}

impl LivercUrls {
    /// From a base pattern, in which every `{track}` stands for the track: `https://{track}.liverc.com`.
    ///
    /// # Errors
    /// A track that is no host label, or a pattern that makes no http or https URL.
    pub fn new(pattern: &str, track: &str) -> Result<Self, UrlError> {
        let track = host_label(track)?;
        let base = pattern.trim().replace("{track}", &track).trim_end_matches('/').to_owned();
        let wrong = |reason: String| UrlError::Pattern { pattern: redact_text(pattern), reason };
        let url = Url::parse(&base).map_err(|e| wrong(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it must begin with http:// or https://".to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it has no host".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it must not have a query or a fragment".to_owned()));
        }
        Ok(Self { base, track })
    }

    /// The track, as a host label in lower case.
    #[must_use]
    pub fn track(&self) -> &str {
        &self.track
    }

    /// The page of an event.
    #[must_use]
    pub fn event(&self, id: u64) -> String {
        self.page("view_event", id)
    }

    /// The entry list of an event.
    #[must_use]
    pub fn entry_list(&self, id: u64) -> String {
        self.page("view_entry_list", id)
    }

    /// The page of a race.
    #[must_use]
    pub fn race(&self, id: u64) -> String {
        self.page("view_race_result", id)
    }

    fn page(&self, page: &str, id: u64) -> String {
        format!("{}/results/?p={page}&id={id}", self.base)
    }
}

/// Checks that a track can be a part of a host name (RFC 1123); in lower case.
///
/// # Errors
/// [`UrlError::Track`].
pub fn host_label(track: &str) -> Result<String, UrlError> {
    let fits = (1..=63).contains(&track.len())
        && track.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !track.starts_with('-')
        && !track.ends_with('-');
    if fits { Ok(track.to_ascii_lowercase()) } else { Err(UrlError::Track(track.to_owned())) }
}

/// A URL as it may be shown and logged: without user and password.
#[must_use]
pub fn redact(url: &Url) -> String {
    if url.username().is_empty() && url.password().is_none() {
        return url.to_string();
    }
    redact_text(url.as_str())
}

/// The same of text that may not even be a URL: what stands between `//` and the last `@` of the authority goes.
#[must_use]
pub fn redact_text(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("//") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..authority_end).and_then(|a| a.rfind('@')) {
        Some(at) => format!("{scheme}//***@{}", rest.get(at + 1..).unwrap_or("")),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_the_site_has_them() {
        let urls = LivercUrls::new(DEFAULT_PATTERN, "Canberra").unwrap();
        assert_eq!(urls.event(5), "https://canberra.liverc.com/results/?p=view_event&id=5");
        assert_eq!(urls.entry_list(5), "https://canberra.liverc.com/results/?p=view_entry_list&id=5");
        assert_eq!(urls.race(7), "https://canberra.liverc.com/results/?p=view_race_result&id=7");
        let mock = LivercUrls::new("http://127.0.0.1:9/{track}/", "a-1").unwrap();
        assert_eq!(mock.race(7), "http://127.0.0.1:9/a-1/results/?p=view_race_result&id=7");
        assert_eq!(
            LivercUrls::new("http://127.0.0.1:9", "a").unwrap().event(1),
            "http://127.0.0.1:9/results/?p=view_event&id=1"
        );
    }

    #[test]
    fn a_track_is_a_host_label() {
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "a.b", "evil.example/", "a b", "é", "a@b", long.as_str()] {
            assert!(LivercUrls::new(DEFAULT_PATTERN, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_that_make_no_url_are_refused() {
        for bad in ["", "{track}", "ftp://{track}", "http://", "http://x/?q", "http://a:b@"] {
            assert!(matches!(LivercUrls::new(bad, "a"), Err(UrlError::Pattern { .. })), "{bad}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let url = Url::parse("http://user:secret@host/x?p=1").unwrap();
        assert_eq!(redact(&url), "http://***@host/x?p=1");
        assert_eq!(redact_text("http://u:p@ss@host:1/a@b"), "http://***@host:1/a@b");
        let error = LivercUrls::new("gopher://user:secret@host", "a").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
