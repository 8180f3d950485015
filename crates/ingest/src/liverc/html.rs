//! A light tokenizer of HTML: enough to find the parts of a page that are read, and to tell a page that was cut.
//!
//! The parts found are then read by an HTML parser. Comments are skipped, and the text of scripts is never taken for
//! markup, so what is found is what a browser would show or run.

use memchr::memmem;

use super::error::PageError;
use super::text::{collapse, decode_entities, has_token};

/// A piece of markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// `<name attrs>`.
    Open { name: &'a str, attrs: &'a str, start: usize, end: usize },
    /// `</name>`.
    Close { name: &'a str, start: usize, end: usize },
    /// The text between `<script …>` and `</script>`, and where it starts.
    Script { body: &'a str, start: usize },
}

/// The markup of a page, in order.
#[derive(Debug, Clone)]
pub(crate) struct Pieces<'a> {
    text: &'a str,
    pos: usize,
    /// Name of a raw text element whose text comes next.
    raw: Option<&'a str>,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, pos: 0, raw: None }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or("")
    }

    fn stop(&mut self, missing: &'static str) -> Option<Result<Piece<'a>, PageError>> {
        self.pos = self.text.len();
        self.raw = None;
        Some(Err(PageError::CutShort { missing, at: self.text.len() }))
    }

    /// Skips past `end`; `None` if it never comes.
    fn skip_past(&mut self, end: &str) -> Option<()> {
        let found = memmem::find(self.rest().as_bytes(), end.as_bytes())?;
        self.pos += found + end.len();
        Some(())
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, PageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(name) = self.raw.take() {
            let start = self.pos;
            let Some(length) = raw_text_length(self.rest(), name) else {
                let script = name.eq_ignore_ascii_case("script");
                return self.stop(if script {
                    "a script is not closed"
                } else {
                    "an element of raw text is not closed"
                });
            };
            self.pos += length;
            if name.eq_ignore_ascii_case("script") {
                return Some(Ok(Piece::Script { body: self.text.get(start..self.pos).unwrap_or(""), start }));
            }
        }
        loop {
            self.pos += memchr::memchr(b'<', self.rest().as_bytes())?;
            let start = self.pos;
            let rest = self.rest();
            let after = rest.as_bytes().get(1).copied().unwrap_or(b' ');
            if rest.starts_with("<!--") {
                self.pos += 2; // `<!-->` is a whole comment
                if self.skip_past("-->").is_none() {
                    return self.stop("a comment is not closed");
                }
                continue;
            }
            if after == b'!' || after == b'?' {
                if self.skip_past(">").is_none() {
                    return self.stop("a declaration is not closed");
                }
                continue;
            }
            let name_at = start + if after == b'/' { 2 } else { 1 };
            if !self.text.as_bytes().get(name_at).is_some_and(u8::is_ascii_alphabetic) {
                self.pos += 1; // a bare `<` is text
                continue;
            }
            let Some(close) = tag_end(self.text, name_at) else { return self.stop("a tag is not closed") };
            let inside = self.text.get(name_at..close).unwrap_or("");
            let name_length = inside.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(inside.len());
            let (name, attrs) = inside.split_at(name_length);
            self.pos = close + 1;
            if after == b'/' {
                return Some(Ok(Piece::Close { name, start, end: self.pos }));
            }
            if ["script", "style", "textarea", "title"].iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
                self.raw = Some(name);
            }
            return Some(Ok(Piece::Open { name, attrs, start, end: self.pos }));
        }
    }
}

/// Where the `>` of a tag is; a quoted value may hold one. A quote counts only after `=`.
fn tag_end(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut pos = from;
    loop {
        pos += memchr::memchr3(b'>', b'"', b'\'', bytes.get(pos..)?)?;
        let quote = *bytes.get(pos)?;
        if quote == b'>' {
            return Some(pos);
        }
        let before = bytes.get(from..pos)?;
        let opens_value = before.iter().rev().find(|b| !b.is_ascii_whitespace()) == Some(&b'=');
        pos += 1;
        if opens_value {
            pos += memchr::memchr(quote, bytes.get(pos..)?)? + 1;
        }
    }
}

/// How long the text of a raw text element is: up to its own closing tag.
fn raw_text_length(text: &str, name: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    for at in memmem::find_iter(bytes, b"</") {
        let tail = bytes.get(at + 2..)?;
        let Some(found) = tail.get(..name.len()) else { continue };
        let ends = tail.get(name.len()).is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
        if ends && found.eq_ignore_ascii_case(name.as_bytes()) {
            return Some(at);
        }
    }
    None
}

