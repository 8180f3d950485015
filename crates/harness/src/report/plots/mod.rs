//! Plots of a run, as SVG with real text. Each is drawn twice, for a wide and a narrow screen, since text that is scaled
//! down with its picture cannot be read.

mod axes;
mod bands;
mod canvas;
mod intervals;
pub mod load;
mod metrics;
pub mod palette;
mod percentiles;
mod saturation;
mod search;
mod stages;
mod throughput;
mod timeline;
pub mod waterfall;

pub use canvas::PlotError;

use maud::{Markup, PreEscaped, html};

use crate::trial::record::RunRecord;

use super::{compared, groups};
use canvas::Canvas;

/// A plot in both widths.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Name of its file, without `.svg`; also its anchor.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// How to read it, a sentence or two.
    pub caption: String,
    /// Index of the trial that it belongs to; `None`: the run.
    pub trial: Option<usize>,
    wide: String,
    narrow: String,
}

/// Widths that plots are drawn for, px.
const WIDE: u32 = 880;
const NARROW: u32 = 350;

/// Width of a drawing.
fn width(narrow: bool) -> u32 {
    if narrow { NARROW } else { WIDE }
}

/// More trials than this get no timeline each, unless something happened in them.
const MANY_TRIALS: usize = 12;

/// More groups than this get no percentile curves: tables show them.
const MANY_GROUPS: usize = 8;

impl Plot {
    /// Draws both widths; `height` is told whether the plot is narrow.
    fn draw(
        name: impl Into<String>,
        title: impl Into<String>,
        caption: impl Into<String>,
        height: impl Fn(bool) -> u32,
        paint: impl Fn(&Canvas<'_>),
    ) -> Result<Self, PlotError> {
        let name = name.into();
        let wide = canvas::draw(&name, (WIDE, height(false)), &paint)?;
        let narrow = canvas::draw(&name, (NARROW, height(true)), &paint)?;
        Ok(Self { name, title: title.into(), caption: caption.into(), trial: None, wide, narrow })
    }

    /// As a file of its own, that follows the theme of whoever shows it.
    #[must_use]
    pub fn standalone(&self) -> String {
        let (open, body) = split(&self.wide);
        let title = html! { title { (self.title) } desc { (self.caption) } }.into_string();
        format!(
            "{} class=\"plot\" role=\"img\">\n{title}\n<style>{}{}text{{font-family:system-ui,sans-serif}}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#FBFAF7\"/>\n{body}",
            open,
            palette::variables(),
            palette::rules(),
        )
    }

    /// Whether it stands with the findings of a comparison, ahead of the other plots.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.name == intervals::NAME
    }

    /// As a figure of the page: both widths, of which the page's stylesheet shows the fitting one.
    #[must_use]
    pub fn figure(&self) -> Markup {
        html! {
            figure class="figure" id=(format!("plot-{}", self.name)) {
                figcaption {
                    strong { (self.title) }
                    " " span { (self.caption) }
                }
                (self.inline(&self.wide, "wide"))
                (self.inline(&self.narrow, "narrow"))
            }
        }
    }

    fn inline(&self, svg: &str, width: &str) -> Markup {
        let (open, body) = split(svg);
        // Inside of HTML the namespace is known, and an address in the page would look like a link to the network.
        let open = open.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
        let attributes = html! { title { (self.title) } };
        PreEscaped(format!("{open} class=\"plot {width}\" role=\"img\">{}{body}", attributes.into_string()))
    }
}

/// The opening tag without its `>`, and the rest.
fn split(svg: &str) -> (&str, &str) {
    svg.split_once('>').unwrap_or((svg, ""))
}

/// Every plot that the run has data for.
///
/// # Errors
/// When a plot cannot be drawn: a fault of the harness.
pub fn all(run: &RunRecord) -> Result<Vec<Plot>, PlotError> {
    let groups = groups::of_run(run);
    let mut plots = Vec::new();
    plots.extend(search::plots(run.search.as_ref())?);
    plots.extend(load::plots(run)?);
    let comparison = compared::View::of(run);
    if let Some(view) = &comparison {
        plots.extend(intervals::plot(view)?);
        plots.extend(bands::plots(&groups)?);
    } else {
        plots.extend(saturation::plot(run)?);
        plots.extend(metrics::plot(&groups)?);
    }
    plots.extend(throughput::plot(&groups)?);
    plots.extend(stages::plot(&groups)?);
    if groups.len() <= MANY_GROUPS && comparison.is_none() {
        plots.extend(percentiles::plots(&groups)?);
    }
    for (index, trial) in run.trials.iter().enumerate() {
        let eventful = (!trial.faults.is_empty() && comparison.is_none())
            || super::overall::of_trial(trial).verdict != crate::oracle::Verdict::Held;
        if (run.trials.len() <= MANY_TRIALS && comparison.is_none()) || eventful {
            plots.extend(timeline::plot(trial)?.map(|p| Plot { trial: Some(index), ..p }));
            plots.extend(load::timeline(trial)?.map(|p| Plot { trial: Some(index), ..p }));
        }
    }
    Ok(plots)
}
