//! Which page a request asks for.

use std::fmt;

/// A page of LiveRC that an engine may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Page {
    /// `/results/?p=view_event&id=N`.
    Event(u64),
    /// `/results/?p=view_entry_list&id=N`.
    EntryList(u64),
    /// `/results/?p=view_race_result&id=N`.
    Race(u64),
}

impl Page {
    /// Reads path and query of a request; `None` for anything else.
    #[must_use]
    pub fn of(path: &str, query: Option<&str>) -> Option<Self> {
        if path != "/results/" {
            return None;
        }
        let (mut kind, mut id) = (None, None);
        for pair in query?.split('&') {
            match pair.split_once('=')? {
                ("p", value) => kind = Some(value),
                ("id", value) => id = value.parse().ok(),
                _ => {}
            }
        }
        match kind? {
            "view_event" => id.map(Self::Event),
            "view_entry_list" => id.map(Self::EntryList),
            "view_race_result" => id.map(Self::Race),
            _ => None,
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = match self {
            Self::Event(id) => ("view_event", id),
            Self::EntryList(id) => ("view_entry_list", id),
            Self::Race(id) => ("view_race_result", id),
        };
        write!(f, "/results/?p={kind}&id={id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        for page in [Page::Event(1), Page::EntryList(2), Page::Race(3)] {
            let text = page.to_string();
            let (path, query) = text.split_once('?').unwrap();
            assert_eq!(Page::of(path, Some(query)), Some(page));
        }
        assert_eq!(Page::of("/results/", Some("id=9&p=view_event&b=1")), Some(Page::Event(9)));
        assert_eq!(Page::of("/results/", Some("p=view_points&id=9")), None);
        assert_eq!(Page::of("/", Some("p=view_event&id=9")), None);
        assert_eq!(Page::of("/results/", None), None);
    }
}
