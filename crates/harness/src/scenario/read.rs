//! From a file's text to a scenario.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::error::ScenarioError;
use super::event::{EventKind, EventSpec, PageForm};
use super::file;
use super::model::{EngineSpec, Expect, Known, LivercSpec, Network, Outcome, PostgresSpec, Scenario, default_oracles};
use crate::faults::{Fault, When};
use crate::nearest::UnknownName;
use crate::quantity::{Bytes, Span};
use crate::synth::{Size, Totals};
use crate::trial::record::Limits;

/// How often an engine may be started again when a scenario does not say.
const RESTARTS: u32 = 5;

/// Least memory that an engine may be given: its program alone takes a part of it.
const LEAST_MEMORY: Bytes = Bytes(16 << 20);
/// Longest time of one engine process when a scenario does not say.
const TIMEOUT: Span = Span(Duration::from_secs(600));

/// The profile when neither scenario nor flag says (DESIGN 10).
const PROFILE: &str = "fast";

/// A file being read: its name and text, for messages.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn at(&self, span: Range<usize>, message: impl std::fmt::Display) -> ScenarioError {
        ScenarioError::at(self.file, self.text, span, message.to_string())
    }
}

impl Scenario {
    /// Reads a scenario. `file` is named in messages, and its stem is the scenario's name.
    ///
    /// # Errors
    /// What is wrong, with line and column, and the nearest name where one is unknown.
    pub fn parse(file: &str, text: &str, known: Known<'_>) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let read: file::File = toml::from_str(text).map_err(|e| ScenarioError::of_toml(file, text, &e))?;
        let file::File {
            trials,
            oracles,
            event,
            engine,
            postgres,
            network,
            liverc,
            limits,
            expect,
            load,
            criteria,
            fault: faults,
        } = read;
        let event = event.ok_or_else(|| source.at(0..0, "there is no [event]: a scenario says what is ingested"))?;
        let event = event_of(&source, event)?;
        let revisions = event.revisions.len() + 1;
        let is_load = load.is_some();
        let faults =
            faults.into_iter().map(|f| fault_of(&source, f, revisions, is_load)).collect::<Result<Vec<_>, _>>()?;
        let expect = expect_of(&source, expect, event.revisions.len())?;
        let oracles = match oracles {
            None => default_oracles(!faults.is_empty(), is_load),
            Some(listed) => oracles_of(&source, listed)?,
        };
        let load_place = load.as_ref().map(Spanned::span);
        let scenario = Self {
            name: stem(file).to_owned(),
            description: first_comment(text),
            engine: engine_of(&source, engine, known)?,
            postgres: PostgresSpec {
                backend: postgres.backend.unwrap_or(PostgresSpec::default().backend),
                data: postgres.data.unwrap_or(PostgresSpec::default().data),
            },
            network: network_of(&source, network)?,
            liverc: LivercSpec {
                max_in_flight: liverc.max_in_flight.map(NonZeroU32::get),
                min_delay: liverc.min_delay,
            },
            limits: Limits {
                engine_peak_rss_bytes: limits.engine_peak.map(|b| b.0),
                max_in_flight: limits.max_in_flight.map(NonZeroU32::get),
                connections: limits.connections.map(NonZeroU32::get),
                attempts_per_page: limits.attempts_per_page.map(NonZeroU32::get),
            },
            trials: trials.map_or(1, NonZeroU32::get),
            load: load
                .map(|table| super::load::read(table).map_err(|(span, message)| source.at(span, message)))
                .transpose()?,
            criteria: criteria
                .map(|table| super::criteria::read(table, known).map_err(|(span, message)| source.at(span, message)))
                .transpose()?,
            event,
            faults,
            expect,
            oracles,
        };
        if let Some(place) = load_place {
            super::load::check(&scenario).map_err(|why| source.at(place, why))?;
        } else if let Some(oracle) = scenario.oracles.iter().find(|o| !o.applies(false)) {
            return Err(source.at(0..0, format!("the oracle `{oracle}` judges a load, and there is no [load]")));
        }
        Ok(scenario)
    }
}

