//! The command line as a process, measured from outside.

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::line::{memory_of, shortest};

/// The command line, which is built beside the benchmarks.
pub(crate) fn disinherit() -> Result<PathBuf, Box<dyn Error>> {
    let mut program = std::env::current_exe()?;
    program.set_file_name(format!("disinherit{}", std::env::consts::EXE_SUFFIX));
    match program.is_file() {
        true => Ok(program),
        false => Err("the command line is not built beside the benchmarks".into()),
    }
}

/// The shortest time by the clock that a process took.
pub(crate) fn seconds(
    program: &OsStr,
    arguments: &[&str],
    rounds: usize,
) -> Result<f64, Box<dyn Error>> {
    let run = || {
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .output()
    };
    let once = run()?;
    if !once.status.success() {
        let said = String::from_utf8_lossy(&once.stderr).into_owned();
        return Err(format!("{}: {said}", Path::new(program).display()).into());
    }
    Ok(shortest(rounds, || {
        std::hint::black_box(run().is_ok());
    }))
}

/// Seconds that a process took, and the most memory that it held, in MiB, as Linux tells it.
pub(crate) fn peak(program: &OsStr, arguments: &[&str]) -> Result<(f64, f64), Box<dyn Error>> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()?;
    let mut most = f64::NAN;
    let status = loop {
        // A mark of the highest, so that nothing between two looks is missed.
        most = most.max(memory_of(&child.id().to_string(), "VmHWM"));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    match status.success() {
        true => Ok((start.elapsed().as_secs_f64(), most)),
        false => Err(format!("{arguments:?} failed").into()),
    }
}
