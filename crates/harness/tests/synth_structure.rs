//! Rendered and real pages, compared by structure: tag paths, classes, attributes, and the tokens of the scripts in the
//! content. The differences are listed, and the list must be the one written down here.

mod synth_support;

use std::collections::BTreeSet;

use harness::synth::{Form, Size, Synth};
use scraper::{ElementRef, Html};
use synth_support::real_page;

type Shape = BTreeSet<String>;

/// Everything structural about a page.
fn shape(page: &str) -> Shape {
    let html = Html::parse_document(page);
    let mut shape = Shape::new();
    walk(html.root_element(), "", false, &mut shape);
    shape
}

fn walk(element: ElementRef<'_>, parent: &str, content: bool, shape: &mut Shape) {
    let value = element.value();
    let path = format!("{parent}/{}", value.name());
    let mut classes: Vec<&str> = value.classes().collect();
    classes.sort_unstable();
    // Ids with a number in them are those of a class of cars.
    let id = value.id().filter(|id| !id.contains(|c: char| c.is_ascii_digit()));
    shape.insert(format!("path {path}"));
    let name = value.name();
    shape.insert(format!("class {name}{}{}", dotted(&classes), id.map(|id| format!("#{id}")).unwrap_or_default()));
    for (attribute, _) in value.attrs() {
        shape.insert(format!("attribute {name}@{attribute}"));
    }
    let content = content || value.id() == Some("page-wrapper");
    if name == "script" && content {
        let tokens = tokens(&element.text().collect::<String>());
        for three in tokens.windows(3) {
            shape.insert(format!("script {}", three.join(" ")));
        }
    }
    for child in element.children().filter_map(ElementRef::wrap) {
        walk(child, &path, content, shape);
    }
}

fn dotted(classes: &[&str]) -> String {
    classes.iter().map(|class| format!(".{class}")).collect()
}

