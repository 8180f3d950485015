//! The delay line: bytes queue with the time at which each piece is due, so that latency costs no throughput.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::io::unix::AsyncFd;

use super::rule::{Direction, RuleId};
use super::snapshot::Shape;

/// The largest piece.
const PIECE: usize = 64 * 1024;
/// What a line holds when only latency is added: 100 ms at 640 MB/s. Beyond it the sender is not read.
const ROOM: usize = 64 << 20;

struct Piece {
    data: Box<[u8]>,
    sent: usize,
    due: Instant,
}

/// One direction's queue.
pub(super) struct Line {
    pieces: VecDeque<Piece>,
    bytes: usize,
    seed: u64,
    link: u64,
    direction: Direction,
    chance: BTreeMap<RuleId, ChaCha8Rng>,
    /// Until when the bandwidth is used up, of all and of bodies.
    busy: Option<Instant>,
    body_busy: Option<Instant>,
    /// When the last piece leaves and arrives: order is kept.
    last_left: Option<Instant>,
    last_due: Option<Instant>,
}

impl Line {
    pub(super) fn new(seed: u64, link: u64, direction: Direction) -> Self {
        Self {
            pieces: VecDeque::new(),
            bytes: 0,
            seed,
            link,
            direction,
            chance: BTreeMap::new(),
            busy: None,
            body_busy: None,
            last_left: None,
            last_due: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether more may be taken in.
    pub(super) fn has_room(&self, shape: &Shape) -> bool {
        let room = match (shape.bytes_per_second, shape.slow_body) {
            (None, None) => ROOM,
            (a, b) => {
                // A slow link pushes back: it holds what is on the way, and 100 ms more.
                let rate = a.unwrap_or(u64::MAX).min(b.unwrap_or(u64::MAX));
                let on_the_way = u128::from(rate) * (shape.delay.as_micros() + 100_000) / 1_000_000;
                usize::try_from(on_the_way).unwrap_or(ROOM).clamp(4 * 1024, ROOM)
            }
        };
        self.bytes < room
    }

    /// A random number below `bound` (and above zero if it is), drawn from this rule's own sequence on this connection
    /// and direction.
    fn draw(&mut self, rule: RuleId, bound: u64) -> u64 {
        let (seed, link, direction) = (self.seed, self.link, self.direction);
        let rng = self.chance.entry(rule).or_insert_with(|| {
            let mut key = [0; 32];
            let parts = [seed, link, direction as u64, rule.0];
            for (to, from) in key.chunks_exact_mut(8).zip(parts) {
                to.copy_from_slice(&from.to_le_bytes());
            }
            ChaCha8Rng::from_seed(key)
        });
        // The bias of the remainder is below 2^-30 for the bounds that occur (microseconds, bytes of a piece).
        rng.next_u64() % bound.max(1)
    }

    /// Takes bytes in, as this shape says; `body`: they are an HTTP response's body.
    pub(super) fn push(&mut self, mut data: &[u8], body: bool, now: Instant, shape: &Shape) {
        while !data.is_empty() {
            let slow_body = shape.slow_body.filter(|_| body);
            let mut size = PIECE;
            for rate in [shape.bytes_per_second, slow_body].into_iter().flatten() {
                // 5 ms worth at a time.
                size = size.min(usize::try_from(rate / 200).unwrap_or(PIECE).max(1));
            }
            let mut gap = Duration::ZERO;
            if let Some((rule, most, pause)) = shape.slice {
                size = size.min(1 + usize::try_from(self.draw(rule, u64::from(most))).unwrap_or(0));
                gap = pause;
            }
            let (piece, rest) = data.split_at(size.min(data.len()));
            data = rest;
            let mut leaves = now;
            if let Some(last) = self.last_left.filter(|_| !gap.is_zero()) {
                leaves = leaves.max(last + gap);
            }
            if let Some(rate) = shape.bytes_per_second {
                leaves = leaves.max(self.busy.unwrap_or(leaves)) + transmission(piece.len(), rate);
                self.busy = Some(leaves);
            }
            if let Some(rate) = slow_body {
                leaves = leaves.max(self.body_busy.unwrap_or(leaves)) + transmission(piece.len(), rate);
                self.body_busy = Some(leaves);
            }
            self.last_left = Some(leaves);
            let mut due = leaves + shape.delay;
            for (rule, jitter) in &shape.jitters {
                due += Duration::from_micros(self.draw(*rule, u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX)));
            }
            due = self.last_due.map_or(due, |last| due.max(last));
            self.last_due = Some(due);
            self.bytes += piece.len();
            self.pieces.push_back(Piece { data: piece.into(), sent: 0, due });
        }
    }

    /// The bytes to write next, once they are due.
    pub(super) fn front(&self) -> Option<(&[u8], Instant)> {
        self.pieces.front().map(|p| (&p.data[p.sent..], p.due))
    }

    /// So many of them were written.
    pub(super) fn wrote(&mut self, n: usize) {
        self.bytes -= n;
        if let Some(piece) = self.pieces.front_mut() {
            piece.sent += n;
            if piece.sent == piece.data.len() {
                self.pieces.pop_front();
            }
        }
    }
}

fn transmission(bytes: usize, rate: u64) -> Duration {
    let nanos = bytes as u128 * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A timer good to microseconds. (Tokio's own counts in milliseconds and rounds up: half a millisecond would become
/// two.)
#[derive(Default)]
pub(super) struct Alarm {
    timer: Option<AsyncFd<Timer>>,
    set_for: Option<Instant>,
}

struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// Waits until then. May be dropped and called again.
    pub(super) async fn wait(&mut self, until: Option<Instant>) {
        let Some(until) = until else { return pending().await };
        if let Err(error) = self.ring(until).await {
            tracing::warn!(%error, "no timerfd: waiting with millisecond precision");
            tokio::time::sleep_until(until.into()).await;
        }
    }

    async fn ring(&mut self, until: Instant) -> io::Result<()> {
        if self.timer.is_none() {
            let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
            // SAFETY: the timer owns its descriptor, which is neither closed nor replaced while it is registered.
            #[expect(unsafe_code, reason = "tokio's registration leaves it to the caller that the descriptor is owned")]
            let registered = unsafe { AsyncFd::register(Timer(fd)) };
            self.timer = Some(registered?);
        }
        let Some(timer) = &self.timer else { return Ok(()) };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if self.set_for != Some(until) {
                timer.get_ref().0.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
                self.set_for = Some(until);
            }
            let mut ready = timer.readable().await?;
            self.set_for = None;
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Effect, Rule, Way};
    use super::super::snapshot::{Installed, Snapshot};
    use super::*;

    fn shape(effects: &[Effect]) -> Shape {
        let mut snapshot = Snapshot::new(([127, 0, 0, 1], 1).into());
        for (i, effect) in effects.iter().enumerate() {
            snapshot.install(Installed::new(RuleId(i as u64), Rule::always(effect.clone())), Instant::now(), 1);
        }
        Shape::new(&snapshot, 1, Direction::Up)
    }

    /// Pieces as (bytes, due after the start).
    fn drain(line: &mut Line, start: Instant) -> Vec<(usize, Duration)> {
        let mut out = Vec::new();
        while let Some((data, due)) = line.front() {
            let n = data.len();
            out.push((n, due - start));
            line.wrote(n);
        }
        out
    }

    #[test]
    fn latency_moves_everything_by_the_same_and_bandwidth_spreads_it() {
        let now = Instant::now();
        let mut line = Line::new(1, 1, Direction::Up);
        let rtt = shape(&[Effect::rtt(Duration::from_millis(10))]);
        line.push(&[0; 200_000], false, now, &rtt);
        let all = drain(&mut line, now);
        assert!(all.iter().all(|(_, due)| *due == Duration::from_millis(5)), "{all:?}");

        let mut line = Line::new(1, 1, Direction::Up);
        line.push(&[0; 5000], false, now, &shape(&[Effect::Bandwidth { bytes_per_second: 10_000, way: Way::Up }]));
        let all = drain(&mut line, now);
        assert_eq!(all.last().unwrap().1, Duration::from_millis(500));
        assert_eq!(all.iter().map(|p| p.0).sum::<usize>(), 5000);
        assert_eq!(all[0], (50, Duration::from_millis(5)));
    }

    #[test]
    fn jitter_keeps_order_and_repeats_with_its_seed() {
        let jittery = shape(&[
            Effect::Latency { delay: Duration::from_millis(1), jitter: Duration::from_millis(4), way: Way::Both },
            Effect::Slice { max_bytes: 100, gap: Duration::ZERO, way: Way::Up },
        ]);
        let now = Instant::now();
        let run = |seed, link| {
            let mut line = Line::new(seed, link, Direction::Up);
            line.push(&[7; 5000], false, now, &jittery);
            drain(&mut line, now)
        };
        let all = run(1, 1);
        assert!(all.is_sorted_by_key(|p| p.1));
        assert!(all.iter().all(|(n, due)| (1..=100).contains(n) && *due < Duration::from_millis(5)));
        assert_eq!(all, run(1, 1));
        assert_ne!(all, run(2, 1));
        assert_ne!(all, run(1, 2));
    }

    #[test]
    fn only_the_body_is_slow() {
        let now = Instant::now();
        let mut snapshot = Snapshot::new(([127, 0, 0, 1], 1).into());
        let slow = Rule::always(Effect::SlowBody { bytes_per_second: 1000 });
        snapshot.install(Installed::new(RuleId(0), slow), now, 1);
        let down = Shape::new(&snapshot, 1, Direction::Down);
        let mut line = Line::new(1, 1, Direction::Down);
        line.push(&[1; 300], false, now, &down);
        line.push(&[2; 100], true, now, &down);
        let all = drain(&mut line, now);
        assert_eq!(all[0], (300, Duration::ZERO));
        assert_eq!(all.last().unwrap().1, Duration::from_millis(100));
    }

    #[tokio::test]
    async fn the_alarm_does_not_ring_early() {
        let mut alarm = Alarm::default();
        for micros in [0, 300, 700] {
            let until = Instant::now() + Duration::from_micros(micros);
            alarm.wait(Some(until)).await;
            assert!(Instant::now() >= until);
        }
    }
}
