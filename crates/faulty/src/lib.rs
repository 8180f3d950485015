//! An engine that is wrong on purpose: what `harness selftest` lets its oracles catch.
//!
//! It obeys the engines' contract (feed, steps, arming, exit codes), reads pages by the parsers of `ingest::liverc`, and
//! writes the same schema by a plain writer of its own: one connection, pages one after the other, a transaction for every
//! two races. With nothing switched on it is right, under crashes, resets and commits in doubt as well: only so is what
//! an oracle says of it with one [`Bug`] switched on said of the bug. A [`Sham`] only pretends to be an engine.
//!
//! The service has its own: a worker that runs this engine on the jobs of `ingest::service::queue`, and a [`Client`] that
//! asks for imports, each right or with one [`ServiceBug`].
//!
//! Nothing but the harness's hidden verb `__faulty` and its self-test uses this crate.

mod bug;
mod fetch;
mod pages;
mod run;
mod service;
mod sham;
mod statements;
mod writer;

use contract::{env, exit};

pub use bug::{Bug, ServiceBug, Sham, Unknown};
pub use service::Client;

/// How it is called.
const USAGE: &str = "usage: __faulty NAME TRACK EVENT_ID, where NAME is `none`, a bug or a sham; \
                     or __faulty work NAME [FLAG VALUE]…, where NAME is `none` or a bug of the service";

/// What a process is told to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// An engine, with a bug or without.
    Engine(Option<Bug>),
    /// Something that pretends to be one.
    Sham(Sham),
}

/// Runs the engine on an event: `NAME TRACK EVENT_ID`. Returns the exit code of `contract::exit`.
pub fn main(args: impl IntoIterator<Item = String>) -> u8 {
    match start(args.into_iter().collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("faulty: {}", ingest::liverc::urls::redact_text(&format!("{error:#}")));
            exit::USAGE
        }
    }
}

fn start(args: Vec<String>) -> anyhow::Result<u8> {
    if let Some((verb, rest)) = args.split_first()
        && verb == "work"
    {
        return service::work(rest);
    }
    let [name, track, event] = args.as_slice() else { anyhow::bail!(USAGE) };
    let role = match name.as_str() {
        "none" => Role::Engine(None),
        name => match (name.parse(), name.parse()) {
            (Ok(bug), _) => Role::Engine(Some(bug)),
            (_, Ok(sham)) => Role::Sham(sham),
            (Err(no_bug), Err(no_sham)) => anyhow::bail!("{no_bug}; and {no_sham}"),
        },
    };
    if role == Role::Sham(Sham::DoesNothing) {
        return Ok(exit::COMPLETE);
    }
    let var = |name: &str| std::env::var(name).map_err(|_| anyhow::anyhow!("{name} is not set"));
    let task = run::Task {
        track: track.clone(),
        event: event.parse()?,
        database: var(env::DATABASE_URL)?,
        liverc: var(env::LIVERC_BASE_URL)?,
        probe: ingest::probe::Probe::from_env()?.into(),
        guarded: true,
        meeting: None,
    };
    // One thread: `raise` must stop or kill at the step, not a few statements of another thread later.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(match role {
        Role::Sham(Sham::ClaimsAll) => runtime.block_on(sham::claim_all(&task))?,
        Role::Sham(sham) => runtime.block_on(run::run(&task, None, Some(sham))),
        Role::Engine(bug) => runtime.block_on(run::run(&task, bug, None)),
    })
}
