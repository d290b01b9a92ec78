//! Keeping a run: while it works, it says so.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use disinherit::progress::Stop;
use disinherit::registry::{ErasureRun, Registry};

/// How often a run says that it goes on.
const BEAT: Duration = Duration::from_secs(5);

/// For how long it may be silent then: the registry waits as long before the first word.
const LEASE: Duration = Duration::from_secs(30);

/// Does some work while the run is kept. A run that was cancelled or taken over meanwhile is asked to stop;
/// what it would publish is refused in any case.
pub(crate) fn holding<T>(
    registry: &Registry,
    run: ErasureRun,
    stop: &Stop,
    work: impl FnOnce() -> T,
) -> T {
    let (done, ended) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that is missed is made up for by the next one: there are six to a lease.
                if matches!(registry.hold_run(run, LEASE), Ok(false)) {
                    stop.ask();
                }
            }
        });
        let out = work();
        drop(done);
        out
    })
}
