//! The supported networks, as programs of [`Op`]s.

use std::fmt;
use std::str::FromStr;

use data::ImageShape;
use serde::{Deserialize, Serialize};

use crate::{NetError, Op, StateDict};

/// A family of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Two convolutions and two linear layers, for small images.
    #[serde(rename = "small-cnn")]
    SmallCnn,
    /// torchvision's AlexNet (Krizhevsky 2014, arXiv:1404.5997), for images from 63 pixels a side.
    #[serde(rename = "alexnet")]
    AlexNet,
    /// AlexNet with a 3x3 stem and smaller pools, for 32x32 images.
    #[serde(rename = "alexnet-32")]
    AlexNet32,
    /// torchvision's ResNet-18 (He et al., arXiv:1512.03385).
    #[serde(rename = "resnet-18")]
    ResNet18,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::SmallCnn, "small-cnn"),
    (Kind::AlexNet, "alexnet"),
    (Kind::AlexNet32, "alexnet-32"),
    (Kind::ResNet18, "resnet-18"),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS
            .iter()
            .find(|(kind, _)| kind == self)
            .map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Kind {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        KINDS
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(kind, _)| *kind)
            .ok_or_else(|| NetError::Architecture {
                name: text.to_owned(),
                known: KINDS.map(|(_, name)| name).join(", "),
            })
    }
}

/// A network without its weights: family, input shape, number of outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// The family.
    pub kind: Kind,
    /// The shape of its input images.
    pub input: ImageShape,
    /// The number of rows of its head.
    pub classes: usize,
}

impl Architecture {
    /// The name of the head: the last linear layer, as torchvision calls it.
    pub fn head(&self) -> &'static str {
        match self.kind {
            Kind::SmallCnn => "fc2",
            Kind::AlexNet | Kind::AlexNet32 => "classifier.6",
            Kind::ResNet18 => "fc",
        }
    }

    /// The program: every step up to the head, which is the last.
    ///
    /// # Errors
    /// [`NetError::Input`] when the images are too small, or [`NetError::Training`] when there
    /// are no classes.
    pub fn program(&self) -> Result<Vec<Op>, NetError> {
        if self.classes == 0 {
            return Err(NetError::Training(
                "a network needs at least one class".into(),
            ));
        }
        let (mut ops, hidden) = match self.kind {
            Kind::SmallCnn => small_cnn(self.input),
            Kind::AlexNet => (alexnet(self.input, ALEXNET), 4096),
            Kind::AlexNet32 => (alexnet(self.input, ALEXNET_32), 4096),
            Kind::ResNet18 => (resnet18(self.input), 512),
        };
        let fits = ops
            .iter()
            .try_fold(self.input, |shape, op| op.output(shape));
        if fits.is_none_or(|shape| shape.is_empty()) {
            return Err(NetError::Input {
                architecture: self.kind.to_string(),
                least: match self.kind {
                    Kind::SmallCnn => 4,
                    Kind::AlexNet => 63,
                    Kind::AlexNet32 => 16,
                    Kind::ResNet18 => 1,
                },
                found: self.input.to_string(),
            });
        }
        ops.push(linear(self.head(), hidden, self.classes));
        Ok(ops)
    }

    /// The number of values that one sample has after each step, the input first.
    pub(crate) fn activations(&self) -> Result<Vec<usize>, NetError> {
        fn walk(ops: &[Op], mut shape: ImageShape, sizes: &mut Vec<usize>) {
            for op in ops {
                if let Op::Residual { main, shortcut } = op {
                    walk(main, shape, sizes);
                    walk(shortcut, shape, sizes);
                }
                shape = op.output(shape).unwrap_or(shape);
                sizes.push(match op {
                    Op::Linear { outputs, .. } => *outputs,
                    _ => shape.len(),
                });
            }
        }
        let mut sizes = vec![self.input.len()];
        walk(&self.program()?, self.input, &mut sizes);
        Ok(sizes)
    }

    /// Checks that weights belong to this architecture: every tensor there, of the right shape,
    /// finite. Further tensors (PyTorch's batch counters, say) are passed over.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that does not fit.
    pub fn check(&self, state: &StateDict) -> Result<(), NetError> {
        for (name, shape) in self.program()?.iter().flat_map(Op::tensors) {
            let array = state.get(&name).ok_or_else(|| NetError::Missing {
                name: name.clone(),
                expected: format!("{shape:?}"),
            })?;
            if array.shape != shape || array.values.len() != shape.iter().product::<usize>() {
                return Err(NetError::Shape {
                    name,
                    found: format!("{:?}", array.shape),
                    expected: format!("{shape:?}"),
                });
            }
            if let Some(index) = array.values.iter().position(|v| !v.is_finite()) {
                return Err(NetError::NotFinite {
                    name,
                    value: array.values[index],
                    index,
                });
            }
        }
        Ok(())
    }
}

