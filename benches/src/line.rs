//! What a benchmark reports, and how it measures time.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

/// One measured line.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    name: String,
    ours: f64,
    other: Option<f64>,
    against: String,
    ratio: Option<f64>,
    unit: &'static str,
}

impl Line {
    /// A line in milliseconds from seconds.
    pub(crate) fn milliseconds(name: &str, ours: f64, other: Option<f64>, against: &str) -> Self {
        Self {
            name: name.to_owned(),
            ours: ours * 1e3,
            other: other.map(|seconds| seconds * 1e3),
            against: against.to_owned(),
            ratio: other.map(|other| ours / other),
            unit: "ms",
        }
    }

    /// A line in images a second.
    pub(crate) fn images(name: &str, ours: f64, other: Option<f64>, against: &str) -> Self {
        Self::rate(name, ours, other, against, "images/s")
    }

    /// A line in what is done a second.
    pub(crate) fn rate(
        name: &str,
        ours: f64,
        other: Option<f64>,
        against: &str,
        unit: &'static str,
    ) -> Self {
        Self {
            other,
            against: against.to_owned(),
            ratio: other.map(|other| ours / other),
            ..Self::plain(name.to_owned(), ours, unit)
        }
    }

    /// A line in seconds beside those of something else.
    pub(crate) fn against(name: String, ours: f64, other: f64, against: &str) -> Self {
        Self {
            other: Some(other),
            against: against.to_owned(),
            ratio: Some(ours / other),
            ..Self::plain(name, ours, "s")
        }
    }

    /// A line in any unit.
    pub(crate) fn plain(name: String, ours: f64, unit: &'static str) -> Self {
        Self {
            name,
            ours,
            other: None,
            against: "-".to_owned(),
            ratio: None,
            unit,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.3} {}", self.name, self.ours, self.unit)?;
        match self.ratio {
            Some(ratio) => write!(f, ", {ratio:.2} of {}", self.against),
            None => Ok(()),
        }
    }
}

/// The shortest of several runs, in seconds: what the machine can do when nothing disturbs it.
pub(crate) fn shortest(rounds: usize, mut run: impl FnMut()) -> f64 {
    let once = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..rounds)
        .map(|_| once(&mut run))
        .fold(f64::INFINITY, f64::min)
}

/// As [`shortest`], of runs that can fail.
///
/// # Errors
/// That of the last run that failed.
pub(crate) fn try_shortest<T, E>(
    rounds: usize,
    mut run: impl FnMut() -> Result<T, E>,
) -> Result<f64, E> {
    let mut failed = None;
    let seconds = shortest(rounds, || {
        if let Err(error) = std::hint::black_box(run()) {
            failed = Some(error);
        }
    });
    failed.map_or(Ok(seconds), Err)
}

/// The shortest of several runs of two things in turn, so that what disturbs the machine for a
/// while disturbs both.
pub(crate) fn in_turn(rounds: usize, mut one: impl FnMut(), mut other: impl FnMut()) -> [f64; 2] {
    let mut best = [f64::INFINITY; 2];
    for _ in 0..rounds {
        best[0] = best[0].min(shortest(1, &mut one));
        best[1] = best[1].min(shortest(1, &mut other));
    }
    best
}

/// What of this process is in memory now, or was at most, in MiB.
pub(crate) fn memory(what: &str) -> f64 {
    memory_of("self", what)
}

/// The same of another process, by its number.
pub(crate) fn memory_of(process: &str, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1024.0
}

/// Seconds of processor time that this process took so far: on a shared machine they vary less than the clock.
pub(crate) fn processor_time() -> f64 {
    processor_time_of("self")
}

/// The same of another process, by its number.
pub(crate) fn processor_time_of(process: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which may hold spaces: fields 14 and 15 of all, in hundredths of a second.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .map(|text| text.parse().unwrap_or(f64::NAN))
        .sum::<f64>()
        / 100.0
}
