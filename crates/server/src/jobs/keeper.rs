//! A program that does the jobs: started, started again when it dies, and told to stop with the server.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use disinherit::registry::{ErasureId, JobState};
use disinherit_desk::release_job;
use serde::Deserialize;

use crate::app::App;
use crate::error::ServeError;
use crate::jobs::program::WorkerProgram;

/// How often it is looked whether the program still runs, and whether the server stops.
const LOOK: Duration = Duration::from_millis(100);

/// The pause before a program that died is started again; it doubles each time, up to the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// How long a program may take to end beyond the patience that it was started with; it is killed then.
const MARGIN: Duration = Duration::from_secs(15);

/// How often a program may die at one job before that has failed.
const DEATHS: u32 = 5;

/// A line of the program.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
enum Line {
    Ready { worker: String },
    Taken { id: i64, request: ErasureId },
    Ended { id: i64, state: JobState },
    Failed { said: String },
}

/// What a program that runs has said of itself.
#[derive(Debug, Default)]
struct Said {
    worker: Option<String>,
    at: Option<(i64, ErasureId)>,
    failed: Option<String>,
}

/// Keeps a program running.
pub(crate) struct Keeper {
    app: Arc<App>,
    program: WorkerProgram,
    leaving: AtomicBool,
    ended: AtomicBool,
    /// The job that programs died at last, and how often.
    deaths: Mutex<(i64, u32)>,
}

impl Keeper {
    /// Keeps a program running, on a thread of its own.
    pub(crate) fn start(app: &Arc<App>, program: &WorkerProgram) -> Result<Arc<Self>, ServeError> {
        let keeper = Arc::new(Self {
            app: Arc::clone(app),
            program: program.clone(),
            leaving: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            deaths: Mutex::new((0, 0)),
        });
        let own = Arc::clone(&keeper);
        thread::Builder::new()
            .name("jobs".into())
            .spawn(move || own.keep())
            .map_err(ServeError::io("start a thread"))?;
        Ok(keeper)
    }

    /// Tells the program to stop, and waits until it has.
    pub(crate) fn finish(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        while !self.ended.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
        }
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    fn keep(&self) {
        let [shortest, longest] = PAUSES;
        self.app.set_without_worker(true);
        let mut pause = shortest;
        while !self.is_leaving() {
            let mut said = Said::default();
            let end = self.one_life(&mut said);
            if said.worker.is_some() {
                pause = shortest;
            }
            let why = match (&said.failed, end) {
                (Some(failed), _) => failed.clone(),
                (None, Ok(status)) => format!("it ended with {status}"),
                (None, Err(error)) => {
                    let program = self.program.program.display();
                    format!("{program} cannot be started: {error}")
                }
            };
            self.hand_on(&said, &why);
            if self.is_leaving() {
                break;
            }
            let seconds = pause.as_secs();
            tracing::error!(
                why,
                "the worker is gone: it is started again in {seconds} s"
            );
            self.app.set_without_worker(true);
            self.wait(pause);
            pause = (pause * 2).min(longest);
        }
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Waits, unless the server stops.
    fn wait(&self, pause: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < pause && !self.is_leaving() {
            thread::sleep(LOOK);
        }
    }

    /// Starts the program, and hears what it says until it has ended.
    fn one_life(&self, said: &mut Said) -> std::io::Result<ExitStatus> {
        let mut child = Command::new(&self.program.program)
            .args(&self.program.arguments)
            .envs(self.program.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        tracing::info!(process = child.id(), "the worker is started");
        let lines = lines_of(&mut child);
        let mut lifeline = child.stdin.take();
        let mut told = None;
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(line) => {
                    self.hear(&line, said);
                    continue;
                }
                // Processes that it has started may keep its output open, and it may have closed it itself.
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK),
            }
            if let Some(status) = child.try_wait()? {
                // Its last words.
                while let Ok(line) = lines.recv_timeout(LOOK) {
                    self.hear(&line, said);
                }
                return Ok(status);
            }
            if self.is_leaving() {
                self.tell_to_stop(&mut child, &mut lifeline, &mut told);
            }
        }
    }

    /// Tells a program to stop, and kills it when it takes too long.
    fn tell_to_stop(
        &self,
        child: &mut Child,
        lifeline: &mut Option<ChildStdin>,
        told: &mut Option<Instant>,
    ) {
        *lifeline = None;
        let told = told.get_or_insert_with(Instant::now);
        if told.elapsed() > self.app.settings.patience + MARGIN {
            tracing::error!("the worker does not stop: it is killed");
            // Where it has ended by itself meanwhile, that is seen next.
            let _ = child.kill();
        }
    }

    fn hear(&self, line: &str, said: &mut Said) {
        match serde_json::from_str(line) {
            Ok(Line::Ready { worker }) => {
                tracing::info!(worker, "the worker takes jobs");
                said.worker = Some(worker);
                self.app.set_without_worker(false);
            }
            Ok(Line::Taken { id, request }) => said.at = Some((id, request)),
            Ok(Line::Ended { id, state }) => {
                tracing::info!(job = id, %state, "a job has ended");
                said.at = None;
                self.app.job_ended(state);
            }
            Ok(Line::Failed { said: why }) => said.failed = Some(why),
            Err(_) => tracing::debug!(line, "the worker says"),
        }
    }

    /// Leaves the job that a program was at when it died to the next one, at once; for some times.
    fn hand_on(&self, said: &Said, why: &str) {
        let (Some(worker), Some(job)) = (&said.worker, said.at) else {
            return;
        };
        let deaths = self.count(job.0);
        let failed = (deaths >= DEATHS).then(|| {
            format!("its worker died {deaths} times at it, at last so: {why}; the server's log says more")
        });
        let registry = &self.app.settings.equipment.registry;
        match release_job(registry, worker, job, failed.as_deref()) {
            Ok(true) if failed.is_some() => self.app.job_ended(JobState::Failed),
            Ok(_) => {}
            // It is taken again when it has been silent for long.
            Err(error) => tracing::error!(%error, job = job.0, "a job cannot be handed on"),
        }
    }

    /// How often programs died at a job, one after the other.
    fn count(&self, job: i64) -> u32 {
        let mut deaths: MutexGuard<'_, (i64, u32)> =
            self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if deaths.0 == job { deaths.1 } else { 0 };
        *deaths = (job, before + 1);
        before + 1
    }
}

/// What a program prints, line by line.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (tell, lines) = channel();
    if let Some(output) = child.stdout.take() {
        // It ends with the output, or with the one who listens.
        thread::spawn(move || {
            let read = BufReader::new(output).lines();
            for line in read.map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}
