//! Counts, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use disinherit::registry::{ErasureState, JobState};

/// What a server has done since it started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    calls: Mutex<BTreeMap<(String, String, u16), u64>>,
    denials: AtomicU64,
    refused: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
}

impl Metrics {
    pub(crate) fn answered(&self, method: &str, path: &str, status: u16) {
        // A method that does not exist must not make a line of its own.
        let method = match method {
            "GET" | "HEAD" | "POST" => method,
            _ => "other",
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls
            .entry((method.into(), path.into(), status))
            .or_default() += 1;
    }

    pub(crate) fn denied(&self) {
        self.denials.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that was one too many.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A job has ended here. One that is left to another server has not.
    pub(crate) fn job_ended(&self, state: JobState) {
        let counter = match state {
            JobState::Done => &self.done,
            JobState::Failed => &self.failed,
            JobState::Cancelled => &self.cancelled,
            JobState::Waiting | JobState::Taken => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The text, with how many requests are in each state, how many are overdue, and how many streams of
    /// events are open; and whether the program runs that does the jobs, where there is one.
    pub(crate) fn text(
        &self,
        states: &BTreeMap<ErasureState, u64>,
        overdue: u64,
        streams: usize,
        worker: Option<bool>,
    ) -> String {
        let mut out = String::new();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# TYPE disinherit_http_requests_total counter");
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        for ((method, path, status), count) in calls.iter() {
            let labels = format!("method=\"{method}\",path=\"{path}\",status=\"{status}\"");
            let _ = writeln!(out, "disinherit_http_requests_total{{{labels}}} {count}");
        }
        let _ = writeln!(
            out,
            "# TYPE disinherit_denials_total counter\ndisinherit_denials_total {}\n\
             # TYPE disinherit_connections_refused_total counter\n\
             disinherit_connections_refused_total {}\n\
             # TYPE disinherit_jobs_total counter\n\
             disinherit_jobs_total{{end=\"done\"}} {}\n\
             disinherit_jobs_total{{end=\"failed\"}} {}\n\
             disinherit_jobs_total{{end=\"cancelled\"}} {}\n\
             # TYPE disinherit_erasure_requests gauge",
            count(&self.denials),
            count(&self.refused),
            count(&self.done),
            count(&self.failed),
            count(&self.cancelled),
        );
        for state in ErasureState::ALL {
            let count = states.get(&state).copied().unwrap_or_default();
            let _ = writeln!(
                out,
                "disinherit_erasure_requests{{state=\"{state}\"}} {count}"
            );
        }
        let _ = writeln!(
            out,
            "# TYPE disinherit_erasure_requests_overdue gauge\n\
             disinherit_erasure_requests_overdue {overdue}\n\
             # TYPE disinherit_event_streams gauge\n\
             disinherit_event_streams {streams}"
        );
        if let Some(runs) = worker {
            let _ = writeln!(
                out,
                "# TYPE disinherit_worker_up gauge\ndisinherit_worker_up {}",
                u8::from(runs)
            );
        }
        out
    }
}
