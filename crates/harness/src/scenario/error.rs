//! What is wrong with a scenario, where, and what was probably meant.

use std::fmt;
use std::ops::Range;

use crate::nearest::{UnknownName, nearest};

/// Why there is no scenario. Its text is the whole message for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Something in a file is wrong.
    #[error(transparent)]
    InFile(Box<InFile>),
    /// No scenario of that name.
    #[error("{0}\n`harness list` shows them all; a path to a .toml file works as well")]
    NoSuch(UnknownName),
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Path as given.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// Something on the command line is wrong.
    #[error("{flag}: {message}")]
    Flag {
        /// The flag, as `--profile`.
        flag: &'static str,
        /// What is wrong with its value.
        message: String,
    },
}

impl ScenarioError {
    /// Exit code of a wrong scenario or command line (DESIGN 10).
    pub const EXIT: u8 = 2;

    /// Something wrong at a place in a file.
    pub(super) fn at(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::InFile(Box::new(InFile::new(file, text, span, message.into())))
    }

    /// What the TOML reader found wrong, with the nearest name where a name is unknown.
    pub(super) fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = plain(error.message().trim());
        Self::at(file, text, error.span().unwrap_or(0..0), message)
    }
}

/// A mistake in a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFile {
    /// File as it was named.
    pub file: String,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
    /// The line as it stands in the file.
    pub source_line: String,
    /// How many characters of it are meant.
    pub width: usize,
}

impl InFile {
    fn new(file: &str, text: &str, span: Range<usize>, message: String) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.floor_char_boundary(span.end.clamp(start, text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message,
            source_line: text[line_start..line_end].trim_end_matches('\r').to_owned(),
            width: text[start..end.min(line_end).max(start)].chars().count().max(1),
        }
    }
}

impl fmt::Display for InFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, source_line, width } = self;
        write!(f, "{file}:{line}:{column}: {message}")?;
        if !source_line.trim().is_empty() {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let before: String =
                source_line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  {number} | {source_line}\n  {margin} | {before}{}", "^".repeat(*width))?;
        }
        Ok(())
    }
}

impl std::error::Error for InFile {}

/// Says serde's "unknown field" in the words of a scenario, with the nearest key.
fn plain(message: &str) -> String {
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let names = quoted(rest);
        let Some((given, choices)) = names.split_first() else { return message.to_owned() };
        let known: Vec<_> = choices.iter().map(String::as_str).collect();
        return match nearest(given, known.iter().copied()) {
            Some(nearest) => format!("unknown key `{given}`; did you mean `{nearest}`?"),
            None => format!("unknown key `{given}`; keys here: {}", known.join(", ")),
        };
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("the key {rest} is missing");
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return format!("the key {rest} stands here twice");
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_in_lines_and_characters() {
        let text = "a = 1\nküche = \"x\"\n";
        let start = text.find("\"x\"").unwrap();
        let error = ScenarioError::at("dir/s.toml", text, start..start + 3, "no such room");
        assert_eq!(error.to_string(), "dir/s.toml:2:9: no such room\n  2 | küche = \"x\"\n    |         ^^^");
    }

    #[test]
    fn spans_beyond_the_text_or_over_lines_do_no_harm() {
        for (text, span) in [("", 0..0), ("a", 5..9), ("ab\ncd", 1..5), ("é", 1..2)] {
            assert!(ScenarioError::at("s.toml", text, span, "wrong").to_string().contains("wrong"));
        }
    }
}
