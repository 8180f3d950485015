//! Which kind of page a text is, by its content.

use memchr::memmem;

use super::error::PageError;
use super::event_page::EVENT_TABLE;
use super::html::{Piece, Pieces, class_has};
use super::race_page::RESULT_TABLE;

/// The pages that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// `p=view_event`.
    Event,
    /// `p=view_entry_list`.
    EntryList,
    /// `p=view_race_result`.
    Race,
}

impl PageKind {
    /// Finds the kind of a page by its tables. A race page without its table is known by `racerLaps`.
    ///
    /// # Errors
    /// [`PageError::UnknownKind`], or [`PageError::CutShort`] where the page ends before it can be told.
    pub fn of(text: &str) -> Result<Self, PageError> {
        let (mut cut, mut entry_table, mut race_script) = (None, false, false);
        for piece in Pieces::new(text) {
            match piece {
                Ok(Piece::Open { name, attrs, .. }) if name.eq_ignore_ascii_case("table") => {
                    if class_has(attrs, RESULT_TABLE) {
                        return Ok(Self::Race);
                    }
                    if class_has(attrs, EVENT_TABLE) {
                        return Ok(Self::Event);
                    }
                    entry_table |= class_has(attrs, "table-striped");
                }
                Ok(Piece::Script { body, .. }) => race_script |= memmem::find(body.as_bytes(), b"racerLaps").is_some(),
                Ok(_) => {}
                Err(error) => cut = Some(error),
            }
        }
        let whole = cut.is_none() && super::html::check_whole(text).is_ok();
        if race_script {
            Ok(Self::Race)
        } else if entry_table && memmem::find(text.as_bytes(), b"Transponder").is_some() {
            Ok(Self::EntryList)
        } else if whole || memmem::find(text.as_bytes(), b"<").is_none() {
            Err(PageError::UnknownKind)
        } else {
            Err(cut.unwrap_or(PageError::CutShort { missing: "no </html>", at: text.len() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_found_by_content() {
        let of = |body: &str| PageKind::of(&format!("<html><body>{body}</body></html>"));
        assert_eq!(of("<table class='table race_result'></table>"), Ok(PageKind::Race));
        assert_eq!(of("<script>var racerLaps = {};</script>"), Ok(PageKind::Race));
        assert_eq!(of("<table class='table entry_list_data'></table>"), Ok(PageKind::Event));
        assert_eq!(of("<table class='table table-striped'><th>Transponder #</table>"), Ok(PageKind::EntryList));
        assert_eq!(of("<p>race_result entry_list_data racerLaps</p>"), Err(PageError::UnknownKind));
        assert_eq!(PageKind::of("nothing"), Err(PageError::UnknownKind));
        assert!(matches!(PageKind::of("<html><p>"), Err(PageError::CutShort { .. })));
    }
}
