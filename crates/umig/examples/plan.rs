//! Draws a small federated network, plans a request and prints it.
#![allow(clippy::print_stdout)]

use std::error::Error;

use umig::{Forget, Model, ModelId, Plan, Relation, Request, Role, Task, Training, Umig};

/// Two clinics fine-tune a base model, a server averages them, and a hospital goes on from there.
fn network() -> Result<Umig, Box<dyn Error>> {
    let id = |text: &str| text.parse::<ModelId>();
    let mut graph = Umig::new();
    graph.add(
        Model::new(id("base@1")?, 1).trained_on(Training::new("photos", ["cat", "dog"])),
        [],
    )?;
    for (name, label) in [("clinic-a@1", "fox"), ("clinic-b@1", "owl")] {
        graph.add(
            Model::new(id(name)?, 2).trained_on(Training::new("visits", [label])),
            [(id("base@1")?, Relation::FineTune)],
        )?;
    }
    let average = |weight| Relation::FederatedAverage { weight };
    graph.add(
        Model::new(id("server@1")?, 3),
        [
            (id("clinic-a@1")?, average(0.5)),
            (id("clinic-b@1")?, average(0.5)),
        ],
    )?;
    graph.add(
        Model::new(id("hospital@1")?, 4),
        [(id("server@1")?, Relation::Incremental)],
    )?;
    Ok(graph)
}

/// The work that forgetting a label takes.
pub fn plan(label: &str) -> Result<Plan, Box<dyn Error>> {
    let graph = network()?;
    let plan = graph.plan(&Request::new(Forget::classes([label])))?;
    for id in graph.ordered() {
        let role = plan.scope.role(id);
        let mark = if role == Role::Untouched { " " } else { "*" };
        println!("{mark} {id}: {role}");
    }
    for (number, stage) in plan.stages.iter().enumerate() {
        println!("stage {}: {}", number + 1, stage.purpose);
        for task in &stage.tasks {
            match task {
                Task::ForgetFisher { model, .. } => println!("  FIM of the forget data on {model}"),
                Task::Edit { model, initial, .. } => {
                    let from: Vec<String> = initial.iter().map(ToString::to_string).collect();
                    println!("  dampen {model} with the FIM of {}", from.join(", "));
                }
                other => println!("  {} first", other.model()),
            }
        }
    }
    Ok(plan)
}

/// Forgets the label that only one clinic has seen.
pub fn main() -> Result<(), Box<dyn Error>> {
    plan("fox").map(drop)
}
