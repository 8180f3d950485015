//! Mutations along the structure of a page: tags, attributes, texts, script tokens, numbers.

/// Makes inputs.
pub struct Mutator {
    seed: u64,
    /// Size at which an input grows no more, bytes; some mutations multiply.
    largest: usize,
    pages: Vec<Vec<String>>,
}

/// splitmix64 (Steele, Lea, Flood 2014): the same for ever, whatever a crate changes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 for 0.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap_or(0)
    }

    fn text(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.below(choices.len())]
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// What trips readers of HTML and of JavaScript.
const PIECES: &[&str] = &[
    "<script>",
    "</script>",
    "<script",
    "</script",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<table class=\"race_result\">",
    "<table class='race_result",
    "</table>",
    "</html>",
    "</body>",
    "<tr>",
    "</tr>",
    "<td>",
    "<td colspan=99999999>",
    "<div hidden>",
    "<span class=\"driver_name\">",
    "<a data-driver-id=\"",
    "\" data-driver-id=\"0\"",
    "<textarea>",
    "<title>",
    "<plaintext>",
    "<svg><style>",
    "<math><mtext>",
    "<template>",
    "<select><option>",
    "<",
    ">",
    "</",
    "/>",
    "<a <b",
    "&amp;",
    "&amp",
    "&#0;",
    "&#x110000;",
    "&#xD800;",
    "&#99999999999;",
    "&nbsp;",
    "&lt;script&gt;",
    "&",
    "racerLaps[1] = {",
    "racerLaps",
    "racerLaps[",
    "racerLaps[-1] = {",
    "racerLaps[18446744073709551616] = {",
    "'laps' : [",
    "'lapNum' : '1',",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "'",
    "\"",
    "`",
    "${",
    "\\",
    "\\u",
    "\\u{110000}",
    "\\ud800",
    "\\x",
    "//",
    "/*",
    "*/",
    "/",
    "/[/",
    "=",
    ":",
    ";",
    ",",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "\u{202e}",
    "é",
    "é́́́",
    "𝕏",
    "\u{fffd}",
    "٣",
    "Round: ",
    "Race #",
    "Q: ",
    "1e999",
    "NaN",
    "null",
    "undefined",
    "true",
];

/// Numbers at the edges.
const NUMBERS: &[&str] = &[
    "",
    "0",
    "-0",
    "-1",
    "1",
    "00000001",
    "59",
    "60",
    "99",
    "100",
    "999",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "0.0005",
    "1.5",
    "1..5",
    ".5",
    "5.",
    "1:75.000",
    "1:00:00:00",
    "1e9",
    "٣",
    "+3",
    " 3",
    "0x10",
    "99999999999999999999999999999999",
];

/// Splits a page into tags, and what stands between them into words, runs of digits, runs of space and single signs.
pub fn tokens(page: &str) -> Vec<String> {
    #[derive(PartialEq, Clone, Copy)]
    enum Kind {
        Word,
        Digits,
        Space,
        Sign,
    }
    let kind = |c: char| match c {
        c if c.is_ascii_digit() => Kind::Digits,
        c if c.is_alphanumeric() || c == '_' || c == '-' => Kind::Word,
        c if c.is_whitespace() => Kind::Space,
        _ => Kind::Sign,
    };
    let mut all: Vec<String> = Vec::new();
    let mut last = Kind::Sign;
    for c in page.chars() {
        let now = kind(c);
        match all.last_mut() {
            Some(token) if now == last && now != Kind::Sign => token.push(c),
            _ => all.push(c.into()),
        }
        last = now;
    }
    all
}

