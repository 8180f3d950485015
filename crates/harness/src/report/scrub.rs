//! The last thing that happens to every text of the report: passwords are masked, wherever they came from.

/// What stands in a password's place.
const MASK: &str = "***";

/// Masks passwords in a text of any format (plain, JSON, HTML, TOML): those in URLs (`scheme://user:password@host`) and those
/// given by name (`password=…`, `PGPASSWORD=…`, `"password": "…"`). Applying it twice changes nothing more.
#[must_use]
pub fn scrub(text: &str) -> String {
    named(&urls(text))
}

/// Where a URL ends in any of the formats that the report writes.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\\' | '`')
}

fn urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(ends_url).unwrap_or(tail.len());
        let url = &tail[..end];
        // A password that was not percent-encoded may hold a slash; only for databases is that worth masking more than needed.
        let database = head[..at].to_ascii_lowercase().ends_with("postgres")
            || head[..at].to_ascii_lowercase().ends_with("postgresql");
        let authority = if database { url } else { &url[..url.find(['/', '?', '#']).unwrap_or(url.len())] };
        match (authority.rfind('@'), authority.find(':')) {
            (Some(host), Some(colon)) if colon < host => {
                out.push_str(&url[..=colon]);
                out.push_str(MASK);
                out.push_str(&url[host..]);
            }
            _ => out.push_str(url),
        }
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

/// Names whose value is a secret, in lower case. `PGPASSWORD` ends in the first.
const NAMES: [&str; 3] = ["password", "passwd", "access_token"];

fn named(text: &str) -> String {
    // ASCII lowering keeps byte offsets.
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(end) = NAMES.iter().filter_map(|n| lower[from..].find(n).map(|i| from + i + n.len())).min() {
        out.push_str(&text[from..end]);
        from = end;
        if let Some((start, stop)) = secret(&text[end..]) {
            out.push_str(&text[end..end + start]);
            out.push_str(MASK);
            from = end + stop;
        }
    }
    out.push_str(&text[from..]);
    out
}

/// Quotes as the formats write them. The longer ones first.
const QUOTES: [&str; 5] = ["&quot;", "&#39;", "\\\"", "\"", "'"];

/// Where the value begins and ends in what follows a secret's name; `None` when no value follows.
fn secret(tail: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    let skip_spaces = |at: usize| at + (tail[at..].len() - tail[at..].trim_start_matches(' ').len());
    // `"password": …`: the quote that closes the name.
    if let Some(quote) = QUOTES.iter().find(|q| tail.starts_with(**q)) {
        at += quote.len();
    }
    at = skip_spaces(at);
    let equals = tail[at..].starts_with('=');
    if !equals && !tail[at..].starts_with(':') {
        return None;
    }
    at = skip_spaces(at + 1);
    if let Some(quote) = QUOTES.iter().find(|q| tail[at..].starts_with(**q)) {
        at += quote.len();
        let stop = tail[at..].find(quote).map_or(tail.len(), |i| at + i);
        return (stop > at).then_some((at, stop));
    }
    if !equals {
        // `password: ` in prose, or a JSON value that is no text.
        return None;
    }
    let stop =
        tail[at..].find(|c: char| ends_url(c) || matches!(c, '&' | ',' | ';' | '\'')).map_or(tail.len(), |i| at + i);
    (stop > at).then_some((at, stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (text, scrubbed) in [
            ("postgres://me:s3cret@h:5432/db?x=1", "postgres://me:***@h:5432/db?x=1"),
            ("at postgresql://me:a/b@c@h/db, then", "at postgresql://me:***@h/db, then"),
            ("\"http://u:p@proxy/\"", "\"http://u:***@proxy/\""),
            ("postgres://:p@h postgres://u:q@h", "postgres://:***@h postgres://u:***@h"),
            ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
            ("https://liverc.invalid/results/?p=view&id=1", "https://liverc.invalid/results/?p=view&id=1"),
            ("postgres://me@h/db", "postgres://me@h/db"),
        ] {
            assert_eq!(scrub(text), scrubbed);
            assert_eq!(scrub(scrubbed), scrubbed, "twice is once");
        }
    }

    #[test]
    fn passwords_by_name_are_masked_and_the_format_survives() {
        for (text, scrubbed) in [
            ("host=h password=s3cret user=me", "host=h password=*** user=me"),
            ("PGPASSWORD=s3cret psql", "PGPASSWORD=*** psql"),
            ("password='a b' x", "password='***' x"),
            ("password = \"a b\"", "password = \"***\""),
            ("{\"password\": \"s3cret\", \"n\": 1}", "{\"password\": \"***\", \"n\": 1}"),
            ("{\"resolved\": \"password = \\\"s3cret\\\"\"}", "{\"resolved\": \"password = \\\"***\\\"\"}"),
            ("password = &quot;s3cret&quot;", "password = &quot;***&quot;"),
            ("postgres://h/db?password=s3cret&amp;x=1", "postgres://h/db?password=***&amp;x=1"),
            ("without password. Then: nothing", "without password. Then: nothing"),
            ("{\"password\": 5}", "{\"password\": 5}"),
            ("password=", "password="),
        ] {
            assert_eq!(scrub(text), scrubbed);
            assert_eq!(scrub(scrubbed), scrubbed, "twice is once");
        }
    }
}
