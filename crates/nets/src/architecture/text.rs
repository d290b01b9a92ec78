//! Networks for text without attention.

use super::linear;
use crate::op::Op;
use crate::shape::TextShape;

/// Values of a token's vector.
const EMBEDDED: usize = 128;

/// Values of an LSTM's state, and of the hidden layer.
const HIDDEN: usize = 128;

fn embedding(input: TextShape) -> Op {
    Op::Embedding {
        name: "embedding".into(),
        count: input.vocabulary,
        size: EMBEDDED,
    }
}

/// The mean over the text, a hidden layer with non-negative values, dropout. Dampening shrinks a
/// row of the head towards zero, which takes a class's lead away where features are not negative.
fn summary(values: usize) -> [Op; 4] {
    [
        Op::MeanPool,
        linear("hidden", values, HIDDEN),
        Op::Relu,
        Op::Dropout(0.5),
    ]
}

/// Embedding, LSTM, summary.
pub(super) fn lstm(input: TextShape) -> (Vec<Op>, usize) {
    let mut ops = vec![
        embedding(input),
        Op::Lstm {
            name: "lstm".into(),
            inputs: EMBEDDED,
            hidden: HIDDEN,
        },
    ];
    ops.extend(summary(HIDDEN));
    (ops, HIDDEN)
}

/// Embedding, gated convolutions, summary.
pub(super) fn gated_cnn(input: TextShape) -> (Vec<Op>, usize) {
    let mut ops = vec![embedding(input)];
    ops.extend((0..3).map(|layer| Op::GatedConv {
        name: format!("conv.{layer}"),
        channels: EMBEDDED,
        kernel: 5,
    }));
    ops.extend(summary(EMBEDDED));
    (ops, HIDDEN)
}
