//! One class forgotten in many descendants by several processes, and over a network: PostgreSQL and an
//! S3-compatible server of this machine, behind a proxy that makes each round trip longer.

use std::error::Error;
use std::process::Child;
use std::time::{Duration, Instant};

use disinherit_registry::{Location, Registry};
use disinherit_testkit::{Postgres, Proxy, S3};

use crate::apart::{Measured, WHOLE, command, forget_apart, measured};
use crate::inherited::{base, set_up};
use crate::line::Line;

/// Round trips of a data centre, and of storage far away.
const LATENCIES: [u64; 2] = [0, 20];

/// Processes beside each other.
const SHARDS: u32 = 2;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for descendants in [1_000, 10_000] {
        let local = in_folder(descendants, &mut lines)?;
        for latency in LATENCIES {
            over_network(descendants, latency, local, &mut lines)?;
        }
    }
    Ok(lines)
}

/// One process and several on a folder. Returns the seconds of one.
fn in_folder(descendants: usize, lines: &mut Vec<Line>) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    set_up(&Registry::create(folder.path())?, 1, descendants)?;
    let copy = tempfile::tempdir()?;
    let copied = std::process::Command::new("cp")
        .args(["-r", "."])
        .arg(copy.path())
        .current_dir(folder.path())
        .status()?;
    if !copied.success() {
        return Err("a registry could not be copied".into());
    }
    let one = forget_apart(folder.path(), "c3", "outputs", &[base(0)?])?;
    let name = |what: &str| format!("{descendants} inherited models in a folder, {what}");
    lines.push(Line::plain(name("one process"), one.seconds, "s"));
    let place = copy.path().display().to_string();
    let (shards, publishing) = by_shards(&place)?;
    let both = shards + publishing.seconds;
    lines.push(Line::against(
        name("two shards and publication"),
        both,
        one.seconds,
        "one process",
    ));
    lines.push(Line::plain(
        name("publication of what shards made"),
        publishing.seconds,
        "s",
    ));
    Ok(one.seconds)
}

/// Over PostgreSQL and S3, each round trip so many milliseconds longer.
fn over_network(
    descendants: usize,
    latency: u64,
    local: f64,
    lines: &mut Vec<Line>,
) -> Result<(), Box<dyn Error>> {
    let (database, storage) = (Postgres::start()?, S3::start()?);
    let delay = Duration::from_millis(latency);
    let to_database = Proxy::start(database.port(), delay)?;
    let to_storage = Proxy::start(storage.port(), delay)?;
    let catalog = database.address_at(to_database.address());
    let name = |what: &str| {
        format!("{descendants} inherited models over a network of {latency} ms, {what}")
    };
    // Set up past the proxy before the storage: that is not measured.
    let place = format!("{}/inherited", storage.address());
    let known = storage
        .environment()
        .map(|(name, value)| (name.to_owned(), value));
    let direct = Location::parse(&place)?.with_settings(known);
    set_up(
        &Registry::create_with(&direct, Some(&catalog))?,
        1,
        descendants,
    )?;
    let mut process = command(&place, "c3", "outputs", WHOLE, &[base(0)?])?;
    let environment = storage.environment_at(to_storage.address());
    let one = measured(process.envs(environment).output()?)?;
    lines.push(Line::against(
        name("one process"),
        one.seconds,
        local,
        "a folder",
    ));
    lines.push(Line::plain(name("peak memory"), one.mebibytes, "MiB"));
    Ok(())
}

/// The seconds that the slowest of the shards took, and what publication took.
fn by_shards(place: &str) -> Result<(f64, Measured), Box<dyn Error>> {
    let start = |shard: u32| -> Result<Child, Box<dyn Error>> {
        let mut process = command(
            place,
            "c3",
            "outputs",
            &format!("{shard}/{SHARDS}"),
            &[base(0)?],
        )?;
        Ok(process.stdout(std::process::Stdio::piped()).spawn()?)
    };
    let clock = Instant::now();
    let processes = (1..=SHARDS).map(start).collect::<Result<Vec<_>, _>>()?;
    for process in processes {
        measured(process.wait_with_output()?)?;
    }
    let shards = clock.elapsed().as_secs_f64();
    let publishing = command(place, "c3", "outputs", WHOLE, &[base(0)?])?.output()?;
    Ok((shards, measured(publishing)?))
}
