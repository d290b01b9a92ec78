//! Planning on large graphs: how the time grows with the number of models.

use std::error::Error;

use umig::{Forget, Model, ModelId, Relation, Request, Training, Umig};

use crate::line::{Line, shortest};

const ROUNDS: usize = 5;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let small = plan(10_000)?;
    let large = plan(100_000)?;
    Ok(vec![
        Line::milliseconds("plan over 10,000 models", small, None, "-"),
        Line::milliseconds(
            "plan over 100,000 models",
            large,
            Some(small * 10.0),
            "10x the smaller",
        ),
    ])
}

fn plan(models: usize) -> Result<f64, Box<dyn Error>> {
    let (graph, request) = inheritance(models)?;
    Ok(shortest(ROUNDS, || {
        std::hint::black_box(graph.plan(&request).is_ok());
    }))
}

/// A base, and descendants that inherit each from one of the ten before it; and a request that touches them all.
pub(crate) fn inheritance(models: usize) -> Result<(Umig, Request), Box<dyn Error>> {
    let id = |n: usize| ModelId::new(format!("m{n}"), 1);
    let mut graph = Umig::new();
    let base = Model::new(id(0)?, 0).trained_on(Training::new("photos", ["cat"]));
    graph.add(base, [])?;
    for n in 1..models {
        let parent = n - 1 - (n * 7919) % n.min(10);
        graph.add(
            Model::new(id(n)?, n as u64),
            [(id(parent)?, Relation::FineTune)],
        )?;
    }
    Ok((graph, Request::new(Forget::classes(["cat"]))))
}
