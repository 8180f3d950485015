//! Making a container and waiting for its first start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use testcontainers::bollard::models::PortBinding;
use testcontainers::core::logs::LogFrame;
use testcontainers::core::wait::LogWaitStrategy;
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

use super::super::error::Error;
use super::super::local;
use super::super::server::Options;
use super::image::{self, chain};
use super::{LABEL, LOG_LINES, lock};
use crate::leftovers::Identity;

/// Where PostgreSQL listens inside.
const INSIDE: u16 = 5432;

/// Shared memory: Docker's 64 MB is too little for parallel queries.
const SHM_BYTES: u64 = 256 * 1024 * 1024;

/// Starts the container and waits until its log says that the server is ready.
pub(super) async fn launch(
    name: &str,
    image: &str,
    port: u16,
    password: &str,
    options: &Options,
) -> Result<ContainerAsync<GenericImage>, Error> {
    let (repository, tag) = image::split(image);
    let mut command = Vec::new();
    for (setting, value) in local::settings(options) {
        // Inside, it is the container's own address that the published port leads to.
        let value = if setting == "listen_addresses" { "*".to_owned() } else { value };
        command.push("-c".to_owned());
        command.push(format!("{setting}={value}"));
    }
    let lines = Arc::new(Mutex::new(VecDeque::new()));
    let kept = Arc::clone(&lines);
    let container = GenericImage::new(repository, tag)
        // Once from the server that initialises the data directory, once from the real one.
        .with_wait_for(WaitFor::log(
            LogWaitStrategy::stdout_or_stderr("database system is ready to accept connections").with_times(2),
        ))
        .with_container_name(name)
        .with_label(LABEL, Identity::own().to_string())
        .with_env_var("POSTGRES_PASSWORD", password)
        .with_env_var("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --no-locale")
        .with_cmd(command)
        .with_shm_size(SHM_BYTES)
        // A fixed port: a random one would change at a restart. On 127.0.0.1 only, which `with_mapped_port` cannot say.
        .with_mapped_port(port, INSIDE.tcp())
        .with_host_config_modifier(move |config| {
            let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
            config.port_bindings = Some([(format!("{INSIDE}/tcp"), Some(vec![binding]))].into());
        })
        .with_log_consumer(move |frame: &LogFrame| {
            let mut lines = lock(&kept);
            lines.push_back(String::from_utf8_lossy(frame.bytes()).trim_end().to_owned());
            if lines.len() > LOG_LINES {
                lines.pop_front();
            }
        })
        .with_startup_timeout(options.start_within)
        .start()
        .await;
    container.map_err(|error| {
        let log: Vec<String> = lock(&lines).iter().cloned().collect();
        let log = if log.is_empty() { String::new() } else { format!("\nThe end of its log:\n{}", log.join("\n")) };
        Error::Docker(format!("a container of {image} did not become ready: {}{log}", chain(&error)))
    })
}