fn conv(
    name: impl Into<String>,
    channels: [usize; 2],
    [kernel, stride, padding]: [usize; 3],
    bias: bool,
) -> Op {
    Op::Conv {
        name: name.into(),
        channels,
        kernel,
        stride,
        padding,
        bias,
    }
}

fn linear(name: &str, inputs: usize, outputs: usize) -> Op {
    Op::Linear {
        name: name.into(),
        inputs,
        outputs,
    }
}

fn max_pool(kernel: usize, stride: usize, padding: usize) -> Op {
    Op::MaxPool {
        kernel,
        stride,
        padding,
    }
}

fn small_cnn(input: ImageShape) -> (Vec<Op>, usize) {
    let hidden = 64;
    let area = (input.height / 4) * (input.width / 4);
    let ops = vec![
        conv("conv1", [input.channels, 16], [3, 1, 1], true),
        Op::Relu,
        max_pool(2, 2, 0),
        conv("conv2", [16, 32], [3, 1, 1], true),
        Op::Relu,
        max_pool(2, 2, 0),
        Op::Flatten,
        linear("fc1", 32 * area, hidden),
        Op::Relu,
    ];
    (ops, hidden)
}

/// The stem (kernel, stride, padding), the pools (kernel, stride) and the side of the last grid.
type AlexNetSizes = ([usize; 3], [usize; 2], usize);
const ALEXNET: AlexNetSizes = ([11, 4, 2], [3, 2], 6);
const ALEXNET_32: AlexNetSizes = ([3, 2, 1], [2, 2], 2);

fn alexnet(input: ImageShape, (stem, [kernel, stride], side): AlexNetSizes) -> Vec<Op> {
    vec![
        conv("features.0", [input.channels, 64], stem, true),
        Op::Relu,
        max_pool(kernel, stride, 0),
        conv(
            "features.3",
            [64, 192],
            if side == 6 { [5, 1, 2] } else { [3, 1, 1] },
            true,
        ),
        Op::Relu,
        max_pool(kernel, stride, 0),
        conv("features.6", [192, 384], [3, 1, 1], true),
        Op::Relu,
        conv("features.8", [384, 256], [3, 1, 1], true),
        Op::Relu,
        conv("features.10", [256, 256], [3, 1, 1], true),
        Op::Relu,
        max_pool(kernel, stride, 0),
        Op::AdaptiveAvgPool { side },
        Op::Flatten,
        Op::Dropout(0.5),
        linear("classifier.1", 256 * side * side, 4096),
        Op::Relu,
        Op::Dropout(0.5),
        linear("classifier.4", 4096, 4096),
        Op::Relu,
    ]
}

fn resnet18(input: ImageShape) -> Vec<Op> {
    let norm = |name: String, channels| Op::BatchNorm { name, channels };
    let mut ops = vec![
        conv("conv1", [input.channels, 64], [7, 2, 3], false),
        norm("bn1".into(), 64),
        Op::Relu,
        max_pool(3, 2, 1),
    ];
    let mut from = 64;
    for (layer, to) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let name = |part: &str| format!("layer{}.{block}.{part}", layer + 1);
            let stride = if layer > 0 && block == 0 { 2 } else { 1 };
            let main = vec![
                conv(name("conv1"), [from, to], [3, stride, 1], false),
                norm(name("bn1"), to),
                Op::Relu,
                conv(name("conv2"), [to, to], [3, 1, 1], false),
                norm(name("bn2"), to),
            ];
            let shortcut = if stride == 1 && from == to {
                Vec::new()
            } else {
                vec![
                    conv(name("downsample.0"), [from, to], [1, stride, 0], false),
                    norm(name("downsample.1"), to),
                ]
            };
            ops.push(Op::Residual { main, shortcut });
            ops.push(Op::Relu);
            from = to;
        }
    }
    ops.extend([Op::AdaptiveAvgPool { side: 1 }, Op::Flatten]);
    ops
}
