//! The service over a large registry: how long its lists and single requests take when calls come at a fixed rate, and
//! what memory and processor time it needs. `BENCH_REQUESTS` and `BENCH_MODELS` say how many there are, `BENCH_SECONDS` how long each kind of
//! call is made, `BENCH_RATE` how many a second; `BENCH_FOLDER` names a folder whose registry is kept, and filled where it is
//! not there. With `BENCH_SOAK` all kinds are called in turn for so many minutes more, and memory is told as they pass.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use disinherit::model::now;
use disinherit_desk::Bar;
use disinherit_nets::Compute;
use disinherit_registry::{
    Asked, ErasureId, ErasureStep, Filing, Manifest, ModelRow, NewModel, OperationRecord,
    Publication, Registry,
};
use disinherit_server::{Equipment, Executor, Limits, Role, Settings, make_token, serve};
use serde_json::json;
use umig::{Model, ModelId, Relation, Training};

use crate::line::Line;

/// The argument that starts the server's process.
pub(crate) const CHILD: &str = "--serve-apart";

/// Connections of the client. A call that finds none free waits, which counts.
const CONNECTIONS: usize = 64;

/// Models published in one operation.
const BATCH: usize = 1000;

/// Every so many-th request is turned down, so that not all are open.
const REJECTED: usize = 4;

const DAY: u64 = 24 * 3_600_000;

/// What is called, for the n-th call.
type Paths = Box<dyn Fn(usize) -> String + Sync>;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let requests = setting("BENCH_REQUESTS", 100_000)?;
    let models = setting("BENCH_MODELS", 100_000)?;
    let (seconds, rate) = (setting("BENCH_SECONDS", 10)?, setting("BENCH_RATE", 200)?);
    let what = format!("{requests} requests and {models} models");
    let mut lines = Vec::new();
    let passing = tempfile::tempdir()?;
    let kept = std::env::var_os("BENCH_FOLDER").map(PathBuf::from);
    let folder = kept.as_deref().unwrap_or(passing.path());
    if !folder.join(".disinherit").exists() {
        let start = Instant::now();
        fill(&Registry::create(folder)?, requests, models)?;
        let filled = start.elapsed().as_secs_f64();
        lines.push(Line::plain(
            format!("filling a registry with {what}"),
            filled,
            "s",
        ));
    }
    let token = make_token(
        &Registry::open(folder)?,
        "bench",
        "bench",
        Role::Viewer,
        DAY,
    )?
    .secret;
    let server = Server::start(folder)?;
    lines.push(Line::plain(
        format!("memory of the service at first, {what}"),
        server.memory("VmRSS:"),
        "MiB",
    ));
    let all = kinds(requests, models);
    lines.extend(called(&server, &token, (rate, seconds), all, &what)?);
    if std::env::var_os("BENCH_SOAK").is_some() {
        let minutes = setting("BENCH_SOAK", 60)?;
        lines.extend(soak(
            &server,
            &token,
            rate,
            minutes,
            kinds(requests, models),
        )?);
    }
    lines.push(Line::plain(
        format!("memory of the service at most, {what}"),
        server.memory("VmHWM:"),
        "MiB",
    ));
    Ok(lines)
}

/// Calls each kind for some seconds.
fn called(
    server: &Server,
    token: &str,
    (rate, seconds): (usize, usize),
    kinds: Vec<(&str, Paths)>,
    what: &str,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for (name, path) in kinds {
        let processor = server.processor_time();
        let mut took = calls(&server.address, token, (rate, seconds), &*path)?;
        took.sort_by(f64::total_cmp);
        for (part, percentile) in [("median", 50), ("99th percentile", 99)] {
            let at = (took.len() * percentile / 100).min(took.len() - 1);
            let name = format!("{name}, {part} at {rate}/s, {what}");
            lines.push(Line::milliseconds(&name, took[at], None, "-"));
        }
        let each = (server.processor_time() - processor) / took.len() as f64;
        let name = format!("{name}, processor time for a call, {what}");
        lines.push(Line::milliseconds(&name, each, None, "-"));
    }
    Ok(lines)
}

