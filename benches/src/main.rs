//! Benchmarks against peers and limits. Run through `cargo xtask bench [NAME]`: prints one JSON
//! object a line, `{"name", "ours", "other", "against", "ratio", "unit"}`, where `ratio` is ours
//! over the other's.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod apart;
mod counts;
mod dampen;
mod family;
mod forward;
mod head_fisher;
mod import;
mod inherited;
mod inherited_features;
mod layers;
mod limits;
mod line;
mod machines;
mod memory;
mod onnx;
mod peer;
mod plan;
mod procedure;
mod program;
mod provenance;
mod scale;
mod sequences;
mod service;
mod startup;

use crate::line::Line;

/// One benchmark: the lines that it measured.
type Benchmark = fn() -> Result<Vec<Line>, Box<dyn std::error::Error>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().nth(1);
    if wanted.as_deref() == Some(apart::CHILD) {
        return apart::child();
    }
    if wanted.as_deref() == Some(counts::CHILD) {
        return counts::child();
    }
    if wanted.as_deref() == Some(provenance::CHILD) {
        return provenance::child();
    }
    if wanted.as_deref() == Some(service::CHILD) {
        return service::child();
    }
    let all: [(&str, Benchmark); 19] = [
        ("head-fisher", head_fisher::run),
        ("dampen", dampen::run),
        ("plan", plan::run),
        ("forward", forward::run),
        ("onnx", onnx::run),
        ("layers", layers::run),
        ("sequences", sequences::run),
        ("inherited", inherited::run),
        ("inherited-features", inherited_features::run),
        ("machines", machines::run),
        ("procedure", procedure::run),
        ("provenance", provenance::run),
        ("scale", scale::run),
        ("service", service::run),
        ("import", import::run),
        ("startup", startup::run),
        ("memory", memory::run),
        ("limits", limits::run),
        ("counts", counts::run),
    ];
    if let Some(name) = &wanted
        && !all.iter().any(|(known, _)| known == name)
    {
        let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
        return Err(format!("no benchmark `{name}`; there are {}", known.join(", ")).into());
    }
    for (name, run) in all {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            for line in run()? {
                println!("{}", serde_json::to_string(&line)?);
            }
        }
    }
    Ok(())
}
