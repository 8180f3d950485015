//! `harness doctor`: can this machine run trials, and what did killed runs leave?

mod findings;
mod look;

use std::path::PathBuf;

use sandbox::leftovers;
use sandbox::postgres::{Choice, ServerUrl};

use super::{ENVIRONMENT, Failure, PASS};
use findings::Left;

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Remove what killed runs left: processes, containers, directories, databases. Only ours, never those of a run that goes on
    #[arg(long)]
    clean: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    /// Where PostgreSQL comes from: auto, docker, local, or a URL
    #[arg(long, value_name = "WHERE", default_value = "auto", env = "HARNESS_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// Image for docker
    #[arg(long, value_name = "IMAGE", env = "HARNESS_POSTGRES_IMAGE")]
    postgres_image: Option<String>,
    /// Where runs are written
    #[arg(long, value_name = "DIR", default_value = "reports", env = "HARNESS_OUT")]
    out: PathBuf,
}

/// Looks, cleans if told to, and says what to do. Exit code 0 when a database can be had and all that was to be removed is
/// gone, else 5.
pub fn main(args: &Args) -> Result<u8, Failure> {
    let choice: Choice = args.postgres.parse().map_err(Failure::usage)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::environment(format!("no async runtime: {e}")))?;
    let findings = runtime.block_on(async {
        // Before a server is tried: what is found must not be what this very look has made.
        let leftovers = leftovers(&choice, args.clean).await;
        let mut findings = look::at_all(&choice, args.postgres_image.as_deref(), &args.out).await;
        findings.leftovers = leftovers;
        findings
    });
    if args.json {
        let json = serde_json::to_string_pretty(&findings).map_err(Failure::environment)?;
        println!("{}", crate::report::scrub(&json));
    } else {
        print!("{}", crate::report::scrub(&findings.text()));
    }
    Ok(if findings.database.is_some() && findings.all_cleaned() { PASS } else { ENVIRONMENT })
}

/// What dead runs left here, in the Docker daemon, and on the server of a URL; removed if told to.
async fn leftovers(choice: &Choice, clean: bool) -> Vec<Left> {
    let servers: Vec<ServerUrl> = match choice {
        Choice::Url(url) => vec![url.clone()],
        _ => Vec::new(),
    };
    let found = match leftovers::find(&servers).await {
        Ok(found) => found,
        // A server that cannot be asked is reported by the look at it; the rest is still to be found.
        Err(_) => leftovers::find(&[]).await.unwrap_or_default(),
    };
    if clean {
        let done = leftovers::clean(found).await;
        done.into_iter().map(|(left, result)| Left::cleaned(left.to_string(), result)).collect()
    } else {
        found.iter().map(|left| Left::found(left.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unreachable_server_does_not_hide_what_is_here() {
        // Port 1: nothing listens there.
        let choice = "postgres://nobody:s3cret@127.0.0.1:1/none".parse().unwrap();
        let findings = look::at_all(&choice, None, std::path::Path::new("/tmp")).await;
        assert_eq!(findings.database, None);
        assert!(!findings.text().contains("s3cret"), "{}", findings.text());
        let _ = leftovers(&choice, false).await;
    }
}
