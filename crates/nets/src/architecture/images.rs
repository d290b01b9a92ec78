//! Networks for images made of convolutions.

use disinherit_data::ImageShape;

use crate::ops::adaptive_avg_pool::AdaptiveAvgPool;
use crate::ops::avg_pool::AvgPool;
use crate::ops::batch_norm::batch_norm;
use crate::ops::conv::conv;
use crate::ops::dense::dense;
use crate::ops::dropout::Dropout;
use crate::ops::flatten::Flatten;
use crate::ops::linear::linear;
use crate::ops::max_pool::max_pool;
use crate::ops::operation::Op;
use crate::ops::relu::Relu;

pub(super) fn small_cnn(input: ImageShape) -> (Vec<Op>, usize) {
    let hidden = 64;
    let area = (input.height / 4) * (input.width / 4);
    let ops = vec![
        conv("conv1", [input.channels, 16], [3, 1, 1], true),
        Op::new(Relu),
        max_pool(2, 2, 0),
        conv("conv2", [16, 32], [3, 1, 1], true),
        Op::new(Relu),
        max_pool(2, 2, 0),
        Op::new(Flatten),
        linear("fc1", 32 * area, hidden),
        Op::new(Relu),
    ];
    (ops, hidden)
}

/// The stem (kernel, stride, padding), the pools (kernel, stride) and the side of the last grid.
type AlexNetSizes = ([usize; 3], [usize; 2], usize);
const ALEXNET: AlexNetSizes = ([11, 4, 2], [3, 2], 6);
const ALEXNET_32: AlexNetSizes = ([3, 2, 1], [2, 2], 2);

pub(super) fn alexnet(input: ImageShape) -> (Vec<Op>, usize) {
    alexnet_sized(input, ALEXNET)
}

pub(super) fn alexnet_32(input: ImageShape) -> (Vec<Op>, usize) {
    alexnet_sized(input, ALEXNET_32)
}

fn alexnet_sized(
    input: ImageShape,
    (stem, [kernel, stride], side): AlexNetSizes,
) -> (Vec<Op>, usize) {
    let ops = vec![
        conv("features.0", [input.channels, 64], stem, true),
        Op::new(Relu),
        max_pool(kernel, stride, 0),
        conv(
            "features.3",
            [64, 192],
            if side == 6 { [5, 1, 2] } else { [3, 1, 1] },
            true,
        ),
        Op::new(Relu),
        max_pool(kernel, stride, 0),
        conv("features.6", [192, 384], [3, 1, 1], true),
        Op::new(Relu),
        conv("features.8", [384, 256], [3, 1, 1], true),
        Op::new(Relu),
        conv("features.10", [256, 256], [3, 1, 1], true),
        Op::new(Relu),
        max_pool(kernel, stride, 0),
        Op::new(AdaptiveAvgPool { side }),
        Op::new(Flatten),
        Op::new(Dropout(0.5)),
        linear("classifier.1", 256 * side * side, 4096),
        Op::new(Relu),
        Op::new(Dropout(0.5)),
        linear("classifier.4", 4096, 4096),
        Op::new(Relu),
    ];
    (ops, 4096)
}

/// Channels that every layer of DenseNet-161 adds, and how often each block has one.
const GROWTH: usize = 48;
const BLOCKS: [usize; 4] = [6, 12, 36, 24];

pub(super) fn densenet_161(input: ImageShape) -> (Vec<Op>, usize) {
    let mut channels = 2 * GROWTH;
    let mut ops = vec![
        conv(
            "features.conv0",
            [input.channels, channels],
            [7, 2, 3],
            false,
        ),
        batch_norm("features.norm0", channels),
        Op::new(Relu),
        max_pool(3, 2, 1),
    ];
    for (block, layers) in BLOCKS.into_iter().enumerate() {
        for layer in 0..layers {
            let name = |part: &str| {
                format!(
                    "features.denseblock{}.denselayer{}.{part}",
                    block + 1,
                    layer + 1
                )
            };
            ops.push(dense(vec![
                batch_norm(name("norm1"), channels),
                Op::new(Relu),
                conv(name("conv1"), [channels, 4 * GROWTH], [1, 1, 0], false),
                batch_norm(name("norm2"), 4 * GROWTH),
                Op::new(Relu),
                conv(name("conv2"), [4 * GROWTH, GROWTH], [3, 1, 1], false),
            ]));
            channels += GROWTH;
        }
        if block + 1 < BLOCKS.len() {
            let name = |part: &str| format!("features.transition{}.{part}", block + 1);
            ops.extend([
                batch_norm(name("norm"), channels),
                Op::new(Relu),
                conv(name("conv"), [channels, channels / 2], [1, 1, 0], false),
                Op::new(AvgPool { side: 2 }),
            ]);
            channels /= 2;
        }
    }
    ops.extend([
        batch_norm("features.norm5", channels),
        Op::new(Relu),
        Op::new(AdaptiveAvgPool { side: 1 }),
        Op::new(Flatten),
    ]);
    (ops, channels)
}

/// Channels of VGG-16's convolutions; 0 for a pool.
const VGG_16: [usize; 18] = [
    64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0,
];

pub(super) fn vgg_16(input: ImageShape) -> (Vec<Op>, usize) {
    let (mut ops, mut from) = (Vec::new(), input.channels);
    let mut place = 0;
    for to in VGG_16 {
        if to == 0 {
            ops.push(max_pool(2, 2, 0));
            place += 1;
        } else {
            ops.push(conv(
                format!("features.{place}"),
                [from, to],
                [3, 1, 1],
                true,
            ));
            ops.push(Op::new(Relu));
            from = to;
            place += 2;
        }
    }
    ops.extend([
        Op::new(AdaptiveAvgPool { side: 7 }),
        Op::new(Flatten),
        linear("classifier.0", 512 * 49, 4096),
        Op::new(Relu),
        Op::new(Dropout(0.5)),
        linear("classifier.3", 4096, 4096),
        Op::new(Relu),
        Op::new(Dropout(0.5)),
    ]);
    (ops, 4096)
}
