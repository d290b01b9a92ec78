//! What this machine can do at most, and how near the engine's operations come to it: memory, arithmetic, disk.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use disinherit_nets::Compute;
use disinherit_registry::{Digest, OperationRecord, Publication, Registry};
use fiun::{Matrix, transpose_product};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::line::{Line, shortest};
use crate::{dampen, family, forward, head_fisher};

const ROUNDS: usize = 5;

/// Values of an array that no cache holds.
const VALUES: usize = 64 << 20;

/// Files that are flushed.
const FILES: usize = 256;

/// Models that are published together.
const MODELS: usize = 1000;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let memory = memory();
    let (peak, product) = (arithmetic(), product()?);
    let disk = Disk::measure(folder.path())?;
    let plain = |name: &str, value: f64, unit| Line::plain(name.into(), value, unit);
    let mut lines = vec![
        plain("memory, reading two and writing one", memory / 1e9, "GB/s"),
        plain("arithmetic, fused, in registers", peak / 1e9, "GFLOP/s"),
        plain("a product of 2048 x 2048", product / 1e9, "GFLOP/s"),
        plain("BLAKE3, one thread", hash() / 1e9, "GB/s"),
        plain("disk, writing and a flush", disk.rate / 1e9, "GB/s"),
        plain("a file written and flushed", disk.alone * 1e3, "ms"),
        plain("the same, of many at a time", disk.together * 1e3, "ms"),
    ];
    // Parameters and two FIMs are read, parameters are written: four bytes each.
    let dampening = dampen::PARAMETERS as f64 * 16.0 / memory;
    let ours = dampen::seconds()?;
    let against = "bytes over the memory's rate";
    let name = "dampening 100 M f32";
    lines.push(Line::milliseconds(name, ours, Some(dampening), against));
    let fisher = head_fisher::OPERATIONS / peak;
    let ours = head_fisher::seconds()?;
    let against = "operations over the peak";
    let name = "FIM of a head";
    lines.push(Line::milliseconds(name, ours, Some(fisher), against));
    let pass = resnet_operations() / peak;
    let ours = 1.0 / forward::rate(Compute::Cpu, 2048)?;
    let name = "forward pass of ResNet-18, an image";
    lines.push(Line::milliseconds(name, ours, Some(pass), against));
    lines.push(publication(&disk)?);
    Ok(lines)
}

/// Bytes a second that all threads read and write together.
fn memory() -> f64 {
    let (a, b) = (vec![1.0f32; VALUES], vec![2.0f32; VALUES]);
    let mut out = vec![0.0f32; VALUES];
    let seconds = shortest(ROUNDS, || {
        let parts = out.par_chunks_mut(1 << 16).zip(a.par_chunks(1 << 16));
        parts.zip(b.par_chunks(1 << 16)).for_each(|((out, a), b)| {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = a + 3.0 * b;
            }
        });
        std::hint::black_box(&out);
    });
    (VALUES * 12) as f64 / seconds
}

/// Multiplications that wait for none of the others.
const CHAINS: usize = 12;

struct Fused(usize);

impl WithSimd for Fused {
    type Output = (f32, usize);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        // Known to this loop alone, or the compiler does the sum.
        let [factor, term] = std::hint::black_box([0.999, 0.002]).map(|v| simd.splat_f32s(v));
        let starts: [f32; CHAINS] = std::hint::black_box(std::array::from_fn(|at| at as f32));
        let mut chains = starts.map(|start| simd.splat_f32s(start));
        for _ in 0..self.0 {
            for chain in &mut chains {
                *chain = simd.mul_add_e_f32s(*chain, factor, term);
            }
        }
        let sum = chains
            .into_iter()
            .fold(simd.splat_f32s(0.0), |sum, chain| simd.add_f32s(sum, chain));
        (simd.reduce_sum_f32s(sum), S::F32_LANES)
    }
}

/// Operations a second of all threads, with all numbers in registers.
fn arithmetic() -> f64 {
    const STEPS: usize = 10_000_000;
    let threads = rayon::current_num_threads();
    let mut lanes = 0;
    let seconds = shortest(ROUNDS, || {
        let all: Vec<(f32, usize)> = (0..threads)
            .into_par_iter()
            .map(|_| Arch::new().dispatch(Fused(STEPS)))
            .collect();
        lanes = all[0].1;
        std::hint::black_box(all);
    });
    (threads * STEPS * CHAINS * lanes * 2) as f64 / seconds
}

/// Operations a second of a large product, on all threads.
fn product() -> Result<f64, Box<dyn Error>> {
    const SIDE: usize = 2048;
    let values = (0..SIDE * SIDE).map(|i| (i % 97) as f32 / 97.0).collect();
    let matrix = Matrix::new(SIDE, SIDE, values)?;
    let seconds = shortest(ROUNDS, || {
        std::hint::black_box(transpose_product(matrix.view(), matrix.view()).is_ok());
    });
    Ok(2.0 * (SIDE as f64).powi(3) / seconds)
}