impl Mutator {
    pub fn new<'a>(seed: u64, largest: usize, pages: impl IntoIterator<Item = &'a str>) -> Self {
        Self { seed, largest, pages: pages.into_iter().map(tokens).collect() }
    }

    /// The input of a number.
    pub fn input(&self, number: u64) -> String {
        let mut random = Random(self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ number);
        random.next();
        let mut tokens = random.of(&self.pages).clone();
        // One mutation most often: a page that is wrong in a single place gets furthest.
        let mutations = 1 + [0, 0, 0, 1, 1, 2, 4, 12][random.below(8)];
        for _ in 0..mutations {
            self.mutate(&mut tokens, &mut random);
            if tokens.iter().map(String::len).sum::<usize>() > self.largest {
                break;
            }
        }
        let mut text = tokens.concat();
        if random.below(12) == 0 {
            let mut at = random.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            text.truncate(at);
        }
        text
    }

    fn mutate(&self, tokens: &mut Vec<String>, random: &mut Random) {
        let at = random.below(tokens.len());
        let longest = [1, 4, 40, 400][random.below(4)];
        let span = 1 + random.below(longest);
        let end = (at + span).min(tokens.len());
        match random.below(17) {
            0 => drop(tokens.drain(at..end)),
            1 => {
                let again = tokens[at..end].to_vec();
                tokens.splice(at..at, again);
            }
            2 => self.many(tokens, at, end, random),
            3 => {
                let part: Vec<_> = tokens.drain(at..end).collect();
                let to = random.below(tokens.len() + 1);
                tokens.splice(to..to, part);
            }
            4 => {
                let other = random.of(&self.pages);
                let from = random.below(other.len());
                let part = other[from..(from + span).min(other.len())].to_vec();
                tokens.splice(at..end, part);
            }
            5 | 6 => tokens.insert(at, random.text(PIECES).to_owned()),
            7 | 8 => replace(tokens, at, random.text(NUMBERS), |t| t.starts_with(|c: char| c.is_ascii_digit())),
            9 => replace(tokens, at, random.text(PIECES), |t| t.starts_with(|c: char| c.is_alphabetic())),
            10 => replace(tokens, at, random.text(&["\"", "'", "`", "", "\\"]), |t| t == "'" || t == "\""),
            11 => replace(tokens, at, random.text(&["", "<", ">", "</", "{", "}", "[", "]"]), |t| "<>{}[]".contains(t)),
            12 => {
                let deep = [10, 70, 1000, 20_000][random.below(4)].min(self.largest / 10);
                let piece = random.text(&[
                    "<div>",
                    "<b>",
                    "{",
                    "[",
                    "(",
                    "'a':{",
                    "<table><tr><td>",
                    "<a>",
                    "<font>",
                    "/*",
                    "`${",
                ]);
                tokens.insert(at, piece.repeat(deep));
            }
            13 => {
                let long = [100, 5000, 200_000][random.below(3)].min(self.largest);
                let piece =
                    random.text(&["x", "9", " ", "\n", "é", "&amp;", "\\", "\\'", "/", "'", "//\n", "<", "'+'", "0."]);
                tokens.insert(at, piece.repeat(long));
            }
            14 => {
                let token = &mut tokens[at];
                *token = if random.below(2) == 0 { token.to_uppercase() } else { token.to_lowercase() };
            }
            15 => replace(tokens, at, random.text(&["", "\u{a0}", "\n\n\n", "/**/", "<!---->", "\0"]), |t| {
                t.trim().is_empty()
            }),
            _ => {
                // Two places of one page change their contents.
                let other = random.below(tokens.len());
                if !tokens.is_empty() {
                    tokens.swap(at, other);
                }
            }
        }
        if tokens.is_empty() {
            tokens.push(String::new());
        }
    }

    /// The same part many times over.
    fn many(&self, tokens: &mut Vec<String>, at: usize, end: usize, random: &mut Random) {
        let part = tokens[at..end].concat();
        let most = (self.largest / part.len().max(1)).min([3, 50, 2000, 50_000][random.below(4)]);
        tokens.splice(at..end, [part.repeat(most)]);
    }
}

/// Replaces the first token from `at` on that is of a kind.
fn replace(tokens: &mut [String], at: usize, by: &str, is: impl Fn(&str) -> bool) {
    if let Some(token) = tokens[at..].iter_mut().find(|token| is(token)) {
        by.clone_into(token);
    }
}
