//! A look at Docker that starts nothing and pulls nothing.

use super::error::Error;

/// A daemon that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// Images that would do, the best first.
    pub wanted: Vec<String>,
    /// The one that a run would use; `None` when none is there and the first of `wanted` would be pulled.
    pub image: Option<String>,
}

/// Asks the daemon for its version and for the image: the named one, else those that a run looks for.
///
/// # Errors
/// [`Error::Docker`] when it does not answer.
#[cfg(feature = "docker")]
pub async fn docker_daemon(named: Option<&str>) -> Result<Daemon, Error> {
    super::docker::status(named).await
}

/// Without the feature `docker` there is none.
///
/// # Errors
/// [`Error::Docker`], always.
#[cfg(not(feature = "docker"))]
pub async fn docker_daemon(_: Option<&str>) -> Result<Daemon, Error> {
    Err(Error::Docker("this program was built without the feature `docker`".to_owned()))
}
