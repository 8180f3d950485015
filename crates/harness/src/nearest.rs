//! A mistyped name gets the nearest one of its closed set.

use std::fmt;

/// The choice that was probably meant: the one with the fewest edits, if these are few for the length of the word.
#[must_use]
pub fn nearest<'a>(given: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase().replace('_', "-");
    let longest = given.chars().count();
    choices
        .into_iter()
        .map(|choice| (strsim::osa_distance(&given, &choice.replace('_', "-")), choice))
        .min_by_key(|&(edits, _)| edits)
        .filter(|&(edits, choice)| edits <= (longest.max(choice.len()) / 3).max(1))
        .map(|(_, choice)| choice)
}

/// A name that is not in its closed set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What it should name: `oracle`, `step`, `profile`.
    pub what: &'static str,
    /// As written.
    pub given: String,
    /// What was probably meant.
    pub nearest: Option<String>,
    /// Every choice.
    pub choices: Vec<String>,
}

impl UnknownName {
    /// Describes a name that was looked for in vain.
    #[must_use]
    pub fn new(what: &'static str, given: &str, choices: &[&str]) -> Self {
        Self {
            what,
            given: given.to_owned(),
            nearest: nearest(given, choices.iter().copied()).map(str::to_owned),
            choices: choices.iter().map(|&c| c.to_owned()).collect(),
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} `{}`", self.what, self.given)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => write!(f, "; known: {}", self.choices.join(", ")),
        }
    }
}

impl std::error::Error for UnknownName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let choices = ["same-content", "content", "complete", "no-rewrite"];
        assert_eq!(nearest("contnet", choices), Some("content"));
        assert_eq!(nearest("Content", choices), Some("content"));
        assert_eq!(nearest("same_content", choices), Some("same-content"));
        assert_eq!(nearest("norewrite", choices), Some("no-rewrite"));
        assert_eq!(nearest("zebra", choices), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn the_message_names_the_nearest_or_else_all() {
        let choices = ["before", "after", "fast"];
        assert_eq!(
            UnknownName::new("profile", "fats", &choices).to_string(),
            "unknown profile `fats`; did you mean `fast`?"
        );
        assert_eq!(
            UnknownName::new("profile", "turbo", &choices).to_string(),
            "unknown profile `turbo`; known: before, after, fast"
        );
    }
}
