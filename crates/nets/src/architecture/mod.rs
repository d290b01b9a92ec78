//! The supported networks, as programs of [`Op`]s.

mod images;
mod text;
mod transformer;

use std::fmt;
use std::str::FromStr;

use disinherit_data::ImageShape;
use serde::{Deserialize, Serialize};

use crate::array::StateDict;
use crate::error::NetError;
use crate::op::Op;
use crate::shape::{FeatureShape, Input};

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
    /// torchvision's DenseNet-161 (Huang et al., arXiv:1608.06993).
    #[serde(rename = "densenet-161")]
    DenseNet161,
    /// torchvision's VGG-16 (Simonyan and Zisserman, arXiv:1409.1556).
    #[serde(rename = "vgg-16")]
    Vgg16,
    /// torchvision's ViT-B/32 (Dosovitskiy et al., arXiv:2010.11929).
    #[serde(rename = "vit-b-32")]
    VitB32,
    /// An embedding, one LSTM layer (Hochreiter and Schmidhuber 1997), the mean over the text, a
    /// hidden layer.
    #[serde(rename = "lstm")]
    Lstm,
    /// An embedding, three gated convolutions (Dauphin et al., arXiv:1612.08083), the mean, a
    /// hidden layer.
    #[serde(rename = "gated-cnn")]
    GatedCnn,
    /// Hugging Face's BERT with 2 layers of 128 values (Turc et al., arXiv:1908.08962).
    #[serde(rename = "bert-tiny")]
    BertTiny,
    /// Hugging Face's BERT with 12 layers of 768 values (Devlin et al., arXiv:1810.04805).
    #[serde(rename = "bert-base")]
    BertBase,
    /// A head alone: what is below it is not known here, and its features come from elsewhere.
    #[serde(rename = "head")]
    Head,
}

const KINDS: [(Kind, &str); 12] = [
    (Kind::SmallCnn, "small-cnn"),
    (Kind::AlexNet, "alexnet"),
    (Kind::AlexNet32, "alexnet-32"),
    (Kind::ResNet18, "resnet-18"),
    (Kind::DenseNet161, "densenet-161"),
    (Kind::Vgg16, "vgg-16"),
    (Kind::VitB32, "vit-b-32"),
    (Kind::Lstm, "lstm"),
    (Kind::GatedCnn, "gated-cnn"),
    (Kind::BertTiny, "bert-tiny"),
    (Kind::BertBase, "bert-base"),
    (Kind::Head, "head"),
];

impl Kind {
    /// Whether it reads token sequences.
    pub fn reads_text(self) -> bool {
        matches!(
            self,
            Self::Lstm | Self::GatedCnn | Self::BertTiny | Self::BertBase
        )
    }

    /// Whether it works on sequences; the engine for image networks on the CPU does not run those.
    pub(crate) fn is_sequential(self) -> bool {
        self.reads_text() || self == Self::VitB32
    }
}

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
    /// What it reads.
    pub input: Input,
    /// The number of rows of its head.
    pub classes: usize,
    /// The name of the head, where the family does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

impl Architecture {
    /// A network of one of the known families.
    pub fn new(kind: Kind, input: impl Into<Input>, classes: usize) -> Self {
        Self {
            kind,
            input: input.into(),
            classes,
            head: None,
        }
    }

    /// A head alone.
    pub fn of_head(name: impl Into<String>, features: usize, classes: usize) -> Self {
        Self {
            kind: Kind::Head,
            input: Input::Features(FeatureShape { features }),
            classes,
            head: Some(name.into()),
        }
    }

