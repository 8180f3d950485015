//! HTTP/1.1 message framing (RFC 9112): heads, and bodies by length, by chunks, or up to the end of the connection.

/// How long a head may be. A longer one is not read.
pub(super) const LONGEST_HEAD: usize = 64 * 1024;

/// A head that is there in full.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// All of it, with the empty line.
    pub(super) bytes: &'a [u8],
    /// The start line without its end.
    pub(super) start: &'a str,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

#[derive(Debug)]
pub(super) enum HeadError {
    /// More bytes are needed.
    Short,
    /// This is not HTTP.
    Bad,
}

pub(super) fn head(input: &[u8]) -> Result<Head<'_>, HeadError> {
    let seen = &input[..input.len().min(LONGEST_HEAD)];
    let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") else {
        // Not HTTP at all is told by its first byte; no method and no `HTTP/` begins with another.
        let bad = seen.len() == LONGEST_HEAD || seen.first().is_some_and(|b| !b.is_ascii_alphabetic());
        return Err(if bad { HeadError::Bad } else { HeadError::Short });
    };
    let bytes = &input[..end + 4];
    let mut lines = lines(bytes);
    let start = lines.next().and_then(|l| std::str::from_utf8(l).ok()).ok_or(HeadError::Bad)?;
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let Some((name, value)) = field(line) else { continue };
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            if length.is_none() {
                return Err(HeadError::Bad);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = value.to_ascii_lowercase().ends_with(b"chunked");
        }
    }
    Ok(Head { bytes, start, length, chunked })
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).take_while(|l| !l.is_empty())
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// The head of a response with another framing, on a connection that closes after it.
pub(super) fn reframed(head: &[u8], framing: Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len() + 64);
    for line in lines(head) {
        let framed = field(line).is_some_and(|(name, _)| {
            ["content-length", "transfer-encoding", "connection", "keep-alive", "trailer"]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
        });
        if !framed {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    for line in framing.into_iter().chain(["connection: close".to_owned()]) {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Where in a body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// Up to the end of the connection.
    UntilClose,
    /// At the line with a chunk's size.
    ChunkSize,
    /// Within a chunk.
    Chunk(u64),
    /// At the end of a chunk's data.
    ChunkEnd,
    /// At a line behind the last chunk.
    Trailer,
    /// It is over.
    Over,
}

/// What comes next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Unknown, until more bytes are there.
    More,
    /// So many bytes of framing.
    Framing(usize),
    /// At most so many bytes of content are there; [`Body::took`] says how many were taken.
    Data(usize),
    /// The body is over.
    End,
    /// This is no framing.
    Bad,
}

impl Body {
    pub(super) fn next(&mut self, input: &[u8]) -> Part {
        let there = |left: u64| match usize::try_from(left).unwrap_or(usize::MAX).min(input.len()) {
            0 => Part::More,
            n => Part::Data(n),
        };
        match *self {
            Self::Over | Self::Length(0) => Part::End,
            Self::Length(left) | Self::Chunk(left) => there(left),
            Self::UntilClose => there(u64::MAX),
            Self::ChunkSize | Self::ChunkEnd | Self::Trailer => {
                let Some(end) = input.iter().take(LONGEST_HEAD).position(|b| *b == b'\n') else {
                    return if input.len() >= LONGEST_HEAD { Part::Bad } else { Part::More };
                };
                let line = input[..end].trim_ascii();
                *self = match *self {
                    Self::ChunkSize => {
                        let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                        match std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok()) {
                            Some(0) => Self::Trailer,
                            Some(n) => Self::Chunk(n),
                            None => return Part::Bad,
                        }
                    }
                    Self::ChunkEnd if line.is_empty() => Self::ChunkSize,
                    Self::Trailer if line.is_empty() => Self::Over,
                    Self::Trailer => Self::Trailer,
                    _ => return Part::Bad,
                };
                Part::Framing(end + 1)
            }
        }
    }

    pub(super) fn took(&mut self, n: u64) {
        match self {
            Self::Length(left) => *left -= n,
            Self::Chunk(left) => {
                *left -= n;
                if *left == 0 {
                    *self = Self::ChunkEnd;
                }
            }
            _ => {}
        }
    }

    /// The length that what comes next declares: of the whole body, or of a chunk.
    pub(super) fn declared(&self) -> Option<u64> {
        match *self {
            Self::Length(n) | Self::Chunk(n) => Some(n),
            Self::Over => Some(0),
            _ => None,
        }
    }
}