/// The value of an attribute; empty if it has none.
pub(crate) fn attr<'a>(attrs: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = attrs;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return None;
        }
        // A name may begin with `=`, as in a browser: so at least one character is taken.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let name_end = rest
            .get(first..)
            .and_then(|r| r.find(|c: char| c.is_ascii_whitespace() || c == '=' || c == '/'))
            .map_or(rest.len(), |at| at + first);
        let (name, after) = rest.split_at(name_end);
        let trimmed = after.trim_start();
        let (value, next) = match trimmed.strip_prefix('=') {
            None => ("", after),
            Some(value) => {
                let value = value.trim_start();
                match value.chars().next() {
                    Some(quote @ ('"' | '\'')) => {
                        let value = value.get(1..).unwrap_or("");
                        let end = value.find(quote).unwrap_or(value.len());
                        (value.get(..end).unwrap_or(""), value.get(end + 1..).unwrap_or(""))
                    }
                    _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len())),
                }
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
}

/// Whether the class attribute, taken as a whole, holds `token` as a word.
pub(crate) fn class_has(attrs: &str, token: &str) -> bool {
    attr(attrs, "class").is_some_and(|class| has_token(class, token))
}

/// The shown text of a stretch of simple markup: tags and comments dropped, entities decoded, white space collapsed.
pub(crate) fn plain_text(markup: &str) -> String {
    let mut out = String::new();
    let mut from = 0;
    let mut in_raw = false;
    for piece in Pieces::new(markup) {
        match piece {
            Ok(Piece::Open { start, end, .. } | Piece::Close { start, end, .. }) => {
                if !in_raw {
                    out.push_str(without_comments(markup.get(from..start).unwrap_or("")).as_str());
                }
                in_raw = false;
                from = end;
            }
            Ok(Piece::Script { .. }) => in_raw = true,
            Err(_) => break,
        }
    }
    out.push_str(without_comments(markup.get(from..).unwrap_or("")).as_str());
    collapse(&decode_entities(&out))
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        out.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, tail)| tail);
    }
    out.push_str(rest);
    out
}

/// Checks that the page came whole: `</html>` is there, outside of scripts and comments, and nothing is left open.
/// Returns where it is.
///
/// # Errors
/// [`PageError::CutShort`].
pub(crate) fn check_whole(text: &str) -> Result<usize, PageError> {
    let mut end = None;
    for piece in Pieces::new(text) {
        if let Piece::Close { name, start, .. } = piece?
            && name.eq_ignore_ascii_case("html")
        {
            end = Some(start);
        }
    }
    end.ok_or(PageError::CutShort { missing: "no </html>", at: text.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Pieces::new(text)
            .map(|p| match p {
                Ok(Piece::Open { name, .. }) => name.to_owned(),
                Ok(Piece::Close { name, .. }) => format!("/{name}"),
                Ok(Piece::Script { body, .. }) => format!("script:{body}"),
                Err(e) => format!("{e}"),
            })
            .collect()
    }

    #[test]
    fn scripts_and_comments_are_no_markup() {
        assert_eq!(
            names("<!doctype html><p><!-- <table> --><script>a<'<b>' </scripty></script></p>"),
            ["p", "script", "script:a<'<b>' </scripty>", "/script", "/p"]
        );
        assert_eq!(names("a < b <!--> <i>"), ["i"]);
    }

    #[test]
    fn a_quoted_value_may_hold_an_angle_bracket() {
        assert_eq!(names("<a title=\"x > y\" class='b'><c>"), ["a", "c"]);
        assert_eq!(names("<a don't><c>"), ["a", "c"]);
    }

    #[test]
    fn attributes_in_every_quoting() {
        let attrs = r#" id=x class = "table  race_result" data-k='a b' checked href=/a/b"#;
        assert_eq!(attr(attrs, "class"), Some("table  race_result"));
        assert_eq!(attr(attrs, "data-k"), Some("a b"));
        assert_eq!(attr(attrs, "checked"), Some(""));
        assert_eq!(attr(attrs, "href"), Some("/a/b"));
        assert_eq!(attr(attrs, "ID"), Some("x"));
        assert_eq!(attr(attrs, "k"), None);
        assert!(class_has(attrs, "race_result"));
        assert!(!class_has(" class=\"race_result_old\"", "race_result"));
    }

    #[test]
    fn whole_pages_and_cut_ones() {
        assert!(check_whole("<html><script>x</script></html>\n").is_ok());
        for cut in ["<html>", "<html><script>'</html>'", "<html><!-- </html>", "<html></html", ""] {
            assert!(check_whole(cut).is_err(), "{cut}");
        }
    }

    #[test]
    fn plain_text_drops_tags() {
        assert_eq!(plain_text("<i class='fa'></i> Buggy &amp;\n Truck <b>Results</b>"), "Buggy & Truck Results");
        assert_eq!(plain_text("A<!-- B -->C<script>D</script>E"), "ACE");
    }
}