/// Tokens of JavaScript: names as they are, strings as `S`, numbers as `N`, every other character by itself.
fn tokens(script: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first.is_ascii_digit() {
            let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            tokens.push("N".to_owned());
            len
        } else if first.is_alphabetic() || first == '_' || first == '$' {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else if first == '\'' || first == '"' {
            tokens.push("S".to_owned());
            string_len(rest, first)
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    tokens
}

fn string_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// `-` what only the real pages have, `+` what only the rendered ones have.
fn differences(real: &[String], rendered: &[String]) -> Vec<String> {
    let union = |pages: &[String]| pages.iter().flat_map(|page| shape(page)).collect::<Shape>();
    let (real, rendered) = (union(real), union(rendered));
    let mut list: Vec<String> = real.difference(&rendered).map(|s| format!("- {s}")).collect();
    list.extend(rendered.difference(&real).map(|s| format!("+ {s}")));
    list
}

fn assert_differences(what: &str, real: &[String], rendered: &[String], expected: &[&str]) {
    let list = differences(real, rendered);
    eprintln!("{what}: {} differences\n{}", list.len(), list.join("\n"));
    assert_eq!(list, expected, "{what}");
}

fn synth() -> Synth {
    Synth::new(Size::Large, 7)
}

#[test]
fn race_pages_are_built_as_real_ones() {
    let (Some(one), Some(two)) = (real_page("race-6304822.html"), real_page("race-6304829.html")) else { return };
    let synth = synth();
    let rendered: Vec<String> =
        synth.race_ids().into_iter().filter_map(|id| synth.race_page(id, Form::Raw)).take(12).collect();
    assert_differences("race page", &[one, two], &rendered, RACE);
}

#[test]
fn event_pages_are_built_as_real_ones() {
    let Some(real) = real_page("event-486677.html") else { return };
    assert_differences("event page", &[real], &[synth().event_page(Form::Formatted)], EVENT);
}

#[test]
fn entry_lists_are_built_as_real_ones() {
    let Some(real) = real_page("entry-list-excerpt.html") else { return };
    let rendered: Vec<String> = synth().entries_page(Form::Formatted).into_iter().collect();
    assert_differences("entry list", &[real], &rendered, ENTRIES);
}

#[test]
fn both_forms_of_a_page_have_one_structure() {
    let synth = synth();
    let id = synth.race_ids()[0];
    let pages = |form| {
        [Some(synth.event_page(form)), synth.entries_page(form), synth.race_page(id, form)].map(|page| {
            shape(&page.expect("a page")).into_iter().filter(|s| !s.starts_with("script")).collect::<Shape>()
        })
    };
    assert_eq!(pages(Form::Raw), pages(Form::Formatted));
}

/// The raw script line by line: tabs, keys and punctuation as the site has them, whatever the values.
#[test]
fn the_script_is_the_sites_to_the_tab() {
    let Some(real) = real_page("race-6304822.html") else { return };
    let lines = |page: &str| -> Shape {
        let from = page.find("var racerLaps").expect("a script");
        let to = from + page[from..].find("</script>").expect("its end");
        page[from..to]
            .lines()
            .map(|line| format!("{} {}", line.len() - line.trim_start_matches('\t').len(), tokens(line).join(" ")))
            .collect()
    };
    let synth = synth();
    let with_absent = synth
        .race_ids()
        .into_iter()
        .find(|id| synth.race(*id).is_some_and(|r| r.results.iter().any(|r| r.laps.is_empty() && r.shown.scripted)))
        .expect("somebody did not start");
    assert_eq!(lines(&synth.race_page(with_absent, Form::Raw).expect("a page")), lines(&real));
}

/// Page sizes are real ones: about 285 bytes a lap (the real pages' own difference), plus chrome.
#[test]
fn pages_weigh_what_real_ones_do() {
    let synth = synth();
    for id in synth.race_ids() {
        let (race, page) = (synth.race(id).expect("listed"), synth.race_page(id, Form::Raw).expect("listed"));
        let rest = page.len().saturating_sub(race.lap_count() * 285);
        assert!((15_000..55_000).contains(&rest), "race {id}: {} bytes, {} laps", page.len(), race.lap_count());
    }
}

/// The comparison notices each of these; otherwise it would prove nothing.
#[test]
fn the_comparison_sees_what_is_different() {
    let synth = synth();
    let page = synth.race_page(synth.race_ids()[0], Form::Raw).expect("a page");
    assert_eq!(differences(std::slice::from_ref(&page), std::slice::from_ref(&page)), Vec::<String>::new());
    for (from, to, noticed) in [
        ("<span class=\"car_num\">", "<span class=\"car_number\">", "class span.car_num"),
        ("data-driver-id=", "data-driver=", "attribute a@data-driver-id"),
        ("<tfoot>", "<tfoot><tr><td><b>x</b></td></tr>", "tfoot/tr/td/b"),
        ("'segments' :", "segments :", "script , segments :"),
        ("positionDataDriver.data.push(", "positionDataDriver.push(", "script positionDataDriver . push"),
    ] {
        let list = differences(std::slice::from_ref(&page), &[page.replace(from, to)]);
        assert!(list.iter().any(|line| line.ends_with(noticed)), "{from} → {to}: {list:?}");
    }
}

/// None: every element, class, attribute and script statement of the content is as on the real pages.
const RACE: &[&str] = &[];

/// None.
const EVENT: &[&str] = &[];

/// The excerpt lost most of its classes and has two `</div>` too many there, so that its statistics stand two levels
/// higher. A whole page has not.
const ENTRIES: &[&str] = &[
    "- path /html/body/div/div/div/div/h2",
    "- path /html/body/div/div/div/div/h2/i",
    "- path /html/body/div/div/div/div/table",
    "- path /html/body/div/div/div/div/table/tbody",
    "- path /html/body/div/div/div/div/table/tbody/tr",
    "- path /html/body/div/div/div/div/table/tbody/tr/td",
    "- path /html/body/div/div/div/div/table/tbody/tr/td/br",
    "- path /html/body/div/div/div/div/table/tbody/tr/th",
    "+ path /html/body/div/div/div/div/div/div/h2",
    "+ path /html/body/div/div/div/div/div/div/h2/i",
    "+ path /html/body/div/div/div/div/div/div/table",
    "+ path /html/body/div/div/div/div/div/div/table/tbody",
    "+ path /html/body/div/div/div/div/div/div/table/tbody/tr",
    "+ path /html/body/div/div/div/div/div/div/table/tbody/tr/td",
    "+ path /html/body/div/div/div/div/div/div/table/tbody/tr/td/br",
    "+ path /html/body/div/div/div/div/div/div/table/tbody/tr/th",
];
