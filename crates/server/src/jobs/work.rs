//! A worker as a process of its own.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use disinherit_desk::{JobEnd, JobNews, Until, Worker};
use tokio::sync::oneshot;

use crate::equipment::Equipment;
use crate::error::ServeError;
use crate::signals::told_to_stop;

/// Takes jobs from the catalog as a server does, until then or until the process is told to stop (interrupt
/// or termination): the job that is worked on may go on for so long (`patience`), and is left to the next
/// worker then. `told` hears how each job ended.
///
/// # Errors
/// [`ServeError`] when the catalog cannot be read, or no thread can be started.
pub fn work(
    equipment: Equipment,
    until: Until,
    patience: Duration,
    mut told: impl FnMut(JobEnd) + Send + 'static,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(ServeError::io("start threads"))?;
    let worker = Worker::new(Arc::new(equipment)).map_err(ServeError::io("find a name"))?;
    let (ended, end) = oneshot::channel();
    let own = Arc::clone(&worker);
    thread::Builder::new()
        .name("jobs".into())
        .spawn(move || {
            // Where no receiver is left, the process ends.
            let _ = ended.send(own.run(until, |news| {
                if let JobNews::Ended(end) = news {
                    told(end);
                }
            }));
        })
        .map_err(ServeError::io("start a thread"))?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = end => Some(ended),
            () = told_to_stop() => None,
        }
    });
    match ended {
        Some(Ok(ended)) => Ok(ended?),
        Some(Err(_)) => Err(ServeError::Io {
            action: "go on".into(),
            source: std::io::Error::other("the thread that works has ended"),
        }),
        None => {
            worker.finish(patience);
            Ok(())
        }
    }
}