/// Bytes a second that are hashed.
fn hash() -> f64 {
    let bytes = vec![7u8; 256 << 20];
    let seconds = shortest(ROUNDS, || {
        std::hint::black_box(Digest::from_content(&bytes));
    });
    bytes.len() as f64 / seconds
}

/// What the disk does.
struct Disk {
    /// Bytes a second of one large file, the flush included.
    rate: f64,
    /// Seconds of a small file, its flush included, one after the other.
    alone: f64,
    /// The same, as many at a time as there are threads in the registry.
    together: f64,
}

impl Disk {
    fn measure(folder: &Path) -> Result<Self, Box<dyn Error>> {
        const LARGE: usize = 512 << 20;
        let flushed = |name: String, bytes: &[u8]| -> std::io::Result<()> {
            let mut file = File::create(folder.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        let large = vec![5u8; LARGE];
        let start = Instant::now();
        flushed("large".into(), &large)?;
        let rate = LARGE as f64 / start.elapsed().as_secs_f64();
        let small = [3u8; 4096];
        let start = Instant::now();
        for n in 0..FILES {
            flushed(format!("alone-{n}"), &small)?;
        }
        let alone = start.elapsed().as_secs_f64() / FILES as f64;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(16).build()?;
        let start = Instant::now();
        let done: std::io::Result<Vec<()>> = pool.install(|| {
            let files = (0..FILES).into_par_iter();
            files
                .map(|n| flushed(format!("together-{n}"), &small))
                .collect()
        });
        done?;
        let together = start.elapsed().as_secs_f64() / FILES as f64;
        Ok(Self {
            rate,
            alone,
            together,
        })
    }
}

/// Two operations for each multiplication of a convolution's taps that lie inside of the image.
fn resnet_operations() -> f64 {
    // Taps that lie inside, summed over the outputs along one side.
    let taps = |side: usize, kernel: usize, stride: usize, padding: usize| -> (usize, usize) {
        let outputs = (side + 2 * padding - kernel) / stride + 1;
        let inside = |out: usize| {
            let taps = (0..kernel).map(|tap| out * stride + tap);
            taps.filter(|at| (padding..side + padding).contains(at))
                .count()
        };
        (outputs, (0..outputs).map(inside).sum())
    };
    let shape = family::shape();
    let (side, stem) = taps(shape.width, 7, 2, 3);
    let mut products = stem * stem * shape.channels * 64;
    // The largest of three by three, every second.
    let (mut side, _) = taps(side, 3, 2, 1);
    let mut inputs = 64;
    for outputs in [64, 128, 256, 512] {
        for block in 0..2 {
            let stride = if block == 0 && outputs > 64 { 2 } else { 1 };
            let (next, first) = taps(side, 3, stride, 1);
            let (_, second) = taps(next, 3, 1, 1);
            products += first * first * inputs * outputs + second * second * outputs * outputs;
            if stride == 2 {
                products += next * next * inputs * outputs;
            }
            (side, inputs) = (next, outputs);
        }
    }
    2.0 * (products + 512 * family::CLASSES) as f64
}

/// New heads of many models: stored and made visible, beside what the disk takes for their bytes and for the flushes
/// of their packs, of the folders and of the catalog.
fn publication(disk: &Disk) -> Result<Line, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::create(folder.path())?;
    let state = family::state(1)?;
    let base = registry.put_model(family::manifest()?, family::tensors(&state))?;
    let manifest = registry.manifest(base)?;
    let head = |number: usize| {
        let values: Vec<f32> = (0..family::CLASSES * 512)
            .map(|i| (i * number % 1009) as f32)
            .collect();
        let weight = disinherit_formats::Tensor::from_f32(&[family::CLASSES, 512], &values);
        [("fc.weight".to_owned(), weight)].into()
    };
    let models = (0..MODELS).map(|number| (manifest.clone(), head(number)));
    let models: Vec<_> = models.collect();
    let before = registry.traffic().1;
    let start = Instant::now();
    registry.put_models(models)?;
    let record = OperationRecord::Unknown {
        command: "set up".into(),
        detail: serde_json::json!({}),
    };
    registry.publish(&Publication::new(0, record))?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes = (registry.traffic().1 - before) as f64;
    // Packs of 8 MiB, their folder and the one above, and the catalog's log.
    let flushes = (bytes / f64::from(8 << 20)).ceil() + 3.0;
    let limit = bytes / disk.rate + flushes * disk.alone;
    let name = format!("publishing {MODELS} heads");
    let against = "bytes and flushes over the disk's rates";
    Ok(Line::milliseconds(&name, seconds, Some(limit), against))
}
