//! Where the run was made, what it does not show, and how to make it again.

use maud::{Markup, html};

use crate::report::{format, notes};
use crate::trial::record::RunRecord;

/// The section.
pub fn section(run: &RunRecord) -> Markup {
    let e = &run.environment;
    let mut seeds: Vec<u64> = run.trials.iter().map(|t| t.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let cores = format::plural(e.cores as usize, "core");
    let memory = format::bytes(e.memory_bytes as f64);
    let facts: Vec<(&str, String)> = vec![
        ("CPU", format!("{}, {cores}", known(&e.cpu))),
        ("Memory", memory),
        ("Kernel", e.kernel.clone()),
        ("PostgreSQL", format!("{} ({})", known(&e.postgres_version), known(&e.backend))),
        ("Engine", e.engine_path.clone()),
        ("Engine's hash", e.engine_hash.clone()),
        ("Build", e.build_profile.clone()),
        ("Source revision", e.git_revision.clone()),
        ("Harness", e.harness_version.clone()),
        ("Seed", seeds),
        ("Exit code", run.exit.to_string()),
    ];
    let remarks = notes::remarks(run);
    html! {
        section id="environment" aria-labelledby="environment-title" {
            h2 id="environment-title" { "Environment" }
            @if !remarks.is_empty() {
                h3 { "What to know about these figures" }
                ul class="remarks" { @for remark in &remarks { li { (remark) } } }
            }
            dl class="facts" {
                @for (name, value) in &facts { div { dt { (name) } dd { (known(value)) } } }
            }
            @if !run.command.is_empty() { h3 { "Command" } pre { (run.command) } }
            @if !e.postgres_settings.is_empty() {
                details {
                    summary { "PostgreSQL settings (" (e.postgres_settings.len()) ")" }
                    div class="scroll" tabindex="0" role="region" aria-label="PostgreSQL settings" {
                        table {
                            caption { "Settings that matter here." }
                            thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } } }
                            tbody { @for (key, value) in &e.postgres_settings { tr { th scope="row" { code { (key) } } td { (value) } } } }
                        }
                    }
                }
            }
            @if !run.resolved.is_empty() { details { summary { "The scenario as resolved" } pre { (run.resolved) } } }
        }
    }
}

fn known(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}
