//! Transformers: torchvision's ViT and Hugging Face's BERT, with their names.

use disinherit_data::ImageShape;

use super::input::TextShape;
use crate::ops::attention::Attention;
use crate::ops::conv::conv;
use crate::ops::dropout::Dropout;
use crate::ops::first::First;
use crate::ops::gelu::Gelu;
use crate::ops::layer_norm::layer_norm;
use crate::ops::linear::linear;
use crate::ops::operation::Op;
use crate::ops::patches::Patches;
use crate::ops::residual::residual;
use crate::ops::tanh::Tanh;
use crate::ops::token_embedding::TokenEmbedding;

/// A branch with the identity around it.
fn around(main: Vec<Op>) -> Op {
    residual(main, Vec::new())
}

/// The sides of a patch, and of ViT-B.
const PATCH: usize = 32;
const VIT: [usize; 4] = [12, 12, 768, 3072];

/// torchvision's `vit_b_32`, for images of any size that patches fill.
pub(super) fn vit_b_32(input: ImageShape) -> (Vec<Op>, usize) {
    let [layers, heads, size, hidden] = VIT;
    let mut ops = vec![
        conv("conv_proj", [input.channels, size], [PATCH, PATCH, 0], true),
        Op::new(Patches {
            token: "class_token".into(),
            position: "encoder.pos_embedding".into(),
            count: (input.height / PATCH) * (input.width / PATCH),
            size,
        }),
    ];
    for layer in 0..layers {
        let name = |part: &str| format!("encoder.layers.encoder_layer_{layer}.{part}");
        ops.push(around(vec![
            layer_norm(name("ln_1"), size, 1e-6),
            Op::new(Attention {
                projections: vec![
                    ["weight", "bias"].map(|part| name(&format!("self_attention.in_proj_{part}"))),
                ],
                output: name("self_attention.out_proj"),
                size,
                heads,
            }),
        ]));
        ops.push(around(vec![
            layer_norm(name("ln_2"), size, 1e-6),
            linear(name("mlp.0"), size, hidden),
            Op::new(Gelu),
            linear(name("mlp.3"), hidden, size),
        ]));
    }
    ops.extend([layer_norm("encoder.ln", size, 1e-6), Op::new(First)]);
    (ops, size)
}

/// Layers, heads, values of a position, values of the hidden layer.
pub(super) const TINY: [usize; 4] = [2, 2, 128, 512];
/// As [`TINY`].
pub(super) const BASE: [usize; 4] = [12, 12, 768, 3072];

/// Positions that BERT has vectors for.
const POSITIONS: usize = 512;
const EPSILON: f64 = 1e-12;

/// Hugging Face's `BertForSequenceClassification`, without dropout inside the layers.
pub(super) fn bert(
    input: TextShape,
    [layers, heads, size, hidden]: [usize; 4],
) -> (Vec<Op>, usize) {
    let mut ops = vec![
        Op::new(TokenEmbedding {
            name: "bert.embeddings".into(),
            vocabulary: input.vocabulary,
            positions: POSITIONS.max(input.length),
            size,
        }),
        layer_norm("bert.embeddings.LayerNorm", size, EPSILON),
    ];
    for layer in 0..layers {
        let name = |part: &str| format!("bert.encoder.layer.{layer}.{part}");
        let projection = |which: &str| {
            ["weight", "bias"].map(|part| name(&format!("attention.self.{which}.{part}")))
        };
        ops.push(around(vec![Op::new(Attention {
            projections: vec![projection("query"), projection("key"), projection("value")],
            output: name("attention.output.dense"),
            size,
            heads,
        })]));
        ops.push(layer_norm(
            name("attention.output.LayerNorm"),
            size,
            EPSILON,
        ));
        ops.push(around(vec![
            linear(name("intermediate.dense"), size, hidden),
            Op::new(Gelu),
            linear(name("output.dense"), hidden, size),
        ]));
        ops.push(layer_norm(name("output.LayerNorm"), size, EPSILON));
    }
    ops.extend([
        Op::new(First),
        linear("bert.pooler.dense", size, size),
        Op::new(Tanh),
        Op::new(Dropout(0.1)),
    ]);
    (ops, size)
}
