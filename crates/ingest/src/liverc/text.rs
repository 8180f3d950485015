//! Text as a reader of the page sees it: white space collapsed, entities decoded, hidden parts left out.

use std::borrow::Cow;

use scraper::{ElementRef, Node};

/// White space (line breaks of a formatter, no-break spaces) to single spaces, none at the ends.
///
/// NUL, which PostgreSQL's `text` cannot hold, becomes U+FFFD, as an HTML parser would make it.
#[must_use]
pub fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(256));
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        if word.contains('\0') {
            out.push_str(&word.replace('\0', "\u{FFFD}"));
        } else {
            out.push_str(word);
        }
    }
    out
}

/// Decodes HTML entities (`&amp;`, `&#039;`).
#[must_use]
pub fn decode_entities(text: &str) -> Cow<'_, str> {
    if text.contains('&') { html_escape::decode_html_entities(text) } else { Cow::Borrowed(text) }
}

/// The shown text of an element: elements of class `hidden` and those named in `without` left out.
///
/// Block elements and `<br>` separate words, inline ones do not, as in a browser.
#[must_use]
pub fn visible(element: ElementRef<'_>, without: &[&str]) -> String {
    if let Some(Node::Text(only)) = element.first_child().map(|n| n.value())
        && element.first_child() == element.last_child()
        && !has_class(element, "hidden")
    {
        return collapse(only);
    }
    // A stack of its own: pages may nest deeper than a thread's stack allows.
    let mut raw = String::new();
    let mut stack = vec![Some(*element)];
    while let Some(next) = stack.pop() {
        let Some(node) = next else {
            raw.push(' ');
            continue;
        };
        match node.value() {
            Node::Text(text) => raw.push_str(text),
            Node::Element(e) => {
                let name = e.name();
                let skipped = matches!(name, "script" | "style" | "template")
                    || without.contains(&name)
                    || e.attr("class").is_some_and(|c| has_token(c, "hidden"));
                if skipped {
                    continue;
                }
                if breaks_words(name) {
                    raw.push(' ');
                    stack.push(None);
                }
                let first = stack.len();
                stack.extend(node.children().map(Some));
                if let Some(children) = stack.get_mut(first..) {
                    children.reverse();
                }
            }
            _ => {}
        }
    }
    collapse(&raw)
}

/// Whether a class attribute holds `token` as a whole word.
#[must_use]
pub fn has_token(class: &str, token: &str) -> bool {
    class.split_ascii_whitespace().any(|c| c == token)
}

/// Whether an element has the class `token`.
#[must_use]
pub fn has_class(element: ElementRef<'_>, token: &str) -> bool {
    element.value().attr("class").is_some_and(|c| has_token(c, token))
}

/// The elements below `element` (itself included), in document order.
pub fn elements(element: ElementRef<'_>) -> impl Iterator<Item = ElementRef<'_>> {
    element.descendants().filter_map(ElementRef::wrap)
}

/// The first element below `element` that has the class `token`.
#[must_use]
pub fn first_of_class<'a>(element: ElementRef<'a>, token: &str) -> Option<ElementRef<'a>> {
    elements(element).find(|e| has_class(*e, token))
}

/// The cells (`td` and `th`) of a row.
pub fn cells(row: ElementRef<'_>) -> impl Iterator<Item = ElementRef<'_>> {
    row.children().filter_map(ElementRef::wrap).filter(|e| matches!(e.value().name(), "td" | "th"))
}

/// The name of the element's parent (`thead`, `tbody`), or nothing.
#[must_use]
pub fn parent_name(element: ElementRef<'_>) -> &str {
    element.parent().and_then(ElementRef::wrap).map_or("", |p| p.value().name())
}

fn breaks_words(name: &str) -> bool {
    matches!(
        name,
        "br" | "div"
            | "p"
            | "td"
            | "th"
            | "tr"
            | "li"
            | "ul"
            | "ol"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "table"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use scraper::Html;

    fn shown(html: &str, without: &[&str]) -> String {
        visible(Html::parse_fragment(html).root_element(), without)
    }

    #[test]
    fn collapses_all_white_space() {
        assert_eq!(collapse(" 1/8 Nitro\n\t Buggy\u{a0} A-Main "), "1/8 Nitro Buggy A-Main");
        assert_eq!(collapse("A\0B"), "A\u{FFFD}B");
        assert_eq!(collapse(" \n"), "");
    }

    #[test]
    fn hidden_text_and_superscripts_are_left_out() {
        assert_eq!(shown("<span class=\"hidden\">EXAMPLE, ANNA</span>ANNA EXAMPLE", &[]), "ANNA EXAMPLE");
        assert_eq!(shown("<span class='x hidden y'>A</span>B", &[]), "B");
        assert_eq!(shown("<span class='nothidden'>A</span>B", &[]), "AB");
        assert_eq!(shown("36.017<sup>45</sup>", &["sup"]), "36.017");
        assert_eq!(shown("Entries: 71<br>Drivers: 60", &[]), "Entries: 71 Drivers: 60");
        assert_eq!(shown("A<div>B</div>C", &[]), "A B C");
    }

    #[test]
    fn entities_are_decoded() {
        assert_eq!(decode_entities("O&#039;EXAMPLE &amp; CO"), "O'EXAMPLE & CO");
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = format!("{}X{}", "<b>".repeat(50_000), "</b>".repeat(50_000));
        assert!(shown(&deep, &[]).len() <= 1);
    }
}
