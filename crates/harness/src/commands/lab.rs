//! Gets the server, its migrated template and the engine ready for a run.

use std::path::PathBuf;
use std::sync::Arc;

use contract::env;
use sandbox::postgres::{Choice, Options, Server, ServerUrl, Templates};

use super::Failure;
use crate::synth::rows::RowMap;
use crate::trial::attempt::EngineSpec;
use crate::trial::databases::Databases;
use crate::trial::drive::Lab;
use crate::trial::observe::resources;
use crate::trial::record::Environment;

/// Starts what all trials share.
///
/// # Errors
/// No database to be had, a failed migration, an engine that is not there.
pub async fn open(
    choice: &Choice,
    options: &Options,
    engine: EngineSpec,
    out: PathBuf,
) -> Result<(Lab, Environment), Failure> {
    let hash = resources::file_hash(&engine.program)
        .map_err(|e| Failure::usage(format!("the engine {} cannot be read: {e}", engine.program.display())))?;
    let server = Arc::new(Server::obtain(choice, options).await?);
    let mut environment = resources::machine();
    let facts = server.facts();
    environment.backend = facts.kind.to_string();
    environment.postgres_version.clone_from(&facts.version);
    environment.postgres_settings.clone_from(&facts.settings);
    environment.engine_path = engine.program.display().to_string();
    environment.engine_hash = hash;
    if environment.build_profile == "debug" {
        environment.remarks.push("A debug build: its times are not to be judged.".to_owned());
    }
    environment
        .remarks
        .push("A killed process or server loses no page cache: nothing here tests fsync or the disk.".to_owned());
    let templates = Templates::new(Arc::clone(&server));
    let made = templates.template("schema", migrate).await;
    let template = match made {
        Ok(template) => template,
        Err(error) => {
            let _ = server.dispose().await;
            return Err(error.into());
        }
    };
    let admin = sqlx::postgres::PgPoolOptions::new().max_connections(2).connect_lazy(server.admin_url().expose());
    let admin = admin.map_err(|e| Failure::environment(format!("connecting to PostgreSQL: {e}")))?;
    let databases = Databases::default();
    Ok((Lab { admin, server, databases, templates, template, map: RowMap::default(), engine, out }, environment))
}

/// Migrates a database by the built-in engine's own verb.
async fn migrate(url: ServerUrl) -> std::io::Result<()> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args(["__engine", "migrate"]).env(env::DATABASE_URL, url.expose());
    sandbox::process::die_with_us(command.as_std_mut());
    let output = command.stdin(std::process::Stdio::null()).kill_on_drop(true).output().await?;
    if output.status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
