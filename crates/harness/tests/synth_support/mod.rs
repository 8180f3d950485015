//! What several synth tests share.

use std::path::PathBuf;

/// A real page, or a printed line and nothing where the shared folder is not there.
pub fn real_page(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/liverc/pages").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            eprintln!("skipped: no real page {} ({error})", path.display());
            None
        }
    }
}
