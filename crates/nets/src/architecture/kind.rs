//! The families of networks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::NetError;

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
    /// ResNet-18 with a 3x3 stem and no pool after it, for 32x32 images.
    #[serde(rename = "resnet-18-32")]
    ResNet18_32,
    /// The narrow ResNet-20 for 32x32 images (He et al., arXiv:1512.03385, Section 4.2); every
    /// shortcut that changes the shape is a convolution.
    #[serde(rename = "resnet-20")]
    ResNet20,
    /// ResNet-20 with one block a stage instead of three, for images from 8x8.
    #[serde(rename = "resnet-8")]
    ResNet8,
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

const KINDS: [(Kind, &str); 15] = [
    (Kind::SmallCnn, "small-cnn"),
    (Kind::AlexNet, "alexnet"),
    (Kind::AlexNet32, "alexnet-32"),
    (Kind::ResNet18, "resnet-18"),
    (Kind::ResNet18_32, "resnet-18-32"),
    (Kind::ResNet20, "resnet-20"),
    (Kind::ResNet8, "resnet-8"),
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
