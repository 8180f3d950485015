//! Ports for servers that go down and come back.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// A free TCP port of 127.0.0.1 *outside* the range that the kernel takes for outgoing connections. A server's port must stay free
/// while it is down; in that range an outgoing connection may take it, and a client that tries to connect to it again and again will in
/// the end be connected to itself.
#[must_use]
pub fn free_port() -> Option<u16> {
    let dynamic = dynamic_range();
    let below = 15_000..dynamic.start.max(15_000);
    let above = dynamic.end..u16::MAX;
    let range = if below.len() >= 1_000 { below } else { above };
    if range.len() >= 1_000 {
        for _ in 0..200 {
            let port = range.start + u16::try_from(random_u64() % range.len() as u64).unwrap_or(0);
            if is_free(port) {
                return Some(port);
            }
        }
    }
    // The kernel has been told to use nearly all ports: then any.
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?.local_addr().ok().map(|address| address.port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn dynamic_range() -> Range<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) => low..high.saturating_add(1),
        _ => 32_768..61_000,
    }
}

/// From the system's generator: ports must differ between runs of one seed, and passwords must not be guessable.
pub(crate) fn random_u64() -> u64 {
    use std::io::Read;
    let mut bytes = [0; 8];
    match fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        // Without /dev: the hash keys of the standard library come from getrandom.
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id()),
    }
}

/// 128 random bits as hexadecimal digits.
pub(crate) fn random_password() -> String {
    format!("{:016x}{:016x}", random_u64(), random_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_not_one_for_outgoing_connections() {
        let port = free_port().unwrap();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        let dynamic = dynamic_range();
        if dynamic.start > 16_000 {
            assert!(!dynamic.contains(&port), "{port} is in {dynamic:?}");
        }
    }

    #[test]
    fn passwords_differ() {
        assert_ne!(random_password(), random_password());
        assert_eq!(random_password().len(), 32);
    }
}
