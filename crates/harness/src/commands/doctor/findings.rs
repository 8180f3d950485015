//! What the doctor found, and how it reads. Pure.

use std::fmt::Write as _;

use serde::Serialize;

/// Version of the JSON.
const SCHEMA: u32 = 1;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Good.
    Ok,
    /// Runs are possible, but something is worth knowing.
    Note,
    /// Stands in the way of a run.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    /// A good thing.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), advice: None }
    }

    /// Something worth knowing, or in the way, with what to do about it.
    pub fn of(name: &'static str, state: State, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Something that a dead run left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// What.
    pub what: String,
    /// Whether it was removed; absent when that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<bool>,
    /// Why it could not be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Left {
    /// Found and left alone.
    pub fn found(what: String) -> Self {
        Self { what, removed: None, error: None }
    }

    /// Removed, or why not.
    pub fn cleaned(what: String, result: Result<(), String>) -> Self {
        Self { what, removed: Some(result.is_ok()), error: result.err() }
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Version of this record.
    schema: u32,
    /// How a run would get its database; `None` when none can be had.
    pub database: Option<String>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What dead runs left.
    pub leftovers: Vec<Left>,
}

impl Findings {
    /// Of checks.
    pub fn new(database: Option<String>, checks: Vec<Check>) -> Self {
        Self { schema: SCHEMA, database, checks, leftovers: Vec::new() }
    }

    /// Whether nothing that was to be removed is still there.
    pub fn all_cleaned(&self) -> bool {
        self.leftovers.iter().all(|left| left.error.is_none())
    }

    /// For a reader.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0).max("leftovers".len());
        let mut line = |state: State, name: &str, found: &str, advice: Option<&str>| {
            let word = match state {
                State::Ok => "ok",
                State::Note => "note",
                State::Problem => "problem",
            };
            let indent = " ".repeat(width + 11);
            let _ = writeln!(out, "{word:7}  {name:width$}  {}", found.replace('\n', &format!("\n{indent}")));
            if let Some(advice) = advice {
                let _ = writeln!(out, "{indent}→ {}", advice.replace('\n', &format!("\n{indent}  ")));
            }
        };
        for check in &self.checks {
            line(check.state, check.name, &check.found, check.advice.as_deref());
        }
        let (state, found, advice) = self.left();
        line(state, "leftovers", &found, advice);
        let verdict = match &self.database {
            Some(way) => format!("A database can be had: {way}."),
            None => "No database can be had: do one of the things above.".to_owned(),
        };
        let _ = writeln!(out, "\n{verdict}");
        out
    }

    fn left(&self) -> (State, String, Option<&'static str>) {
        if self.leftovers.is_empty() {
            return (State::Ok, "none: no killed run left anything here".to_owned(), None);
        }
        let lines = self.leftovers.iter().map(|left| match (&left.removed, &left.error) {
            (Some(_), Some(error)) => format!("{} could not be removed: {error}", left.what),
            (Some(_), None) => format!("{} removed", left.what),
            (None, _) => left.what.clone(),
        });
        let found = lines.collect::<Vec<_>>().join("\n");
        if !self.all_cleaned() {
            (State::Problem, found, Some("remove it by hand, or as the user whose it is"))
        } else if self.leftovers.iter().any(|left| left.removed.is_none()) {
            (State::Note, found, Some("harness doctor --clean removes these; so does the next run"))
        } else {
            (State::Ok, found, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(leftovers: Vec<Left>) -> Findings {
        let checks = vec![
            Check::ok("PostgreSQL", "15.14 in /usr/lib/postgresql/15/bin"),
            Check::of("Docker", State::Note, "its daemon does not answer", "start it"),
        ];
        Findings { leftovers, ..Findings::new(Some("local".to_owned()), checks) }
    }

    #[test]
    fn it_reads_as_a_table_with_what_to_do() {
        assert_eq!(
            findings(Vec::new()).text(),
            "ok       PostgreSQL  15.14 in /usr/lib/postgresql/15/bin\n\
             note     Docker      its daemon does not answer\n                     → start it\n\
             ok       leftovers   none: no killed run left anything here\n\n\
             A database can be had: local.\n"
        );
    }

    #[test]
    fn leftovers_say_what_becomes_of_them() {
        let text = findings(vec![Left::found("directory /tmp/a".to_owned())]).text();
        assert!(text.contains("note     leftovers   directory /tmp/a\n") && text.contains("--clean"), "{text}");
        let gone = findings(vec![Left::cleaned("process 7 (postgres)".to_owned(), Ok(()))]);
        assert!(gone.all_cleaned() && gone.text().contains("ok       leftovers   process 7 (postgres) removed"));
        let stays = findings(vec![Left::cleaned("directory /tmp/a".to_owned(), Err("busy".to_owned()))]);
        assert!(!stays.all_cleaned());
        assert!(stays.text().contains("problem  leftovers   directory /tmp/a could not be removed: busy"));
    }

    #[test]
    fn json_says_removed_only_where_that_was_asked_for() {
        let json = serde_json::to_value(findings(vec![Left::found("a".to_owned())])).unwrap();
        assert_eq!(json["leftovers"][0], serde_json::json!({ "what": "a" }));
        assert_eq!((json["schema"].as_u64(), json["checks"][1]["state"].as_str()), (Some(1), Some("note")));
    }
}
