//! The frame of every page: head with the inlined stylesheet, navigation, footer.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::plots::palette;

/// Layout and type; the colours come from [`palette`], so that page and plots agree.
static CSS: &str = include_str!("../../../assets/report.css");

/// A page's parts.
pub struct Page<'a> {
    /// Title of window and tab.
    pub title: &'a str,
    /// Anchors: (address, text).
    pub nav: &'a [(&'a str, &'a str)],
    /// What stands in `main`.
    pub body: Markup,
    /// The line at the end.
    pub foot: &'a str,
}

/// The page. Its content security policy forbids every script and every request, whatever text came into it.
pub fn page(page: &Page<'_>) -> String {
    let style = format!("{}{CSS}{}", palette::variables(), palette::rules());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(style)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                @if !page.nav.is_empty() {
                    nav aria-label="Sections" {
                        ul { @for (address, text) in page.nav { li { a href=(address) { (text) } } } }
                    }
                }
                main id="main" { (page.body) }
                footer { p { (page.foot) } }
            }
        }
    }
    .into_string()
}
