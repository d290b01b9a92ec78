//! The head's place in a graph.

use crate::onnx::graph::{Graph, Node};

/// What an output is usually called that gives the logits.
const LOGITS: &str = "logits";

/// Operations between the head and the graph's output that leave the order of the logits alone.
const AFTER: [&str; 8] = [
    "Softmax",
    "LogSoftmax",
    "Identity",
    "Cast",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Sigmoid",
];

/// Where a graph's head is.
pub(super) struct Place {
    pub(super) features: String,
    pub(super) weight: String,
    pub(super) transposed: bool,
    pub(super) bias: Option<String>,
}

/// The last linear layer before one of the graph's outputs.
pub(super) fn find(graph: &Graph) -> Result<Place, String> {
    let mut met = Vec::new();
    // Where one output is said to be the logits, what makes another is not the model's answer.
    let said = graph.outputs.iter().any(|output| output == LOGITS);
    let outputs = graph.outputs.iter();
    for output in outputs.filter(|output| !said || *output == LOGITS) {
        match before(graph, output) {
            Ok(place) => return Ok(place),
            Err(why) => met.push(format!("before `{output}` {why}")),
        }
    }
    Err(format!(
        "it has no linear head that could be dampened: {}. Export the network up to its logits, the \
         last layer a Gemm, or a MatMul with or without an Add, on one row a sample; or give features \
         instead",
        if met.is_empty() {
            "the graph has no outputs".into()
        } else {
            met.join("; ")
        }
    ))
}

fn before(graph: &Graph, output: &str) -> Result<Place, String> {
    let mut value = output.to_owned();
    // A graph has no cycles; a file may.
    for _ in 0..=graph.nodes.len() {
        let Some(node) = graph.maker(&value) else {
            return Err(format!("there is only `{value}`"));
        };
        match node.kind.as_str() {
            "Gemm" => return gemm(graph, node),
            "Add" => return add(graph, node),
            "MatMul" => return product(graph, node, None),
            kind if AFTER.contains(&kind) => {
                value = node.inputs.first().cloned().unwrap_or_default();
            }
            kind => return Err(format!("there is {kind} (`{}`)", node.name)),
        }
    }
    Err("the graph goes round in circles".into())
}

/// A weight of the file, and whether it is turned on its way into a node.
pub(super) fn weight(graph: &Graph, value: &str) -> Result<(String, bool), String> {
    let mut turned = false;
    let mut value = value.to_owned();
    for _ in 0..=graph.nodes.len() {
        if graph.weights.contains_key(&value) {
            return Ok((value, turned));
        }
        let maker = graph.maker(&value).map(|node| (node.kind.as_str(), node));
        match maker {
            Some(("Identity", node)) => value = node.inputs.first().cloned().unwrap_or_default(),
            Some(("Transpose", node)) => {
                turned = !turned;
                value = node.inputs.first().cloned().unwrap_or_default();
            }
            Some((kind, _)) => {
                return Err(format!(
                    "the weights `{value}` are made by {kind}: export without quantisation and with \
                     weights as they are"
                ));
            }
            None => {
                return Err(format!(
                    "the weights `{value}` are not in the file in one piece"
                ));
            }
        }
    }
    Err("the graph goes round in circles".into())
}

/// Whether a Gemm multiplies what it reads by its weights and adds its bias, and nothing else.
pub(super) fn multiplies_plainly(node: &Node) -> bool {
    let one = |name: &str| node.float.get(name).is_none_or(|value| *value == 1.0);
    one("alpha") && one("beta") && node.whole.get("transA").is_none_or(|t| *t == 0)
}

fn gemm(graph: &Graph, node: &Node) -> Result<Place, String> {
    if !multiplies_plainly(node) {
        return Err(format!(
            "the Gemm `{}` scales or turns its input",
            node.name
        ));
    }
    let (features, matrix, bias) = match &node.inputs[..] {
        [features, matrix] => (features, matrix, None),
        [features, matrix, bias] => (features, matrix, Some(bias).filter(|bias| !bias.is_empty())),
        _ => {
            return Err(format!(
                "the Gemm `{}` reads too few or too many values",
                node.name
            ));
        }
    };
    let (weight, turned) = weight(graph, matrix)?;
    let as_rows = node.whole.get("transB").is_some_and(|t| *t != 0);
    place(graph, features, weight, as_rows == turned, bias)
}

fn add(graph: &Graph, node: &Node) -> Result<Place, String> {
    let [left, right] = &node.inputs[..] else {
        return Err("there is an Add of other than two values".into());
    };
    for (value, bias) in [(left, right), (right, left)] {
        let Some(node) = graph.maker(value).filter(|node| node.kind == "MatMul") else {
            continue;
        };
        return product(graph, node, Some(bias));
    }
    Err("there is an Add, and no MatMul before it".into())
}

/// A product with a matrix, and what is added to it.
fn product(graph: &Graph, node: &Node, bias: Option<&String>) -> Result<Place, String> {
    let [features, matrix] = &node.inputs[..] else {
        return Err("there is a MatMul of other than two values".into());
    };
    let (weight, turned) = weight(graph, matrix)?;
    place(graph, features, weight, !turned, bias)
}

fn place(
    graph: &Graph,
    features: &str,
    weight_name: String,
    transposed: bool,
    bias: Option<&String>,
) -> Result<Place, String> {
    let shape = &graph.weights[&weight_name].shape;
    let rows = match (&shape[..], transposed) {
        ([rows, _], false) | ([_, rows], true) => *rows,
        _ => {
            return Err(format!(
                "the weights `{weight_name}` are {shape:?}, not a matrix"
            ));
        }
    };
    let bias = match bias {
        None => None,
        Some(bias) => {
            let (bias, _) = weight(graph, bias)?;
            let entries: usize = graph.weights[&bias].shape.iter().product();
            if entries != rows {
                return Err(format!(
                    "the bias `{bias}` has {entries} entries for {rows} outputs"
                ));
            }
            Some(bias)
        }
    };
    Ok(Place {
        features: features.to_owned(),
        weight: weight_name,
        transposed,
        bias,
    })
}