/// Times that memory is told while calls go on.
const LOOKS: usize = 12;

/// Calls all kinds in turn, and tells what memory the service has meanwhile.
fn soak(
    server: &Server,
    token: &str,
    rate: usize,
    minutes: usize,
    kinds: Vec<(&str, Paths)>,
) -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    let path = |at: usize| (kinds[at % kinds.len()].1)(at / kinds.len());
    for look in 1..=LOOKS {
        let seconds = (minutes * 60 / LOOKS).max(1);
        let took = calls(&server.address, token, (rate, seconds), &path)?;
        let passed = look * seconds;
        let name = format!(
            "memory of the service after {passed} s of calls of every kind, {} of them at {rate}/s",
            look * took.len()
        );
        let line = Line::plain(name, server.memory("VmRSS:"), "MiB");
        // An hour passes until the others are told.
        eprintln!("{line}");
        lines.push(line);
    }
    Ok(lines)
}

/// What is called.
fn kinds(requests: usize, models: usize) -> Vec<(&'static str, Paths)> {
    let kind = |name, path: fn(usize, usize, usize) -> String| -> (&'static str, Paths) {
        (name, Box::new(move |at| path(at, requests, models)))
    };
    vec![
        kind("the first page of open requests", |_, _, _| {
            "/api/v1/requests".into()
        }),
        kind("any page of open requests", |at, requests, _| {
            format!("/api/v1/requests?after={}", open(at, requests))
        }),
        kind(
            "any page of all requests, by deadline",
            |at, requests, _| format!("/api/v1/requests?state=all&after={}", any(at, requests)),
        ),
        kind("one request", |at, requests, _| {
            format!("/api/v1/requests/{}", any(at, requests))
        }),
        kind("the first page of models", |_, _, _| {
            "/api/v1/models".into()
        }),
        kind("any page of models", |at, _, models| {
            let after = name(any(at, models)).replace('/', "%2F");
            format!("/api/v1/models?after={after}@1")
        }),
        kind("the page of open requests, in HTML", |_, _, _| "/".into()),
    ]
}

fn setting(name: &str, usual: usize) -> Result<usize, Box<dyn Error>> {
    match std::env::var(name) {
        Ok(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{name} must be a number from 1 on, not `{text}`").into()),
        },
        Err(_) => Ok(usual),
    }
}

/// A number from 1 to `count`, the same for the same call, spread over all.
fn any(at: usize, count: usize) -> usize {
    at.wrapping_mul(7_919) % count + 1
}

/// One that was not turned down.
fn open(at: usize, count: usize) -> usize {
    let number = any(at, count);
    match number % REJECTED {
        0 => number - 1,
        _ => number,
    }
}

/// A model that was fine-tuned from the base.
fn name(number: usize) -> String {
    format!("team-{:03}/tuned-{number:06}", number % 100)
}

