//! The text of a race on the event page: `Race 14: CLASS (LABEL)`.

/// Longest text that is taken apart, bytes; LiveRC's have some dozens.
const LONGEST: usize = 1000;

/// A race's text, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RaceTitle {
    pub(crate) number: Option<u32>,
    pub(crate) class: String,
    pub(crate) label: String,
}

/// Takes `Race 14: CLASS (LABEL)` apart; white space is collapsed already.
pub(crate) fn parse(text: &str) -> RaceTitle {
    let (number, rest) = match text.split_once(':') {
        Some((head, rest)) => match race_number(head) {
            Some(number) => (Some(number), rest.trim_start()),
            None => (None, text),
        },
        None => (None, text),
    };
    let (class, label) = split_label(rest);
    RaceTitle { number, class: class.to_owned(), label: label.to_owned() }
}

fn race_number(head: &str) -> Option<u32> {
    let (word, number) = head.trim().rsplit_once(' ')?;
    if !word.eq_ignore_ascii_case("race") {
        return None;
    }
    super::times::number(number).ok()
}

/// Splits `CLASS (LABEL)`. Both may hold parentheses of their own, so the split at which LABEL begins with CLASS is
/// taken; where there is none, the first parenthesis that closes at the end.
fn split_label(text: &str) -> (&str, &str) {
    // Every parenthesis is tried as the split: one of thousands must not cost their square.
    if !text.ends_with(')') || text.len() > LONGEST {
        return (text, "");
    }
    let splits = || text.match_indices(" (").map(|(at, _)| at);
    let parts = |at: usize| Some((text.get(..at)?.trim_end(), text.get(at + 2..text.len() - 1)?.trim()));
    let named_again = |at: &usize| parts(*at).is_some_and(|(class, label)| begins_with(label, class));
    let closes_last = |at: &usize| text.get(at + 1..).is_some_and(closes_at_end);
    splits()
        .find(|at| named_again(at) && closes_last(at))
        .or_else(|| splits().find(named_again))
        .or_else(|| splits().find(closes_last))
        .and_then(parts)
        .unwrap_or((text, ""))
}

/// Whether the parenthesis that `text` begins with is closed by its last character.
fn closes_at_end(text: &str) -> bool {
    let mut depth = 0_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1 == text.len();
                }
            }
            _ => {}
        }
    }
    false
}

/// Whether `label` is `class`, or goes on after it with another word.
fn begins_with(label: &str, class: &str) -> bool {
    let Some(head) = label.get(..class.len()) else { return false };
    let goes_on = label.get(class.len()..).and_then(|r| r.chars().next());
    !class.is_empty() && head.eq_ignore_ascii_case(class) && !goes_on.is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing.
    #[test]
    fn a_text_without_end_is_left_whole() {
        let long = format!("Race 1: {}x)", "(1/8 ".repeat(1_000_000));
        assert_eq!(parse(&long).label, "");
        assert_eq!(parse(&long).number, Some(1));
    }

    fn split(text: &str) -> (Option<u32>, String, String) {
        let t = parse(text);
        (t.number, t.class, t.label)
    }

    fn expect(number: u32, class: &str, label: &str) -> (Option<u32>, String, String) {
        (Some(number), class.to_owned(), label.to_owned())
    }

    #[test]
    fn every_form_of_label() {
        assert_eq!(split("Race 14: Buggy (Buggy A-Main)"), expect(14, "Buggy", "Buggy A-Main"));
        assert_eq!(split("Race 6: 1/8 Buggy (1/8 Buggy (Heat 3/3))"), expect(6, "1/8 Buggy", "1/8 Buggy (Heat 3/3)"));
        assert_eq!(split("Race 2: Junior"), expect(2, "Junior", ""));
        assert_eq!(split("Race 2: Stock (17.5) Truck"), expect(2, "Stock (17.5) Truck", ""));
    }

    #[test]
    fn classes_that_hold_parentheses() {
        assert_eq!(
            split("Race 1: Stock (17.5) (Stock (17.5) (Heat 1/2))"),
            expect(1, "Stock (17.5)", "Stock (17.5) (Heat 1/2)")
        );
        assert_eq!(
            split("Race 1: Stock (17.5) Truck (Stock (17.5) Truck B2-Main)"),
            expect(1, "Stock (17.5) Truck", "Stock (17.5) Truck B2-Main")
        );
        assert_eq!(split("Race 3: Buggy (Open) (Group 2)"), expect(3, "Buggy (Open)", "Group 2"));
        assert_eq!(split("Race 3: Buggy (Group (2))"), expect(3, "Buggy", "Group (2)"));
    }

    #[test]
    fn a_missing_number_is_none() {
        assert_eq!(split("Practice: Group 1"), (None, "Practice: Group 1".to_owned(), String::new()));
        assert_eq!(split("Race X: Buggy").0, None);
        assert_eq!(split(""), (None, String::new(), String::new()));
    }
}
