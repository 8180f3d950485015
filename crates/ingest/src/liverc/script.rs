//! A tokenizer for the JavaScript that LiveRC writes: strings with escapes, comments, nesting.
//!
//! It does not run anything. It reads literals, and steps over everything else without being led astray by quotes,
//! braces or comments.

mod code;

use std::borrow::Cow;

use super::error::PageError;

/// Nesting that is followed; deeper is refused (LiveRC's is three).
const MAX_DEPTH: usize = 64;

/// A value in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    /// A quoted string, escapes resolved.
    Text(Cow<'a, str>),
    /// A bare word or number.
    Bare(&'a str),
}

impl Scalar<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Bare("null" | "undefined") => "",
            Self::Bare(word) => word,
        }
    }
}

/// Reads through one script.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    pos: usize,
    /// Where the script starts in the page.
    base: usize,
    /// Where the last string that could not be read stopped being one.
    stopped: usize,
    /// Up to where no `'`, no `"` and no backtick opens anything that is closed. What is found out once is not found out
    /// again at each further quote, which would cost the square of their number.
    unclosed: [usize; 3],
    /// Where the next word that is looked for, quote and slash are, as far as known; each is looked for again only when it
    /// has been passed.
    ahead: [Option<usize>; 3],
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, base: usize) -> Self {
        Self { text, pos: 0, base, stopped: 0, unclosed: [0; 3], ahead: [None; 3] }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    pub(crate) fn set_pos(&mut self, pos: usize) {
        self.pos = pos;
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    pub(crate) fn byte(&self) -> Option<u8> {
        self.bytes().get(self.pos).copied()
    }

    fn byte_at(&self, at: usize) -> Option<u8> {
        self.bytes().get(at).copied()
    }

    pub(crate) fn starts_with(&self, text: &str) -> bool {
        self.bytes().get(self.pos..).is_some_and(|r| r.starts_with(text.as_bytes()))
    }

    pub(crate) fn offset(&self) -> usize {
        self.base + self.pos
    }

    pub(crate) fn fail(&self, what: impl Into<String>) -> PageError {
        PageError::Script { what: what.into(), at: self.offset() }
    }

    fn found(&self) -> String {
        match self.text.get(self.pos..).and_then(|r| r.chars().next()) {
            Some(c) => format!("{c:?}"),
            None => "the end of the script".to_owned(),
        }
    }

    /// Steps over white space and comments.
    pub(crate) fn skip_trivia(&mut self) -> Result<(), PageError> {
        loop {
            self.skip_tabs();
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => self.pos += 1,
                Some(b'/') if matches!(self.byte_at(self.pos + 1), Some(b'/' | b'*')) => self.skip_comment()?,
                Some(0x80..) => {
                    let Some(c) = self.text.get(self.pos..).and_then(|r| r.chars().next()) else { return Ok(()) };
                    if !c.is_whitespace() && c != '\u{feff}' {
                        return Ok(());
                    }
                    self.pos += c.len_utf8();
                }
                _ => return Ok(()),
            }
        }
    }

    /// Pages indent by dozens of tabs, which are most of their bytes: so these are taken sixteen at a time.
    fn skip_tabs(&mut self) {
        const TABS: u128 = u128::from_ne_bytes([b'\t'; 16]);
        while let Some(next) = self.bytes().get(self.pos..).and_then(<[u8]>::first_chunk::<16>) {
            let other = u128::from_le_bytes(*next) ^ TABS;
            // The lowest byte that is not zero is the first that is no tab.
            self.pos += (other.trailing_zeros() / 8) as usize;
            if other != 0 {
                return;
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), PageError> {
        let rest = self.bytes().get(self.pos..).unwrap_or_default();
        if rest.starts_with(b"//") {
            self.pos += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        } else {
            let body = rest.get(2..).unwrap_or_default();
            let length = memchr::memmem::find(body, b"*/").ok_or_else(|| self.fail("a comment is not closed"))?;
            self.pos += length + 4;
        }
        Ok(())
    }

    /// Takes `byte` (after white space), or fails and says what was there instead.
    pub(crate) fn expect(&mut self, byte: u8, why: &str) -> Result<(), PageError> {
        self.skip_trivia()?;
        if self.byte() == Some(byte) {
            self.pos += 1;
            return Ok(());
        }
        Err(self.fail(format!("expected {:?} {why}, found {}", char::from(byte), self.found())))
    }

    /// After a member: takes a comma, or sees `close`. A comma may stand before `close`.
    pub(crate) fn separator(&mut self, close: u8) -> Result<(), PageError> {
        self.skip_trivia()?;
        match self.byte() {
            Some(b',') => self.pos += 1,
            Some(b) if b == close => {}
            _ => return Err(self.fail(format!("expected ',' or {:?}, found {}", char::from(close), self.found()))),
        }
        Ok(())
    }

    /// Takes `close` if it is next.
    pub(crate) fn closes(&mut self, close: u8) -> Result<bool, PageError> {
        self.skip_trivia()?;
        let closes = self.byte() == Some(close);
        self.pos += usize::from(closes);
        Ok(closes)
    }

    /// Reads `key :` of an object; the key may be quoted or not.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, PageError> {
        let key = match self.scalar()? {
            Scalar::Text(text) => text,
            Scalar::Bare(word) => Cow::Borrowed(word),
        };
        self.expect(b':', "after a key")?;
        Ok(key)
    }

    /// Reads a string, number or word.
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>, PageError> {
        self.skip_trivia()?;
        match self.byte() {
            Some(quote @ (b'\'' | b'"')) => Ok(Scalar::Text(self.string(quote)?)),
            _ => {
                let rest = self.bytes().get(self.pos..).unwrap_or_default();
                let bare = |b: &u8| {
                    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.' | b'-' | b'+') || !b.is_ascii()
                };
                let length = rest.iter().take_while(|b| bare(b)).count();
                if length == 0 {
                    return Err(self.fail(format!("expected a string or a number, found {}", self.found())));
                }
                let word = self.text.get(self.pos..self.pos + length).unwrap_or("");
                self.pos += length;
                Ok(Scalar::Bare(word))
            }
        }
    }

    /// Reads a string whose opening quote is next. It may not span lines, as in JavaScript: so a lost quote is noticed.
    fn string(&mut self, quote: u8) -> Result<Cow<'a, str>, PageError> {
        self.stopped = self.text.len();
        let opened = self.pos;
        let start = self.pos + 1;
        let mut from = start;
        let mut built: Option<String> = None;
        let unclosed = |s: &Self| PageError::Script { what: "a string is not closed".into(), at: s.base + opened };
        loop {
            // Most strings have a few bytes, for which a plain loop is quicker than a search.
            let rest = self.bytes().get(from..).ok_or_else(|| unclosed(self))?;
            let ends = |b: &u8| *b == quote || matches!(b, b'\\' | b'\n');
            let at = from + rest.iter().position(ends).ok_or_else(|| unclosed(self))?;
            let plain = self.text.get(from..at).unwrap_or("");
            match self.byte_at(at) {
                Some(b'\\') => {
                    let out = built.get_or_insert_with(String::new);
                    out.push_str(plain);
                    self.pos = at + 1;
                    if let Err(error) = self.escape(out) {
                        self.stopped = self.pos;
                        return Err(error);
                    }
                    from = self.pos;
                }
                Some(b) if b == quote => {
                    self.pos = at + 1;
                    return Ok(match built {
                        None => Cow::Borrowed(plain),
                        Some(mut out) => {
                            out.push_str(plain);
                            Cow::Owned(out)
                        }
                    });
                }
                _ => {
                    self.stopped = at;
                    return Err(unclosed(self));
                }
            }
        }
    }

    /// Resolves an escape; the backslash is taken already.
    fn escape(&mut self, out: &mut String) -> Result<(), PageError> {
        let c = self.text.get(self.pos..).and_then(|r| r.chars().next());
        let c = c.ok_or_else(|| self.fail("a string is not closed"))?;
        self.pos += c.len_utf8();
        match c {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            '0' => out.push('\0'),
            'x' => {
                let unit = self.hex(2)?;
                out.push(char::from_u32(unit).unwrap_or('\u{FFFD}'));
            }
            'u' => {
                let first = self.code_unit()?;
                if (0xD800..0xDC00).contains(&first) && self.starts_with("\\u") {
                    let resume = self.pos;
                    self.pos += 2;
                    let second = self.code_unit()?;
                    if (0xDC00..0xE000).contains(&second) {
                        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                        out.push(char::from_u32(code).unwrap_or('\u{FFFD}'));
                        return Ok(());
                    }
                    self.pos = resume;
                }
                out.push(char::from_u32(first).unwrap_or('\u{FFFD}'));
            }
            '\r' => self.pos += usize::from(self.byte() == Some(b'\n')),
            '\n' | '\u{2028}' | '\u{2029}' => {}
            other => out.push(other),
        }
        Ok(())
    }

    fn code_unit(&mut self) -> Result<u32, PageError> {
        if self.byte() != Some(b'{') {
            return self.hex(4);
        }
        self.pos += 1;
        let rest = self.bytes().get(self.pos..).unwrap_or_default();
        let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if !(1..=6).contains(&digits) {
            return Err(self.fail("an escape has no digits"));
        }
        let unit = self.hex(digits)?;
        self.expect(b'}', "at the end of an escape")?;
        Ok(unit)
    }

    fn hex(&mut self, digits: usize) -> Result<u32, PageError> {
        let text = self.text.get(self.pos..self.pos + digits).filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = text.and_then(|t| u32::from_str_radix(t, 16).ok());
        let value = value.ok_or_else(|| self.fail("an escape has the wrong digits"))?;
        self.pos += digits;
        Ok(value)
    }

    /// Steps over a value of any kind: up to the comma or bracket that ends it.
    pub(crate) fn skip_value(&mut self) -> Result<(), PageError> {
        let start = self.pos;
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.skip_trivia()?;
            let Some(byte) = self.byte() else { return Err(self.fail("a value is not closed")) };
            match byte {
                b'\'' | b'"' => {
                    self.string(byte)?;
                }
                b'`' => self.skip_template()?,
                b'{' | b'[' | b'(' => {
                    if open.len() == MAX_DEPTH {
                        return Err(self.fail("a value is nested too deeply"));
                    }
                    open.push(match byte {
                        b'{' => b'}',
                        b'[' => b']',
                        _ => b')',
                    });
                    self.pos += 1;
                }
                b'}' | b']' | b')' => {
                    if open.is_empty() {
                        break;
                    }
                    if open.pop() != Some(byte) {
                        return Err(self.fail(format!("{:?} closes nothing", char::from(byte))));
                    }
                    self.pos += 1;
                }
                b',' if open.is_empty() => break,
                _ => self.pos += 1,
            }
        }
        if self.pos == start {
            return Err(self.fail(format!("expected a value, found {}", self.found())));
        }
        Ok(())
    }

    fn skip_template(&mut self) -> Result<(), PageError> {
        let mut at = self.pos + 1;
        while let Some(byte) = self.byte_at(at) {
            match byte {
                b'`' => {
                    self.pos = at + 1;
                    return Ok(());
                }
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        Err(self.fail("a template string is not closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Result<String, PageError> {
        Ok(Scanner::new(text, 0).scalar()?.as_str().to_owned())
    }

    #[test]
    fn strings_with_every_escape() {
        assert_eq!(string(r"'O\'EXAMPLE'").unwrap(), "O'EXAMPLE");
        assert_eq!(string(r#""a\"b'c""#).unwrap(), "a\"b'c");
        assert_eq!(string(r"'\x41\u00e9\u{1F600}\uD83D\uDE00\\\/'").unwrap(), "Aé😀😀\\/");
        assert_eq!(string(r"'\uD83D!'").unwrap(), "\u{FFFD}!");
        assert_eq!(string("'a\\\nb'").unwrap(), "ab");
        for broken in ["'a", "'a\nb'", r"'\x4'", r"'\u12'", r"'\u{}'", r"'\", "'\\"] {
            assert!(string(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn values_are_stepped_over_whole() {
        for value in ["[ ]", "{a: ['}', \"]\"], b: (1)}", "'x,y'", "/* , */ 1", "`a,}`", "f(1, [2])"] {
            let text = format!("{value}, next");
            let mut s = Scanner::new(&text, 0);
            s.skip_value().unwrap();
            assert!(s.starts_with(", next"), "{value}: {}", s.pos());
        }
        for broken in ["[ }", "{", "'x", "", ","] {
            assert!(Scanner::new(broken, 0).skip_value().is_err(), "{broken}");
        }
        assert!(Scanner::new(&"[".repeat(100_000), 0).skip_value().is_err());
    }
}
