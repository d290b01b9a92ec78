//! What a model takes in memory on its way: added, its FIM card imported, edited on all layers, exported. The command
//! line, measured from outside.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use disinherit_formats::{Dtype, preamble};
use disinherit_registry::Registry;
use fiun::Estimator;

use crate::line::Line;
use crate::program;

/// Layers of 256 MiB.
const ROWS: usize = 8192;
const COLS: usize = 8192;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    // The second tells whether the first depends on the size.
    for layers in [1, 4] {
        lines.extend(measure(layers)?);
    }
    Ok(lines)
}

fn measure(layers: usize) -> Result<Vec<Line>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let program = program::disinherit()?;
    let place = folder.path().to_string_lossy().into_owned();
    Registry::create(folder.path())?;
    let file = |name: &str| format!("{place}/{name}");
    let mut lines = Vec::new();
    let mut measure = |what: &str, arguments: &[&str]| -> Result<(), Box<dyn Error>> {
        let arguments = [arguments, &["--registry", &place, "--quiet"]].concat();
        let (seconds, most) = program::peak(program.as_os_str(), &arguments)?;
        let name = format!("{what}, a model of {} MiB", layers * 256);
        lines.push(Line::plain(format!("{name}, memory"), most, "MiB"));
        lines.push(Line::plain(name, seconds, "s"));
        Ok(())
    };
    for (name, seed, more) in [
        ("base", 1, ["--trained-on", "photos", "--source", "clinic"]),
        ("child", 2, ["--trained-on", "more", "--parent", "base"]),
    ] {
        let weights = file(&format!("{name}.safetensors"));
        write_model(Path::new(&weights), layers, seed)?;
        let add = ["add", &weights, "--name", name, "--labels", "a,b"];
        measure(&format!("add {name}"), &[&add[..], &more].concat())?;
        let registry = Registry::open(folder.path())?;
        let digest = registry.digest(&format!("{name}@1").parse()?)?;
        let digest = digest.ok_or("it was not added")?.to_string();
        drop(registry);
        let card = file(&format!("{name}.card"));
        write_card(Path::new(&card), layers, seed, digest)?;
        let import = ["fisher", "import", &card];
        measure(&format!("fisher import of {name}"), &import)?;
        std::fs::remove_file(&weights)?;
        std::fs::remove_file(&card)?;
    }
    let unlearn = ["unlearn", "--forget", "source=clinic", "--layers", "all"];
    measure(
        "unlearn --layers all",
        &[&unlearn[..], &["--alpha", "1"]].concat(),
    )?;
    measure("export", &["export", "child", &file("out.safetensors")])?;
    Ok(lines)
}

/// A block of values between 1 and 2.
fn block(seed: usize) -> Vec<u8> {
    let value = |i: usize| 1.0 + ((i * 31 + seed * 7919) % 1009) as f32 / 1009.0;
    (0..COLS).flat_map(|i| value(i).to_le_bytes()).collect()
}

/// Writes tensors of single-precision values, and scales of 1 where the type is double.
fn write(
    path: &Path,
    tensors: &[(String, Dtype, Vec<usize>)],
    metadata: BTreeMap<String, String>,
    seed: usize,
) -> Result<(), Box<dyn Error>> {
    let described = tensors.iter();
    let described = described.map(|(name, dtype, shape)| (&name[..], *dtype, &shape[..]));
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&preamble(described, metadata.into_iter().collect())?)?;
    for (place, (_, dtype, shape)) in tensors.iter().enumerate() {
        let count: usize = shape.iter().product();
        match dtype {
            Dtype::F64 => file.write_all(&1f64.to_le_bytes().repeat(count))?,
            _ => {
                for row in 0..count.div_ceil(COLS) {
                    let left = (count - row * COLS).min(COLS);
                    file.write_all(&block(seed + place * 31 + row)[..4 * left])?;
                }
            }
        }
    }
    file.flush()?;
    Ok(())
}

fn write_model(path: &Path, layers: usize, seed: usize) -> Result<(), Box<dyn Error>> {
    let layers = (0..layers).map(|n| (format!("layer{n:02}.weight"), Dtype::F32, vec![ROWS, COLS]));
    let head = [
        ("fc.weight".to_owned(), Dtype::F32, vec![2, 3]),
        ("fc.bias".to_owned(), Dtype::F32, vec![2]),
    ];
    let tensors: Vec<_> = layers.chain(head).collect();
    write(path, &tensors, BTreeMap::new(), seed)
}

fn write_card(
    path: &Path,
    layers: usize,
    seed: usize,
    model: String,
) -> Result<(), Box<dyn Error>> {
    let with_scale = |name: String, shape: Vec<usize>, rows: Vec<usize>| {
        let scale = (format!("{name}.scale"), Dtype::F64, rows);
        [(name, Dtype::F32, shape), scale]
    };
    let mut tensors: Vec<(String, Dtype, Vec<usize>)> = [
        with_scale("weight".into(), vec![2, 3], vec![2]),
        with_scale("bias".into(), vec![2], vec![2]),
        with_scale("class.weight".into(), vec![2, 2, 3], vec![2, 2]),
        with_scale("class.bias".into(), vec![2, 2], vec![2, 2]),
    ]
    .concat();
    for n in 0..layers {
        let name = format!("inner/layer{n:02}.weight");
        tensors.extend(with_scale(name, vec![ROWS, COLS], vec![ROWS]));
    }
    let labels = serde_json::to_string(&["a", "b"])?;
    let metadata = [
        ("format", "fim-card/2".to_owned()),
        ("model", model),
        ("data", "made up".into()),
        ("head", "fc".into()),
        ("estimator", Estimator::Empirical.to_string()),
        ("outputs", labels.clone()),
        ("classes", labels),
        ("counts", "[10,10]".into()),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
    write(path, &tensors, metadata.into(), seed + 100)
}
