//! Networks for text without attention.

use super::input::TextShape;
use crate::ops::dropout::Dropout;
use crate::ops::embedding::Embedding;
use crate::ops::gated_conv::GatedConv;
use crate::ops::linear::linear;
use crate::ops::lstm::Lstm;
use crate::ops::mean_pool::MeanPool;
use crate::ops::operation::Op;
use crate::ops::relu::Relu;

/// Values of a token's vector.
const EMBEDDED: usize = 128;

/// Values of an LSTM's state, and of the hidden layer.
const HIDDEN: usize = 128;

fn embedding(input: TextShape) -> Op {
    Op::new(Embedding {
        name: "embedding".into(),
        count: input.vocabulary,
        size: EMBEDDED,
    })
}

/// The mean over the text, a hidden layer with non-negative values, dropout. Dampening shrinks a
/// row of the head towards zero, which takes a class's lead away where features are not negative.
fn summary(values: usize) -> [Op; 4] {
    [
        Op::new(MeanPool),
        linear("hidden", values, HIDDEN),
        Op::new(Relu),
        Op::new(Dropout(0.5)),
    ]
}

/// Embedding, LSTM, summary.
pub(super) fn lstm(input: TextShape) -> (Vec<Op>, usize) {
    let mut ops = vec![
        embedding(input),
        Op::new(Lstm {
            name: "lstm".into(),
            inputs: EMBEDDED,
            hidden: HIDDEN,
        }),
    ];
    ops.extend(summary(HIDDEN));
    (ops, HIDDEN)
}

/// Embedding, gated convolutions, summary.
pub(super) fn gated_cnn(input: TextShape) -> (Vec<Op>, usize) {
    let mut ops = vec![embedding(input)];
    ops.extend((0..3).map(|layer| {
        Op::new(GatedConv {
            name: format!("conv.{layer}"),
            channels: EMBEDDED,
            kernel: 5,
        })
    }));
    ops.extend(summary(EMBEDDED));
    (ops, HIDDEN)
}
