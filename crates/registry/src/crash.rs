//! Places where a test can kill the process, or hold it up.

/// A place in the course of a change. Where the crate is built for crash tests and the environment
/// names this place (`DISINHERIT_CRASH=NAME` or `NAME:N` for the N-th time it is passed), the process
/// ends here as if it had been killed, or with `NAME:N@MS` waits for so many milliseconds; otherwise nothing
/// happens.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("DISINHERIT_CRASH") else {
        return;
    };
    let (wanted, pause) = match wanted.rsplit_once('@') {
        Some((wanted, pause)) => (wanted.to_owned(), pause.parse().ok()),
        None => (wanted, None),
    };
    let (wanted, times) = match wanted.rsplit_once(':') {
        Some((name, times)) => (name.to_owned(), times.parse().unwrap_or(1)),
        None => (wanted, 1),
    };
    if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == times {
        match pause {
            Some(pause) => std::thread::sleep(std::time::Duration::from_millis(pause)),
            None => std::process::abort(),
        }
    }
}

/// A place in the course of a change; nothing happens here outside crash tests.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &str) {}