/// Fills a registry.
fn fill(registry: &Registry, requests: usize, models: usize) -> Result<(), Box<dyn Error>> {
    let manifest = Manifest {
        architecture: Some(json!({"kind": "small-cnn"})),
        ..Manifest::default()
    };
    let digest = registry.put_model(manifest, Default::default())?;
    let base = ModelId::new("base", 1)?;
    for first in (0..models).step_by(BATCH) {
        let numbers = first..models.min(first + BATCH);
        let batch = numbers.map(|number| {
            let (id, parents) = match number {
                0 => (base.clone(), Vec::new()),
                _ => {
                    let parents = vec![(base.clone(), Relation::FineTune)];
                    (ModelId::new(name(number), 1)?, parents)
                }
            };
            let vertex =
                Model::new(id, number as u64).trained_on(Training::new("scans", ["cat", "dog"]));
            let row = ModelRow::new(vertex, digest);
            Ok(NewModel { row, parents })
        });
        let record = OperationRecord::Unknown {
            command: "set up".into(),
            detail: json!({}),
        };
        registry.publish(&Publication {
            models: batch.collect::<Result<_, Box<dyn Error>>>()?,
            ..Publication::new(0, record)
        })?;
    }
    let now = now();
    for number in 1..=requests {
        let received = now - (number as u64 % 20) * DAY;
        registry.file_erasure(Filing {
            asked: Asked::Source(format!("clinic-{}", number % 1000)),
            from: Vec::new(),
            requester: Some(format!("subject-{number}")),
            basis: Some("GDPR Art. 17(1)(b)".into()),
            received,
            deadline: received + 30 * DAY + number as u64,
        })?;
        if number % REJECTED == 0 {
            let reason = "a duplicate".into();
            let id = ErasureId::new(i64::try_from(number)?);
            registry.step_erasure(id, ErasureStep::Reject { reason }, None)?;
        }
    }
    Ok(())
}

/// A service in a process of its own.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(CHILD)
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().ok_or("the server says nothing")?;
        let mut address = String::new();
        BufReader::new(said).read_line(&mut address)?;
        let address = address.trim().to_owned();
        Ok(Self { child, address })
    }

    /// What the processor did for it so far, in seconds.
    fn processor_time(&self) -> f64 {
        crate::line::processor_time_of(&self.child.id().to_string())
    }

    /// What of it is in memory, in MiB.
    fn memory(&self, what: &str) -> f64 {
        crate::line::memory_of(&self.child.id().to_string(), what)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60)));
    config.build().into()
}

fn call(agent: &ureq::Agent, url: &str, token: &str) -> Result<(), String> {
    let call = agent
        .get(url)
        .header("authorization", format!("Bearer {token}"));
    let mut answer = call.call().map_err(|error| format!("{url}: {error}"))?;
    answer
        .body_mut()
        .read_to_vec()
        .map_err(|error| format!("{url}: {error}"))?;
    Ok(())
}

/// Makes calls at a fixed rate, whatever the answers do; the time of each in seconds, from the moment when it was due.
fn calls(
    address: &str,
    token: &str,
    (rate, seconds): (usize, usize),
    path: &(dyn Fn(usize) -> String + Sync),
) -> Result<Vec<f64>, Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    // A moment for the connections.
    let start = Instant::now() + Duration::from_millis(200);
    let work = || -> Result<Vec<f64>, String> {
        let agent = agent();
        let mut took = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= rate * seconds {
                return Ok(took);
            }
            let due = start + Duration::from_secs_f64(at as f64 / rate as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            call(&agent, &format!("{address}{}", path(at)), token)?;
            took.push(due.elapsed().as_secs_f64());
        }
    };
    let took = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(took) => took,
            Err(_) => Err("a client has failed".into()),
        });
        joined.collect::<Result<Vec<_>, String>>()
    })?;
    Ok(took.concat())
}

/// Serves the registry in a folder, and says where.
pub(crate) fn child() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(2).ok_or("no folder")?;
    let registry = Registry::open(Path::new(&folder))?;
    let settings = Settings {
        equipment: Arc::new(Equipment {
            registry: Arc::new(registry),
            data: None,
            compute: Compute::Cpu,
            onnx_runtime: None,
            bar: Bar::default(),
        }),
        key: None,
        executor: Executor::Elsewhere,
        streams: 100,
        largest_body: 1 << 20,
        patience: Duration::from_secs(1),
        limits: Limits {
            token_rate: 0,
            address_rate: 0,
            ..Limits::default()
        },
        audit_log: None,
        tls: None,
        oidc: None,
    };
    serve(settings, ([127, 0, 0, 1], 0).into(), |address| {
        println!("http://{address}");
        let _ = std::io::stdout().flush();
    })?;
    Ok(())
}
