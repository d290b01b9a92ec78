//! A network without its weights.

use disinherit_data::ImageShape;
use serde::{Deserialize, Serialize};

use super::input::{FeatureShape, Input};
use super::kind::Kind;
use super::residual::{RESNET_8, RESNET_18, RESNET_18_32, RESNET_20};
use super::{images, text, transformer};
use crate::array::{StateDict, check_finite};
use crate::error::NetError;
use crate::ops::linear::linear;
use crate::ops::operation::{Op, output};

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
    pub fn for_head(name: impl Into<String>, features: usize, classes: usize) -> Self {
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
            Kind::ResNet18
            | Kind::ResNet18_32
            | Kind::ResNet20
            | Kind::ResNet8
            | Kind::Lstm
            | Kind::GatedCnn => "fc",
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
        let (mut ops, hidden) = self.body()?;
        let fits = output(&ops, self.input.maps());
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

    /// The program below the head, and the number of values that it makes.
    fn body(&self) -> Result<(Vec<Op>, usize), NetError> {
        Ok(match (self.kind, self.input) {
            (Kind::SmallCnn, Input::Images(input)) => images::small_cnn(input),
            (Kind::AlexNet, Input::Images(input)) => images::alexnet(input),
            (Kind::AlexNet32, Input::Images(input)) => images::alexnet_32(input),
            (Kind::ResNet18, Input::Images(input)) => RESNET_18.body(input),
            (Kind::ResNet18_32, Input::Images(input)) => RESNET_18_32.body(input),
            (Kind::ResNet20, Input::Images(input)) => RESNET_20.body(input),
            (Kind::ResNet8, Input::Images(input)) => RESNET_8.body(input),
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
        })
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
            for op in ops.iter().map(Op::operation) {
                for branch in op.branches() {
                    walk(branch, shape, sizes);
                }
                shape = op.output(shape).unwrap_or(shape);
                sizes.push(op.values(shape));
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
            check_finite(&name, 0, values.unwrap_or_default())?;
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
