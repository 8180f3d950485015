//! From a scenario to a file's text that reads back equal.

use std::num::NonZeroU32;

use toml::Spanned;

use super::file;
use super::model::Scenario;
use crate::quantity::Bytes;
use crate::synth::{Size, Totals};

/// A value that stands in no file yet.
fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

impl Scenario {
    /// The scenario as TOML with nothing left open, the description as its first comment. Reads back equal.
    #[must_use]
    pub fn resolved(&self) -> String {
        let Self {
            name: _,
            description,
            event,
            engine,
            postgres,
            network,
            liverc,
            faults,
            expect,
            oracles,
            limits,
            criteria,
            load,
            trials,
        } = self;
        let postgres = *postgres;
        let custom = match event.size {
            Size::Custom(totals) => Some(totals),
            Size::Small | Size::Medium | Size::Large | Size::VeryLarge | Size::Huge => None,
        };
        let count = |of: fn(Totals) -> u32| custom.map(|totals| spanned(of(totals)));
        let fixed = event.kind.has_fixed_size();
        let races = |places: &Vec<u32>| places.iter().filter_map(|&place| NonZeroU32::new(place)).collect::<Vec<_>>();
        let file = file::File {
            trials: NonZeroU32::new(*trials),
            oracles: Some(spanned(oracles.iter().map(|&o| spanned(file::Oracle(o))).collect())),
            event: Some(spanned(file::Event {
                kind: Some(event.kind),
                size: (custom.is_none() && !fixed).then(|| spanned(file::SizeName(event.size))),
                races: count(Totals::races),
                results: count(Totals::results),
                laps: count(Totals::laps),
                seed: Some(file::Seed(event.seed)),
                form: Some(event.form),
                revisions: event.revisions.clone(),
            })),
            engine: file::Engine {
                profiles: (engine.command.is_none())
                    .then(|| spanned(engine.profiles.iter().cloned().map(spanned).collect())),
                command: engine.command.clone().map(spanned),
                restarts: Some(engine.restarts),
                timeout: Some(engine.timeout),
                memory_limit: engine.memory_limit.map(spanned),
                settings: engine
                    .settings
                    .iter()
                    .map(|(name, value)| (spanned(name.clone()), file::Value(value.clone())))
                    .collect(),
            },
            postgres: file::Postgres { backend: Some(postgres.backend), data: Some(postgres.data) },
            network: file::Network {
                database_rtt: network.database_rtt,
                database_jitter: network.database_jitter,
                database_bandwidth: network.database_bandwidth.map(spanned),
                liverc_latency: network.liverc_latency,
                liverc_jitter: network.liverc_jitter,
                liverc_bandwidth: network.liverc_bandwidth.map(spanned),
            },
            liverc: file::Liverc {
                max_in_flight: liverc.max_in_flight.and_then(NonZeroU32::new),
                min_delay: liverc.min_delay,
            },
            limits: file::Limits {
                engine_peak: limits.engine_peak_rss_bytes.map(Bytes),
                max_in_flight: limits.max_in_flight.and_then(NonZeroU32::new),
                connections: limits.connections.and_then(NonZeroU32::new),
                attempts_per_page: limits.attempts_per_page.and_then(NonZeroU32::new),
            },
            expect: file::Expect {
                outcome: Some(spanned(expect.outcome())),
                failed: (!expect.failed.is_empty()).then(|| spanned(races(&expect.failed))),
                earlier: (!expect.earlier.is_empty()).then(|| spanned(expect.earlier.iter().map(races).collect())),
            },
            load: load.as_ref().map(super::load::write),
            criteria: criteria.as_ref().map(super::criteria::write),
            fault: faults
                .iter()
                .map(|f| {
                    let written = f.written_duration();
                    let revision = NonZeroU32::new(f.revision()).filter(|r| r.get() > 1);
                    spanned(file::Fault {
                        when: f.when().clone(),
                        action: f.action(),
                        duration: written,
                        revision,
                        process: f.process(),
                    })
                })
                .collect(),
        };
        let comment: String = description.lines().map(|line| format!("# {line}\n")).collect();
        // Every value above is one that TOML can hold; were it not, the error stands where the text would.
        let body = toml::to_string(&file).unwrap_or_else(|e| format!("# cannot be written: {e}\n"));
        format!("{comment}{}{body}", if comment.is_empty() { "" } else { "\n" })
    }
}
