//! The shared memory of a server that was killed.
//!
//! A server that ends in good order, or is started again in its directory, takes its System V segment away. One that is killed
//! and never started again leaves it (56 bytes, but the kernel allows 4,096 in all).

use std::fs;
use std::path::Path;

/// Removes the segments of the servers whose data directories are in this directory. None of them may be running.
pub(crate) fn release(home: &Path) {
    for data in fs::read_dir(home).into_iter().flatten().flatten() {
        if let Some(segment) = fs::read_to_string(data.path().join("postmaster.pid")).ok().as_deref().and_then(segment)
        {
            #[expect(unsafe_code, reason = "a call that takes two numbers and, for this command, no memory of ours")]
            // SAFETY: IPC_RMID reads nothing through its pointer. A segment that is not there, or another's, is an error.
            unsafe {
                nix::libc::shmctl(segment, nix::libc::IPC_RMID, std::ptr::null_mut());
            }
        }
    }
}

/// The segment's number: line 7 of `postmaster.pid` has its key and its number (`LOCK_FILE_LINE_SHMEM_KEY` of PostgreSQL's
/// `miscadmin.h`).
fn segment(lock_file: &str) -> Option<i32> {
    lock_file.lines().nth(6)?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_is_the_second_number_of_line_seven() {
        let file = "4711\n/tmp/x/data\n1790000000\n5432\n/tmp/x/s\n127.0.0.1\n  10068640     32768\nready   \n";
        assert_eq!(segment(file), Some(32_768));
        assert_eq!(segment("4711\n/tmp/x/data\n"), None);
    }
}
