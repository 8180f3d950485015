//! A load's part of `report.html`: what the clients saw, what they were told, and what the service's processes used.

use maud::{Markup, html};

pub(super) use crate::report::load::is_load;
use crate::report::{format, load as figures, words};
use crate::trial::record::RunRecord;

/// The section; nothing for a run without a load.
pub(super) fn section(run: &RunRecord) -> Markup {
    if !is_load(run) {
        return html! {};
    }
    html! {
        section id="load" aria-labelledby="load-title" {
            h2 id="load-title" { "Load" }
            @if let Some(found) = &run.capacity { p { strong { (figures::capacity(found)) "." } } }
            (percentiles(run))
            (requests(run))
            (told(run))
            (processes(run))
        }
    }
}

fn table(label: &str, caption: &str, heads: &[String], rows: Vec<Vec<String>>) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) {
            table {
                caption { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody {
                    @for row in rows {
                        tr { @for (n, cell) in row.iter().enumerate() {
                            @if n == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        } }
                    }
                }
            }
        }
    }
}

fn texts(heads: &[&str]) -> Vec<String> {
    heads.iter().map(|h| (*h).to_owned()).collect()
}

fn percentiles(run: &RunRecord) -> Markup {
    let heads: Vec<String> = std::iter::once("Time".to_owned()).chain(figures::heads()).collect();
    let rows = figures::percentiles(run);
    let rows = rows.into_iter().map(|(label, cells)| std::iter::once(label).chain(cells).collect()).collect();
    let caption = format!("Times count from when a request was due. {}", figures::brackets(run));
    table("Times by percentile", &caption, &heads, rows)
}

fn requests(run: &RunRecord) -> Markup {
    let loads = run.trials.iter().filter_map(|t| Some((t, t.load.as_ref()?)));
    let rows = loads.map(|(trial, load)| {
        let made = &load.generated;
        let queue = load.samples.iter().filter_map(|s| s.queued).max();
        vec![
            words::trial(trial),
            load.arrivals.clone(),
            format::whole(made.due),
            format::whole(made.late),
            format::whole(made.dropped),
            format::whole(made.failed + made.unfinished),
            format::rate(made.throughput()),
            queue.map_or_else(|| format::NONE.to_owned(), format::whole),
            format!("{} / {} / {}", load.jobs.completed, load.jobs.failed, load.jobs.taken_over.len()),
            load.jobs.waited.quantile(0.5).map_or_else(|| format::NONE.to_owned(), |us| format::duration(us as f64)),
            load.jobs.ran.quantile(0.5).map_or_else(|| format::NONE.to_owned(), |us| format::duration(us as f64)),
            made.harness_limited().map_or("no", |_| "yes").to_owned(),
        ]
    });
    let heads = texts(&[
        "Trial",
        "Arrivals",
        "Due",
        "Late",
        "Dropped",
        "Not well",
        "Done well",
        "Longest queue",
        "Jobs completed / failed / taken over",
        "Job waited, median",
        "Job ran, median",
        "Harness-limited",
    ]);
    table("Requests", "Requests of each repetition, and the jobs that came of them.", &heads, rows.collect())
}

fn told(run: &RunRecord) -> Markup {
    let groups = run.trials.iter().filter_map(|t| Some((t, t.load.as_ref()?)));
    let rows = groups.flat_map(|(trial, load)| {
        load.told.iter().map(move |group| {
            vec![
                words::trial(trial),
                group.told.name().to_owned(),
                format::whole(group.clients),
                format::whole(group.recovered),
                if group.refresh { "yes" } else { "no" }.to_owned(),
                format!("{:?}", group.event).to_lowercase(),
                format!("{:?}", group.job).to_lowercase(),
                group.examples.first().cloned().unwrap_or_default(),
            ]
        })
    });
    let heads =
        texts(&["Trial", "Told", "Clients", "Found out", "Refresh", "Event is", "Job of the request", "For example"]);
    let caption =
        "What the clients were told, beside what is so at the end. ‘Found out’: an answer was lost on the way.";
    table("What the clients were told", caption, &heads, rows.collect())
}

fn processes(run: &RunRecord) -> Markup {
    let loads = run.trials.iter().filter_map(|t| Some((t, t.load.as_ref()?)));
    let rows = loads.flat_map(|(trial, load)| {
        load.processes.iter().map(move |run| {
            vec![
                words::trial(trial),
                run.place.clone(),
                run.pid.to_string(),
                format::offset(run.started_us.saturating_sub(trial.started_us)),
                format::duration(run.ended_us.saturating_sub(run.started_us) as f64),
                format::duration(run.cpu_us as f64),
                format::bytes(run.peak_rss_bytes as f64),
                words::exit(run.exit),
            ]
        })
    });
    let heads = texts(&["Trial", "Place", "Process", "Started", "Ran for", "CPU", "Peak memory", "Ended with"]);
    table("Processes of the service", "Processes of the service, in the order of their starts.", &heads, rows.collect())
}
