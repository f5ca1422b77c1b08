//! How fast this machine is, told by work that every version does alike: so that figures of two days, or of two
//! machines, can be put beside each other.

use anyhow::Result;
use std::time::Duration;

/// Bytes that are compressed at most.
const SAMPLE_BYTES_MAX: usize = 64 << 20;
/// Bytes of one frame: about a batch of 1,000 events.
const FRAME_BYTES: usize = 426_000;

/// CPU time that one thread takes to compress one of these bytes once, with zstd at level 1.
pub fn seconds_per_byte(bodies: &[Vec<u8>]) -> Result<f64> {
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let mut sample = Vec::with_capacity(SAMPLE_BYTES_MAX);
    for body in bodies {
        let room = SAMPLE_BYTES_MAX - sample.len();
        sample.extend_from_slice(&body[..body.len().min(room)]);
    }
    anyhow::ensure!(!sample.is_empty(), "there is nothing to compress");
    let before = thread_cpu();
    for frame in sample.chunks(FRAME_BYTES) {
        std::hint::black_box(compressor.compress(frame)?);
    }
    Ok((thread_cpu() - before).as_secs_f64() / sample.len() as f64)
}

/// User and system time of this thread so far.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
