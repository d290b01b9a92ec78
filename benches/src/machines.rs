//! One class forgotten in many descendants by several processes, and over a network: PostgreSQL and an
//! S3-compatible server of this machine, behind proxies that make each round trip longer. `BENCH_MODELS=1000,10000`
//! sets how many descendants there are.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disinherit_registry::{CardRow, Location, NewModel, OperationId, Registry};
use disinherit_testkit::{Postgres, Proxy, S3};
use tempfile::TempDir;

use crate::apart::{Measured, WHOLE, command, forget_apart, measured};
use crate::inherited::{base, publish, stored};
use crate::line::Line;

/// How many descendants there are.
const SIZES: &str = "1000,10000";

/// Round trips, in milliseconds, of one machine, and of storage far away.
const LATENCIES: [u64; 2] = [0, 20];

/// Processes beside each other.
const PROCESSES: [u32; 2] = [1, 2];

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let sizes = std::env::var("BENCH_MODELS").unwrap_or_else(|_| SIZES.to_owned());
    let mut told = Told::default();
    for size in sizes.split(',') {
        let family = Family::new(size.trim().parse()?)?;
        let local = in_folder(&family, &mut told)?;
        over_network(&family, local, &mut told)?;
    }
    Ok(told.lines)
}

/// The lines so far. A run takes minutes, so each is told when it is known, too.
#[derive(Default)]
struct Told {
    lines: Vec<Line>,
}

impl Told {
    fn push(&mut self, line: Line) {
        eprintln!("{line}");
        self.lines.push(line);
    }
}

/// A registry in a folder, in packs, and what it published.
struct Family {
    descendants: usize,
    folder: TempDir,
    models: Vec<NewModel>,
    cards: Vec<CardRow>,
}

impl Family {
    fn new(descendants: usize) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let registry = Registry::create(folder.path())?;
        let births = stored(&registry, 1, descendants)?;
        let (models, cards) = (births.models, births.cards);
        publish(&registry, models.clone(), cards.clone())?;
        registry.pack_objects()?;
        Ok(Self {
            descendants,
            folder,
            models,
            cards,
        })
    }

    /// Copies what is below a path of the folder.
    fn copy(&self, from: &str, to: &Path) -> Result<(), Box<dyn Error>> {
        std::fs::create_dir_all(to)?;
        let mut copy = Command::new("cp");
        copy.args(["-r", "."])
            .arg(to)
            .current_dir(self.folder.path().join(from));
        match copy.status()?.success() {
            true => Ok(()),
            false => Err("a registry could not be copied".into()),
        }
    }

    fn name(&self, what: &str) -> String {
        format!("{} inherited models, {what}", self.descendants)
    }

    /// How many are edited a second.
    fn rate(&self, seconds: f64) -> f64 {
        self.descendants as f64 / seconds
    }
}

/// One process, and several beside each other, on a folder. Returns the seconds of the one.
fn in_folder(family: &Family, told: &mut Told) -> Result<f64, Box<dyn Error>> {
    let copy = tempfile::tempdir()?;
    family.copy("", copy.path())?;
    let one = forget_apart(copy.path(), "c3", "outputs", &[base(0)?])?;
    told.push(Line::plain(family.name("a folder"), one.seconds, "s"));
    let memory = family.name("a folder, peak memory");
    told.push(Line::plain(memory, one.mebibytes, "MiB"));
    for processes in PROCESSES {
        let copy = tempfile::tempdir()?;
        family.copy("", copy.path())?;
        let (shards, publishing) = by_shards(copy.path(), processes)?;
        let name = |what: &str| family.name(&format!("shards by {processes} processes{what}"));
        let both = shards + publishing.seconds;
        let against = "one process";
        told.push(Line::against(
            name(", then publication"),
            both,
            one.seconds,
            against,
        ));
        told.push(Line::plain(name(": publication"), publishing.seconds, "s"));
        let memory = name(": peak memory of publication");
        told.push(Line::plain(memory, publishing.mebibytes, "MiB"));
    }
    Ok(one.seconds)
}

/// Over PostgreSQL and S3, with each of the round trips.
fn over_network(family: &Family, local: f64, told: &mut Told) -> Result<(), Box<dyn Error>> {
    let (database, storage) = (Postgres::start()?, S3::start()?);
    let to_database = Proxy::start(database.port(), Duration::ZERO)?;
    let to_storage = Proxy::start(storage.port(), Duration::ZERO)?;
    let catalog = database.address_at(to_database.address());
    let place = format!("{}/family", storage.address());
    let known = storage
        .environment()
        .map(|(name, value)| (name.to_owned(), value));
    let direct = Location::parse(&place)?.with_settings(known);
    let registry = Registry::create_with(&direct, Some(&catalog))?;
    // Set up past the proxy before the storage: that is not measured.
    let objects = storage.folder().join("family");
    family.copy(".disinherit/objects", &objects)?;
    publish(&registry, family.models.clone(), family.cards.clone())?;
    for latency in LATENCIES {
        for proxy in [&to_database, &to_storage] {
            proxy.set_latency(Duration::from_millis(latency));
        }
        let mut process = command(&place, "c3", "outputs", WHOLE, &[base(0)?])?;
        let environment = storage.environment_at(to_storage.address());
        let one = measured(process.envs(environment).output()?)?;
        let name = |what: &str| family.name(&format!("a network of {latency} ms{what}"));
        told.push(Line::against(name(""), one.seconds, local, "a folder"));
        let rate = family.rate(one.seconds);
        told.push(Line::plain(name(", models a second"), rate, "1/s"));
        told.push(Line::plain(name(", peak memory"), one.mebibytes, "MiB"));
        for proxy in [&to_database, &to_storage] {
            proxy.set_latency(Duration::ZERO);
        }
        registry.undo(last(&registry)?)?;
    }
    Ok(())
}

/// The last operation.
fn last(registry: &Registry) -> Result<OperationId, Box<dyn Error>> {
    let operations = registry.operations()?;
    let last = operations.last().ok_or("nothing was published")?;
    Ok(last.id)
}

/// The seconds that the slowest of the shards took, and what publication took.
fn by_shards(place: &Path, processes: u32) -> Result<(f64, Measured), Box<dyn Error>> {
    let start = |shard: u32| -> Result<Child, Box<dyn Error>> {
        let shard = format!("{shard}/{processes}");
        let mut process = command(place, "c3", "outputs", &shard, &[base(0)?])?;
        Ok(process.stdout(Stdio::piped()).spawn()?)
    };
    let clock = Instant::now();
    let started = (1..=processes).map(start).collect::<Result<Vec<_>, _>>()?;
    for process in started {
        measured(process.wait_with_output()?)?;
    }
    let shards = clock.elapsed().as_secs_f64();
    let publishing = command(place, "c3", "outputs", WHOLE, &[base(0)?])?.output()?;
    Ok((shards, measured(publishing)?))
}