/// `large-event` of `scenarios/large-event.toml`.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// The comment that a file opens with, its lines joined by line feeds.
pub(super) fn first_comment(text: &str) -> String {
    let lines =
        text.lines().skip_while(|line| line.trim().is_empty()).map_while(|line| line.trim_start().strip_prefix('#'));
    lines.map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn event_of(source: &Source<'_>, event: Spanned<file::Event>) -> Result<EventSpec, ScenarioError> {
    let span = event.span();
    let file::Event { kind, size, races, results, laps, seed, form, revisions } = event.into_inner();
    let kind = kind.unwrap_or(EventKind::Plain);
    let custom = [&races, &results, &laps];
    let given = size.as_ref().map(Spanned::span).or_else(|| custom.into_iter().flatten().next().map(Spanned::span));
    let size = match (size, races, results, laps) {
        _ if kind.has_fixed_size() => match given {
            Some(span) => {
                return Err(
                    source.at(span, format!("an event of the kind `{kind}` has a size of its own: leave it out"))
                );
            }
            None => Size::Small,
        },
        (Some(size), None, None, None) => size.into_inner().0,
        (None, Some(races), Some(results), Some(laps)) => {
            let span = races.span();
            let totals = Totals::new(races.into_inner(), results.into_inner(), laps.into_inner());
            Size::Custom(totals.map_err(|e| source.at(span, e))?)
        }
        (Some(_), ..) => {
            let message = "an event has either a size or races, results and laps of its own, not both";
            return Err(source.at(given.unwrap_or(span), message));
        }
        (None, ..) => {
            let message = "say how large the event is: a size, or races, results and laps";
            return Err(source.at(given.unwrap_or(span), message));
        }
    };
    Ok(EventSpec { kind, size, seed: seed.map_or(1, |s| s.0), form: form.unwrap_or(PageForm::Raw), revisions })
}

fn engine_of(source: &Source<'_>, engine: file::Engine, known: Known<'_>) -> Result<EngineSpec, ScenarioError> {
    let file::Engine { profiles, command, restarts, timeout, memory_limit, settings } = engine;
    for name in settings.keys() {
        if !known.settings.contains(&name.get_ref().as_str()) {
            return Err(source.at(name.span(), UnknownName::new("setting", name.get_ref(), known.settings)));
        }
    }
    if let Some(limit) = memory_limit.as_ref().filter(|limit| *limit.get_ref() < LEAST_MEMORY) {
        return Err(source.at(limit.span(), format!("no engine starts in less than {LEAST_MEMORY}")));
    }
    if let Some(command) = &command {
        if command.get_ref().is_empty() {
            return Err(source.at(command.span(), "the command is empty: give a program and its arguments"));
        }
        if !command.get_ref().iter().any(|arg| arg.contains("{event_id}")) {
            let message = "the command does not say which event: put {event_id} (and {track}) among its arguments";
            return Err(source.at(command.span(), message));
        }
        let builtin = profiles.as_ref().map(Spanned::span).or_else(|| settings.keys().next().map(Spanned::span));
        if let Some(span) = builtin {
            return Err(
                source.at(span, "profiles and settings are the built-in engine's; with a command there are none")
            );
        }
    }
    let profiles = match profiles {
        None if command.is_some() => Vec::new(),
        None => vec![PROFILE.to_owned()],
        Some(list) if list.get_ref().is_empty() => {
            return Err(source.at(list.span(), "there is no profile in this list"));
        }
        Some(list) => {
            let mut names: Vec<String> = Vec::new();
            for name in list.into_inner() {
                if !known.profiles.contains(&name.get_ref().as_str()) {
                    return Err(source.at(name.span(), UnknownName::new("profile", name.get_ref(), known.profiles)));
                }
                if names.contains(name.get_ref()) {
                    return Err(source.at(name.span(), format!("the profile `{}` stands here twice", name.get_ref())));
                }
                names.push(name.into_inner());
            }
            names
        }
    };
    Ok(EngineSpec {
        profiles,
        settings: settings.into_iter().map(|(name, value)| (name.into_inner(), value.0)).collect(),
        command: command.map(Spanned::into_inner),
        restarts: restarts.unwrap_or(RESTARTS),
        timeout: timeout.unwrap_or(TIMEOUT),
        memory_limit: memory_limit.map(Spanned::into_inner),
    })
}

fn network_of(source: &Source<'_>, network: file::Network) -> Result<Network, ScenarioError> {
    let bandwidth = |given: Option<Spanned<Bytes>>| match given {
        Some(rate) if *rate.get_ref() == Bytes(0) => {
            Err(source.at(rate.span(), "a bandwidth of nothing lets nothing through; for that, use a fault"))
        }
        other => Ok(other.map(Spanned::into_inner)),
    };
    Ok(Network {
        database_rtt: network.database_rtt,
        database_jitter: network.database_jitter,
        database_bandwidth: bandwidth(network.database_bandwidth)?,
        liverc_latency: network.liverc_latency,
        liverc_jitter: network.liverc_jitter,
        liverc_bandwidth: bandwidth(network.liverc_bandwidth)?,
    })
}

fn fault_of(
    source: &Source<'_>,
    fault: Spanned<file::Fault>,
    revisions: usize,
    load: bool,
) -> Result<Fault, ScenarioError> {
    let span = fault.span();
    let file::Fault { when, action, duration, revision, process } = fault.into_inner();
    let revision = revision.map_or(1, NonZeroU32::get);
    if revision as usize > revisions {
        return Err(source.at(span, format!("the event has no revision {revision}, only {revisions}")));
    }
    let fault = Fault::new(when, action, duration).map_err(|e| source.at(span.clone(), e))?.in_revision(revision);
    super::load::check_fault(&fault, load).map_err(|why| source.at(span.clone(), why))?;
    let Some(process) = process else { return Ok(fault) };
    let at_place = matches!(fault.when(), When::Step(_)) || (fault.when().is_wire() && !fault.action().is_raised());
    if !at_place {
        let why = format!("`process` is for faults at a step or a moment on the wire; `{}` is neither", fault.when());
        return Err(source.at(span, why));
    }
    Ok(fault.in_process(process))
}

fn expect_of(source: &Source<'_>, expect: file::Expect, revisions: usize) -> Result<Expect, ScenarioError> {
    let file::Expect { outcome, failed, earlier } = expect;
    let places = |list: Vec<NonZeroU32>| list.into_iter().map(NonZeroU32::get).collect::<Vec<_>>();
    match (outcome.as_ref().map(|o| *o.get_ref()), &failed) {
        (Some(Outcome::Partial), None) => {
            let span = outcome.map_or(0..0, |o| o.span());
            return Err(source.at(span, "say which races must fail: failed = [3], by their place on the event page"));
        }
        (Some(Outcome::Partial), Some(list)) if list.get_ref().is_empty() => {
            return Err(source.at(list.span(), "in a partial outcome at least one race must fail"));
        }
        (None | Some(Outcome::Complete), Some(list)) if !list.get_ref().is_empty() => {
            return Err(source.at(list.span(), "where races must fail the outcome is \"partial\""));
        }
        _ => {}
    }
    let earlier = match earlier {
        Some(list) if list.get_ref().len() > revisions => {
            let message =
                format!("the event has {revisions} revisions before its last, this list has {}", list.get_ref().len());
            return Err(source.at(list.span(), message));
        }
        other => other.map(Spanned::into_inner).unwrap_or_default(),
    };
    Ok(Expect {
        failed: failed.map(|list| places(list.into_inner())).unwrap_or_default(),
        earlier: earlier.into_iter().map(places).collect(),
    })
}

fn oracles_of(
    source: &Source<'_>,
    listed: Spanned<Vec<Spanned<file::Oracle>>>,
) -> Result<Vec<crate::oracle::OracleName>, ScenarioError> {
    if listed.get_ref().is_empty() {
        return Err(source
            .at(listed.span(), "a scenario that lists no oracle shows nothing; leave the key out for all of them"));
    }
    let mut names = Vec::new();
    for oracle in listed.into_inner() {
        let span = oracle.span();
        let name = oracle.into_inner().0;
        if names.contains(&name) {
            return Err(source.at(span, format!("the oracle `{name}` stands here twice")));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
#[path = "read_tests.rs"]
pub(super) mod tests;
