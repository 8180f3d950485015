//! Finding where a name stands as code: not in a string, a comment or a regular expression.

use super::Scanner;
use crate::liverc::error::PageError;

/// Longest regular expression that is looked for, in bytes, so that a line of slashes does not cost its square.
const MAX_REGEX: usize = 1000;

impl Scanner<'_> {
    /// Steps over code up to the next place where `word` (the same in every call) stands as code: not in a string, comment or regular
    /// expression, nor as a part of a longer name. False at the end of the script.
    pub(crate) fn find_word(&mut self, word: &str) -> Result<bool, PageError> {
        let finder = memchr::memmem::Finder::new(word);
        loop {
            let text = self.bytes();
            let next = |known: Option<usize>, find: &dyn Fn(&[u8]) -> Option<usize>| match known {
                Some(at) if at >= self.pos => at,
                _ => find(text.get(self.pos..).unwrap_or_default()).map_or(usize::MAX, |at| at + self.pos),
            };
            let [word_at, quote_at, slash_at] = self.ahead;
            let word_now = next(word_at, &|rest| finder.find(rest));
            if word_now == usize::MAX {
                self.pos = self.text.len();
                return Ok(false);
            }
            let quote_now = next(quote_at, &|rest| memchr::memchr3(b'\'', b'"', b'`', rest));
            let slash_now = next(slash_at, &|rest| memchr::memchr(b'/', rest));
            self.ahead = [Some(word_now), Some(quote_now), Some(slash_now)];
            let special = quote_now.min(slash_now);
            if word_now < special {
                self.pos = word_now;
                if self.is_word(word.len()) {
                    return Ok(true);
                }
                self.pos += 1;
                continue;
            }
            self.pos = special;
            self.step_over()?;
        }
    }

    /// Steps over what begins at a quote or a slash.
    fn step_over(&mut self) -> Result<(), PageError> {
        match self.byte() {
            Some(quote @ (b'\'' | b'"' | b'`')) => {
                let opened = self.pos;
                let which = usize::from(quote == b'"') + 2 * usize::from(quote == b'`');
                if self.unclosed.get(which).is_some_and(|&until| opened < until) {
                    self.pos += 1;
                    return Ok(());
                }
                let closed = match quote {
                    b'`' => self.skip_template().is_ok(),
                    _ => self.string(quote).is_ok(),
                };
                // A quote that closes on no line is no string (it may stand in a regular expression). Nor are those
                // within it: after the escape of each the text reads as before.
                if !closed {
                    let until = if quote == b'`' { self.text.len() } else { self.stopped };
                    if let Some(known) = self.unclosed.get_mut(which) {
                        *known = until;
                    }
                    self.pos = opened + 1;
                }
            }
            Some(b'/') if matches!(self.byte_at(self.pos + 1), Some(b'/' | b'*')) => self.skip_comment()?,
            Some(b'/') => self.skip_regex(),
            _ => self.pos += 1,
        }
        Ok(())
    }

    fn is_word(&self, length: usize) -> bool {
        let part =
            |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || b >= 0x80);
        let before = self.pos.checked_sub(1).and_then(|at| self.byte_at(at));
        let member = before == Some(b'.')
            && !self.text.get(..self.pos).is_some_and(|t| t.ends_with("window.") || t.ends_with("this."));
        !part(before) && !member && !part(self.byte_at(self.pos + length))
    }

    /// Steps over a regular expression, or over the slash if it is a division.
    fn skip_regex(&mut self) {
        let before = self.text.get(..self.pos).unwrap_or("").trim_end().bytes().next_back();
        let opened = self.pos;
        self.pos += 1;
        if !before.is_none_or(|b| b"(,=:[!&|?{};+".contains(&b)) {
            return;
        }
        let mut class = false;
        while let Some(byte) = self.byte().filter(|_| self.pos - opened < MAX_REGEX) {
            match byte {
                b'\\' => self.pos += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => {
                    self.pos += 1;
                    return;
                }
                b'\n' => break,
                _ => {}
            }
            self.pos += 1;
        }
        self.pos = opened + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_only_as_code() {
        let found = |text: &str| {
            let mut s = Scanner::new(text, 0);
            s.find_word("laps").unwrap().then(|| s.pos())
        };
        assert_eq!(found("x; laps"), Some(3));
        assert_eq!(found("window.laps"), Some(7));
        for no in ["'laps'", "// laps", "/* laps */", "mylaps", "laps2", "a.laps", "x = /'laps/", "`laps`"] {
            assert_eq!(found(no), None, "{no}");
        }
        assert_eq!(found("a = /[/']/; laps"), Some(12));
        assert_eq!(found("a / b; laps"), Some(7));
    }
}
