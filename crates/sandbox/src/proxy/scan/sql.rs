//! Just enough of SQL to tell what a statement is from its first bytes.

use std::sync::Arc;

/// What a statement is to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// COMMIT or END.
    Commit,
    /// INSERT or MERGE into this table.
    Rows(Arc<str>),
    /// COPY of this table from the client.
    CopyIn(Arc<str>),
    /// Anything else.
    Other,
}

/// A statement by its beginning.
pub(super) fn classify(sql: &[u8]) -> Statement {
    let mut words = Words { rest: sql };
    let Some(first) = words.next() else { return Statement::Other };
    if is(first, "commit") || is(first, "end") {
        return match words.next() {
            None => Statement::Commit,
            Some(word) if ["work", "transaction", "and", ";"].iter().any(|w| is(word, w)) => Statement::Commit,
            // COMMIT PREPARED is another thing.
            Some(_) => Statement::Other,
        };
    }
    if is(first, "copy") {
        let Some(table) = words.name() else { return Statement::Other };
        // From the client or to it: the first of the two words decides (a column list may stand before).
        return match words.find(|w| is(w, "from") || is(w, "to")) {
            Some(word) if is(word, "from") => match words.next() {
                Some(word) if is(word, "stdin") => Statement::CopyIn(table),
                _ => Statement::Other,
            },
            _ => Statement::Other,
        };
    }
    let into = match first {
        word if is(word, "insert") || is(word, "merge") => words.next().is_some_and(|w| is(w, "into")),
        word if is(word, "with") => loop {
            match words.next() {
                None => break false,
                Some(w) if is(w, "insert") || is(w, "merge") => break words.next().is_some_and(|w| is(w, "into")),
                Some(_) => {}
            }
        },
        _ => false,
    };
    match into.then(|| words.name()).flatten() {
        Some(table) => Statement::Rows(table),
        None => Statement::Other,
    }
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Words, quoted names, strings and single characters, without white space and comments.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.starts_with(b"--") {
                let end = self.rest.iter().position(|b| *b == b'\n')?;
                self.rest = &self.rest[end..];
            } else if self.rest.starts_with(b"/*") {
                let end = self.rest.windows(2).position(|w| w == b"*/")?;
                self.rest = &self.rest[end + 2..];
            } else {
                break;
            }
        }
        let first = *self.rest.first()?;
        let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$' || !b.is_ascii();
        let end = if first == b'"' || first == b'\'' {
            self.rest[1..].iter().position(|b| *b == first).map_or(self.rest.len(), |n| n + 2)
        } else if word(&first) {
            self.rest.iter().position(|b| !word(b)).unwrap_or(self.rest.len())
        } else {
            1
        };
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(token)
    }
}

impl Words<'_> {
    /// A table's name without its schema, folded as PostgreSQL folds it.
    fn name(&mut self) -> Option<Arc<str>> {
        let mut part = self.next()?;
        if is(part, "only") {
            part = self.next()?;
        }
        while self.rest.trim_ascii_start().starts_with(b".") {
            self.next()?;
            part = self.next()?;
        }
        let text = String::from_utf8_lossy(part);
        Some(match text.strip_prefix('"') {
            Some(quoted) => Arc::from(quoted.trim_end_matches('"')),
            None => Arc::from(text.to_lowercase()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let rows = |t: &str| Statement::Rows(Arc::from(t));
        for (sql, want) in [
            ("COMMIT", Statement::Commit),
            (" commit ;", Statement::Commit),
            ("/* done */ END TRANSACTION", Statement::Commit),
            ("-- x\nCOMMIT AND CHAIN", Statement::Commit),
            ("COMMIT PREPARED 'a'", Statement::Other),
            ("commits", Statement::Other),
            ("INSERT INTO laps (a) VALUES ($1)", rows("laps")),
            ("insert into public . \"Laps\"(a) select", rows("Laps")),
            ("MERGE INTO ONLY Results r USING", rows("results")),
            ("WITH x AS (SELECT 'insert into y', 1) INSERT INTO laps SELECT", rows("laps")),
            ("WITH x AS (SELECT 1) SELECT", Statement::Other),
            ("COPY public.laps (a, b) FROM STDIN WITH (FORMAT binary)", Statement::CopyIn(Arc::from("laps"))),
            ("COPY laps TO STDOUT", Statement::Other),
            ("COPY laps FROM '/tmp/x'", Statement::Other),
            ("SELECT 1", Statement::Other),
            ("", Statement::Other),
        ] {
            assert_eq!(classify(sql.as_bytes()), want, "{sql}");
        }
    }
}