    /// The name of the head: the last linear layer, as torchvision calls it.
    pub fn head(&self) -> &str {
        match self.kind {
            Kind::Head => self.head.as_deref().unwrap_or("head"),
            Kind::SmallCnn => "fc2",
            Kind::AlexNet | Kind::AlexNet32 | Kind::Vgg16 => "classifier.6",
            Kind::ResNet18 | Kind::Lstm | Kind::GatedCnn => "fc",
            Kind::DenseNet161 | Kind::BertTiny | Kind::BertBase => "classifier",
            Kind::VitB32 => "heads.head",
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
        let (mut ops, hidden) = match (self.kind, self.input) {
            (Kind::SmallCnn, Input::Images(input)) => images::small_cnn(input),
            (Kind::AlexNet, Input::Images(input)) => images::alexnet(input),
            (Kind::AlexNet32, Input::Images(input)) => images::alexnet_32(input),
            (Kind::ResNet18, Input::Images(input)) => images::resnet_18(input),
            (Kind::DenseNet161, Input::Images(input)) => images::densenet_161(input),
            (Kind::Vgg16, Input::Images(input)) => images::vgg_16(input),
            (Kind::VitB32, Input::Images(input)) => transformer::vit_b_32(input),
            (Kind::Lstm, Input::Text(input)) => text::lstm(input),
            (Kind::GatedCnn, Input::Text(input)) => text::gated_cnn(input),
            (Kind::Head, Input::Features(input)) => (Vec::new(), input.features),
            (Kind::BertTiny, Input::Text(input)) => transformer::bert(input, transformer::TINY),
            (Kind::BertBase, Input::Text(input)) => transformer::bert(input, transformer::BASE),
            (kind, input) => {
                return Err(NetError::Data(format!(
                    "{kind} reads {}, not {input}",
                    match kind {
                        Kind::Head => "features",
                        kind if kind.reads_text() => "text",
                        _ => "images",
                    }
                )));
            }
        };
        let fits = ops
            .iter()
            .try_fold(self.input.maps(), |shape, op| op.output(shape));
        if fits.is_none_or(|shape| shape.is_empty()) {
            return Err(NetError::Input {
                architecture: self.kind.to_string(),
                least: self.least(),
                found: self.input.to_string(),
            });
        }
        ops.push(linear(self.head(), hidden, self.classes));
        Ok(ops)
    }

    /// The smallest side of an image that it can read.
    fn least(&self) -> usize {
        match self.kind {
            Kind::SmallCnn => 4,
            Kind::AlexNet => 63,
            Kind::AlexNet32 => 16,
            Kind::DenseNet161 => 29,
            Kind::Vgg16 | Kind::VitB32 => 32,
            _ => 1,
        }
    }

    /// The number of values that one sample has after each step, the input first.
    pub(crate) fn activations(&self) -> Result<Vec<usize>, NetError> {
        fn walk(ops: &[Op], mut shape: ImageShape, sizes: &mut Vec<usize>) {
            for op in ops {
                match op {
                    Op::Residual { main, shortcut } => {
                        walk(main, shape, sizes);
                        walk(shortcut, shape, sizes);
                    }
                    Op::Dense(branch) => walk(branch, shape, sizes),
                    _ => {}
                }
                shape = op.output(shape).unwrap_or(shape);
                sizes.push(match op {
                    Op::Linear { outputs, .. } => *outputs,
                    _ => shape.len(),
                });
            }
        }
        let mut sizes = vec![self.input.maps().len()];
        walk(&self.program()?, self.input.maps(), &mut sizes);
        Ok(sizes)
    }

    /// Checks that weights belong to this architecture: every tensor there, of the right shape,
    /// finite. Further tensors (PyTorch's batch counters, say) are passed over.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that does not fit.
    pub fn check(&self, state: &StateDict) -> Result<(), NetError> {
        self.check_shapes(&|name| {
            let array = state.get(name)?;
            let whole = array.values.len() == array.shape.iter().product::<usize>();
            whole.then(|| array.shape.clone())
        })?;
        for (name, _) in self.tensors()? {
            let values = state.get(&name).map(|array| &array.values[..]);
            check_finite(&name, values.unwrap_or_default())?;
        }
        Ok(())
    }

    /// The names of this architecture's tensors with their shapes.
    ///
    /// # Errors
    /// [`NetError`] when it cannot be built for its input.
    pub fn tensors(&self) -> Result<Vec<(String, Vec<usize>)>, NetError> {
        Ok(self.program()?.iter().flat_map(Op::tensors).collect())
    }

    /// Checks that every tensor of this architecture is there and has the right shape. `shape` tells
    /// the shape that a tensor has, or nothing where there is none.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that does not fit.
    pub fn check_shapes(&self, shape: &dyn Fn(&str) -> Option<Vec<usize>>) -> Result<(), NetError> {
        for (name, expected) in self.tensors()? {
            let Some(found) = shape(&name) else {
                return Err(NetError::Missing {
                    name,
                    expected: format!("{expected:?}"),
                });
            };
            if found != expected {
                return Err(NetError::Shape {
                    name,
                    found: format!("{found:?}"),
                    expected: format!("{expected:?}"),
                });
            }
        }
        Ok(())
    }
}

/// Checks that all values of a tensor are finite.
///
/// # Errors
/// [`NetError::NotFinite`] naming the tensor and the first value that is not.
pub fn check_finite(name: &str, values: &[f32]) -> Result<(), NetError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(NetError::NotFinite {
            name: name.to_owned(),
            value: values[index],
            index,
        }),
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

fn linear(name: impl Into<String>, inputs: usize, outputs: usize) -> Op {
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
