//! The daemon, and the image to run.

use std::time::Duration;

use futures::StreamExt;
use testcontainers::bollard::Docker as Client;
use testcontainers::bollard::errors::Error as ApiError;
use testcontainers::bollard::query_parameters::CreateImageOptionsBuilder;

use super::super::daemon::Daemon;
use super::super::error::Error;
use super::super::server::Options;

/// The official image that is used when none is named.
pub const DEFAULT_IMAGE: &str = "postgres:17";

/// What `fixtures/postgres-image/build` makes.
pub const LOCAL_IMAGE: &str = "liverc-harness-postgres:local";

/// How long the daemon may take to say that it is there.
const PING_WITHIN: Duration = Duration::from_secs(5);

/// A daemon that answers.
///
/// # Errors
/// [`Error::Docker`] when there is none, it does not answer, or it runs on another machine.
pub(crate) async fn client() -> Result<Client, Error> {
    if let Some(host) = std::env::var("DOCKER_HOST").ok().filter(|host| is_remote(host)) {
        return Err(Error::Docker(format!(
            "DOCKER_HOST is {host}, another machine: containers are reached through 127.0.0.1 only"
        )));
    }
    let client = testcontainers::core::client::docker_client_instance()
        .await
        .map_err(|error| Error::Docker(format!("no client: {}", chain(&error))))?;
    match tokio::time::timeout(PING_WITHIN, client.ping()).await {
        Ok(Ok(_)) => Ok(client),
        Ok(Err(error)) => Err(Error::Docker(format!("its daemon does not answer: {}", chain(&error)))),
        Err(_) => Err(Error::Docker(format!("its daemon did not answer within {} s", PING_WITHIN.as_secs()))),
    }
}

fn is_remote(host: &str) -> bool {
    let Some((scheme, rest)) = host.split_once("://") else { return false };
    let local = ["localhost", "127.", "[::1]"];
    matches!(scheme, "tcp" | "http" | "https" | "ssh") && !local.iter().any(|name| rest.starts_with(name))
}

/// The image to run, which is there afterwards: the named one, else the default one if it is there, else the local one if it
/// is, else the default one pulled. Looks before it pulls: a pull where no registry can be reached takes minutes to fail.
///
/// # Errors
/// [`Error::Docker`] that says what to do.
pub(crate) async fn resolve(client: &Client, options: &Options) -> Result<String, Error> {
    if let Some(named) = &options.image {
        if !is_there(client, named).await? {
            pull(client, named, options.pull_within).await?;
        }
        return Ok(named.clone());
    }
    for image in [DEFAULT_IMAGE, LOCAL_IMAGE] {
        if is_there(client, image).await? {
            return Ok(image.to_owned());
        }
    }
    pull(client, DEFAULT_IMAGE, options.pull_within).await?;
    Ok(DEFAULT_IMAGE.to_owned())
}

/// The daemon's version, and the image that a run would use if it is there.
pub(crate) async fn status(named: Option<&str>) -> Result<Daemon, Error> {
    let client = client().await?;
    let version = client.version().await.map_err(|error| Error::Docker(format!("its version: {}", chain(&error))))?;
    let wanted: Vec<&str> = named.map_or_else(|| vec![DEFAULT_IMAGE, LOCAL_IMAGE], |image| vec![image]);
    let mut image = None;
    for candidate in &wanted {
        if is_there(&client, candidate).await? {
            image = Some((*candidate).to_owned());
            break;
        }
    }
    let wanted = wanted.into_iter().map(str::to_owned).collect();
    Ok(Daemon { version: version.version.unwrap_or_else(|| "unknown".to_owned()), wanted, image })
}

async fn is_there(client: &Client, image: &str) -> Result<bool, Error> {
    match client.inspect_image(image).await {
        Ok(_) => Ok(true),
        Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(error) => Err(Error::Docker(format!("looking for the image {image} failed: {}", chain(&error)))),
    }
}

async fn pull(client: &Client, image: &str, within: Duration) -> Result<(), Error> {
    tracing::info!(image, "pulling the image, since it is not there");
    let (name, tag) = split(image);
    let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
    let pulling = async {
        let mut progress = std::pin::pin!(client.create_image(Some(options), None, None));
        while let Some(step) = progress.next().await {
            step?;
        }
        Ok::<(), ApiError>(())
    };
    let why = match tokio::time::timeout(within, pulling).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => chain(&error),
        Err(_) => format!("not done within {} s", within.as_secs()),
    };
    Err(Error::Docker(format!(
        "the image {image} is not there and cannot be pulled ({why}). Where no registry can be reached, \
         fixtures/postgres-image/build makes {LOCAL_IMAGE} from this machine's own PostgreSQL; or name an image that is there \
         with --postgres-image"
    )))
}

/// Name and tag (or digest) such that `name:tag` is the image again.
pub(super) fn split(image: &str) -> (&str, &str) {
    // A colon before the last slash is a registry's port.
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_split_where_the_tag_begins() {
        for (image, parts) in [
            ("postgres:17", ("postgres", "17")),
            ("postgres", ("postgres", "latest")),
            ("registry.example:5000/db/postgres", ("registry.example:5000/db/postgres", "latest")),
            ("registry.example:5000/db/postgres:16", ("registry.example:5000/db/postgres", "16")),
            ("postgres@sha256:0123", ("postgres@sha256", "0123")),
        ] {
            assert_eq!(split(image), parts);
        }
    }

    #[test]
    fn a_daemon_elsewhere_is_seen() {
        for host in ["tcp://10.0.0.5:2375", "ssh://ann@build.example"] {
            assert!(is_remote(host), "{host}");
        }
        for host in ["unix:///var/run/docker.sock", "tcp://localhost:2375", "tcp://127.0.0.1:2375", ""] {
            assert!(!is_remote(host), "{host}");
        }
    }
}
