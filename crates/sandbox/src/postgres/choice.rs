//! `--postgres auto|docker|local|<url>`.

use std::fmt;
use std::str::FromStr;

use super::url::ServerUrl;

/// How a PostgreSQL is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// Docker when it can be used, else this machine's own binaries.
    #[default]
    Auto,
    /// A container.
    Docker,
    /// This machine's own PostgreSQL binaries, in a temporary directory.
    Local,
    /// A server that others own.
    Url(ServerUrl),
}

/// Why a text is no [`Choice`]: the user's mistake (exit code 2). Never repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChoice {
    /// Neither a known word nor a URL. Holds the word.
    #[error(
        "`{0}` is no way to get a PostgreSQL: write auto, docker, local, or a URL like postgres://user@host:5432/database"
    )]
    Word(String),
    /// A URL of something else.
    #[error("a URL of scheme `{0}` is no PostgreSQL: it must begin with postgres:// or postgresql://")]
    Scheme(String),
    /// Not a URL.
    #[error("the PostgreSQL URL cannot be read: {0}. It looks like postgres://user:password@host:5432/database")]
    Url(String),
}

impl Choice {
    /// This machine's binaries where there are any, else Docker: for tests, which start many servers and have no image
    /// to care about.
    #[must_use]
    pub fn local_first() -> Self {
        if super::Binaries::find().is_ok() { Self::Local } else { Self::Docker }
    }
}

impl FromStr for Choice {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, BadChoice> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "docker" => Ok(Self::Docker),
            "local" => Ok(Self::Local),
            url if url.contains("://") || url.starts_with("postgres:") || url.starts_with("postgresql:") => {
                url.parse().map(Self::Url)
            }
            // `user:secret@host` without a scheme must not be echoed.
            word if word.contains('@') => Err(BadChoice::Url("it has no scheme".to_owned())),
            word => Err(BadChoice::Word(word.to_owned())),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Docker => f.write_str("docker"),
            Self::Local => f.write_str("local"),
            Self::Url(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_read() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("docker".parse(), Ok(Choice::Docker));
        assert_eq!(" local ".parse(), Ok(Choice::Local));
        let url = "postgresql://ann:s3cret@db.example/races".parse::<Choice>().unwrap();
        assert_eq!(url.to_string(), "postgresql://ann:***@db.example/races");
        assert_eq!(Choice::default(), Choice::Auto);
    }

    #[test]
    fn a_mistake_says_what_to_write_and_shows_no_password() {
        assert_eq!("dokcer".parse::<Choice>(), Err(BadChoice::Word("dokcer".to_owned())));
        for text in
            ["mysql://ann:s3cret@h/d", "postgres://ann:s3cret@h:notaport/d", "ann:s3cret@h/d", "postgres:ann:s3cret@h"]
        {
            let message = text.parse::<Choice>().unwrap_err().to_string();
            assert!(!message.contains("s3cret"), "{message}");
            assert!(message.contains("postgres://"), "{message}");
        }
    }
}
