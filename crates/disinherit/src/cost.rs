//! What work costs: time, processor time, bytes.

use std::time::Instant;

use disinherit_registry::Registry;
use serde::{Deserialize, Serialize};

/// What something cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Wall time.
    pub seconds: f64,
    /// Time of all processor cores together, where the system tells it.
    pub processor_seconds: Option<f64>,
    /// Bytes read from the registry.
    pub bytes_read: u64,
    /// Bytes written to the registry.
    pub bytes_written: u64,
}

impl Cost {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            processor_seconds: self
                .processor_seconds
                .zip(other.processor_seconds)
                .map(|(a, b)| a + b),
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_written: self.bytes_written + other.bytes_written,
        }
    }
}

/// A measurement on its way.
pub struct Meter<'a> {
    registry: &'a Registry,
    start: Instant,
    processor: Option<f64>,
    traffic: (u64, u64),
}

impl<'a> Meter<'a> {
    /// Begins to measure.
    pub fn start(registry: &'a Registry) -> Self {
        Self {
            registry,
            start: Instant::now(),
            processor: processor(),
            traffic: registry.traffic(),
        }
    }

    /// What it has cost since.
    pub fn stop(self) -> Cost {
        let (read, written) = self.registry.traffic();
        Cost {
            seconds: self.start.elapsed().as_secs_f64(),
            processor_seconds: self.processor.zip(processor()).map(|(a, b)| b - a),
            bytes_read: read - self.traffic.0,
            bytes_written: written - self.traffic.1,
        }
    }
}

/// Processor time of this process so far, in seconds.
#[cfg(unix)]
fn processor() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

#[cfg(not(unix))]
fn processor() -> Option<f64> {
    None
}
