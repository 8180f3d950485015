//! Bounds on markup that is given to the HTML parser.
//!
//! The parser's time grows with the square of the nesting and of a tag's attributes, and each of its nodes takes some
//! hundred bytes. A garbled page of a few MB could so keep a core busy for minutes, or take GBs. LiveRC's pages nest 15
//! deep, have some thousand tags, and none longer than 250 bytes.

use std::collections::HashMap;

use super::error::PageError;

/// Deepest nesting.
const DEEPEST: usize = 64;
/// Most tags, comments and declarations.
const MOST: usize = 300_000;
/// Longest tag, bytes.
const LONGEST: usize = 8192;

/// Elements without an end tag, and those whose end tag may be left out since the next of their kind ends them.
const NOT_NESTED: [&str; 26] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr", "td", "tr",
    "th", "li", "p", "option", "tbody", "thead", "tfoot", "dt", "dd", "colgroup", "html",
];

/// Checks markup before it is given to the HTML parser. What stands in scripts is not looked at.
///
/// # Errors
/// [`PageError::Overgrown`].
pub(crate) fn check(markup: &str) -> Result<(), PageError> {
    let overgrown = |what, at| Err(PageError::Overgrown { what, at });
    let mut open: HashMap<String, usize> = HashMap::new();
    let (mut depth, mut tags, mut raw_until) = (0, 0_usize, 0);
    for at in memchr::memchr_iter(b'<', markup.as_bytes()) {
        if at < raw_until {
            continue;
        }
        tags += 1;
        if tags > MOST {
            return overgrown("has more tags", at);
        }
        let after = markup.get(at + 1..).unwrap_or("");
        let (closes, after) = after.strip_prefix('/').map_or((false, after), |rest| (true, rest));
        if !after.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        // Looked for no further than it may be long: a page of unclosed tags must not cost its square.
        let near = &after.as_bytes()[..after.len().min(LONGEST)];
        let Some(length) = memchr::memchr(b'>', near) else {
            if after.len() > LONGEST {
                return overgrown("has a longer tag", at);
            }
            break; // the page ends within the tag, which the parser drops
        };
        let tag = &near[..length];
        let name = tag.split(|b| b.is_ascii_whitespace() || *b == b'/').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if name == "script" && !closes {
            raw_until = at + 1 + end_of_script(after).unwrap_or(after.len());
        }
        if NOT_NESTED.contains(&name.as_str()) || (tag.ends_with(b"/") && is_drawing(&name)) {
            continue;
        }
        if !closes {
            *open.entry(name).or_default() += 1;
            depth += 1;
        } else if let Some(n) = open.get_mut(&name).filter(|n| **n > 0) {
            *n -= 1;
            depth -= 1;
        }
        if depth > DEEPEST {
            return overgrown("nests deeper", at);
        }
    }
    Ok(())
}

fn end_of_script(text: &str) -> Option<usize> {
    memchr::memmem::find_iter(text.as_bytes(), b"</")
        .find(|at| text.as_bytes().get(at + 2..at + 8).is_some_and(|name| name.eq_ignore_ascii_case(b"script")))
}

/// Whether an element of this name is one of a drawing, where `<path … />` has no end tag.
fn is_drawing(name: &str) -> bool {
    ["path", "circle", "rect", "line", "polygon", "polyline", "ellipse", "use", "stop"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(markup: &str) -> Option<&'static str> {
        match check(markup) {
            Ok(()) => None,
            Err(PageError::Overgrown { what, .. }) => Some(what),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_no_page_has_is_refused() {
        assert_eq!(wrong(&"<div>".repeat(DEEPEST)), None);
        assert_eq!(wrong(&"<div>".repeat(DEEPEST + 1)), Some("nests deeper"));
        assert_eq!(wrong(&"<b><i>x</b>".repeat(DEEPEST + 1)), Some("nests deeper"), "each leaves one open");
        assert_eq!(wrong(&"<div></b>".repeat(DEEPEST + 1)), Some("nests deeper"), "stray end tags end nothing");
        assert_eq!(wrong(&"<br>".repeat(MOST + 1)), Some("has more tags"));
        assert_eq!(wrong(&format!("<a {}>", "x ".repeat(LONGEST))), Some("has a longer tag"));
    }

    #[test]
    fn what_pages_have_is_not() {
        let row = "<tr><td>1<td><a href='x'>A</a><br><svg><path d='M0 0' /></svg><p>x<li>y";
        assert_eq!(wrong(&format!("<table>{}</table>", row.repeat(5000))), None);
        let script = format!("<script>{}</script><p>x", "if (a<b) x('<div>');".repeat(1000));
        assert_eq!(wrong(&script), None);
        assert_eq!(wrong("<script>if (a<b)"), None);
        assert_eq!(wrong("a < b <3 <a href="), None);
    }
}
