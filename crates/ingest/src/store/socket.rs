//! Small packets leave at once. sqlx 0.9 opens its connections without TCP_NODELAY and gives no access to their sockets. The end
//! of a COPY is a packet of five bytes that the kernel then keeps back until the data ahead of it are confirmed, which
//! PostgreSQL's side puts off for 40 ms: ten times what writing a small unit takes.

use std::net::TcpStream;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

/// Sets TCP_NODELAY on this process's connections to a port; how many did not have it. Where the process's descriptors cannot be
/// listed, nothing is changed: that costs time, no more.
pub fn send_at_once(port: u16) -> usize {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let sockets = descriptors.flatten().filter_map(|entry| socket(&entry.path()));
    let mut changed = 0;
    for stream in sockets.filter(|stream| stream.peer_addr().is_ok_and(|peer| peer.port() == port)) {
        changed += usize::from(matches!(stream.nodelay(), Ok(false)) && stream.set_nodelay(true).is_ok());
    }
    changed
}

/// The socket of a descriptor, under a descriptor of our own; of another kind of socket TCP's calls fail.
fn socket(descriptor: &Path) -> Option<TcpStream> {
    let number: RawFd = descriptor.file_name()?.to_str()?.parse().ok()?;
    if !std::fs::read_link(descriptor).ok()?.to_str()?.starts_with("socket:") {
        return None;
    }
    #[expect(
        unsafe_code,
        reason = "only to be copied at once: should it have been closed meanwhile, that fails, or copies another"
    )]
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().ok().map(TcpStream::from)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::send_at_once;

    #[test]
    fn connections_to_the_port_and_no_others_send_at_once() {
        let [asked, other] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let connect = |listener: &TcpListener| TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let streams = [connect(&asked), connect(&asked), connect(&other)];
        let port = asked.local_addr().unwrap().port();
        assert_eq!(send_at_once(port), 2);
        assert_eq!(streams.map(|stream| stream.nodelay().unwrap()), [true, true, false]);
    }
}
