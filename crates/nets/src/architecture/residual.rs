//! Residual networks of basic blocks (He et al., arXiv:1512.03385), with torchvision's names.

use disinherit_data::ImageShape;

use crate::ops::adaptive_avg_pool::AdaptiveAvgPool;
use crate::ops::batch_norm::batch_norm;
use crate::ops::conv::conv;
use crate::ops::flatten::Flatten;
use crate::ops::max_pool::max_pool;
use crate::ops::operation::Op;
use crate::ops::relu::Relu;
use crate::ops::residual::residual;

/// What is before the first block.
enum Stem {
    /// A 7x7 convolution and a pool, both with stride 2: for photographs.
    Downsampling,
    /// A 3x3 convolution with stride 1: for images of few pixels.
    Plain,
}

/// A residual network: its stem, then stages of equally many blocks. The first block of every
/// stage after the first halves the sides.
pub(super) struct ResNet {
    stem: Stem,
    /// Blocks of a stage, of two 3x3 convolutions each.
    blocks: usize,
    /// The channels of each stage; those of the first are also the stem's.
    widths: &'static [usize],
}

/// Table 1 there.
pub(super) const RESNET_18: ResNet = ResNet {
    stem: Stem::Downsampling,
    blocks: 2,
    widths: &[64, 128, 256, 512],
};

/// The same with the stem of Section 4.2.
pub(super) const RESNET_18_32: ResNet = ResNet {
    stem: Stem::Plain,
    ..RESNET_18
};

/// Section 4.2 with n = 3: 6n + 2 layers.
pub(super) const RESNET_20: ResNet = ResNet {
    stem: Stem::Plain,
    blocks: 3,
    widths: &[16, 32, 64],
};

/// Section 4.2 with n = 1.
pub(super) const RESNET_8: ResNet = ResNet {
    blocks: 1,
    ..RESNET_20
};

impl ResNet {
    /// The program below the head, and the number of values that it makes.
    pub(super) fn body(&self, input: ImageShape) -> (Vec<Op>, usize) {
        let mut from = self.widths.first().copied().unwrap_or_default();
        let stem = match self.stem {
            Stem::Downsampling => [7, 2, 3],
            Stem::Plain => [3, 1, 1],
        };
        let mut ops = vec![
            conv("conv1", [input.channels, from], stem, false),
            batch_norm("bn1", from),
            Op::new(Relu),
        ];
        if let Stem::Downsampling = self.stem {
            ops.push(max_pool(3, 2, 1));
        }
        for (stage, to) in self.widths.iter().copied().enumerate() {
            for block in 0..self.blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                ops.push(basic_block(&name, [from, to], stride));
                ops.push(Op::new(Relu));
                from = to;
            }
        }
        ops.extend([Op::new(AdaptiveAvgPool { side: 1 }), Op::new(Flatten)]);
        (ops, from)
    }
}

/// Two 3x3 convolutions and a way around them: the identity where the shape stays, and otherwise a
/// 1x1 convolution (option B of Section 3.3).
fn basic_block(name: &str, [from, to]: [usize; 2], stride: usize) -> Op {
    let name = |part: &str| format!("{name}.{part}");
    let main = vec![
        conv(name("conv1"), [from, to], [3, stride, 1], false),
        batch_norm(name("bn1"), to),
        Op::new(Relu),
        conv(name("conv2"), [to, to], [3, 1, 1], false),
        batch_norm(name("bn2"), to),
    ];
    let shortcut = if stride == 1 && from == to {
        Vec::new()
    } else {
        vec![
            conv(name("downsample.0"), [from, to], [1, stride, 0], false),
            batch_norm(name("downsample.1"), to),
        ]
    };
    residual(main, shortcut)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::architecture::description::Architecture;
    use crate::architecture::kind::Kind;

    fn architecture(kind: Kind, channels: usize, side: usize) -> Architecture {
        let shape = ImageShape {
            channels,
            height: side,
            width: side,
        };
        Architecture::new(kind, shape, 10)
    }

    fn trained_values(kind: Kind, channels: usize) -> usize {
        let tensors = architecture(kind, channels, 32).tensors().unwrap();
        let trained = tensors.iter().filter(|(name, _)| !name.contains("running"));
        trained
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }

    #[test]
    fn sizes_are_those_published() {
        // Table 6 of the paper has 0.27 M for ResNet-20 with shortcuts that have no parameters:
        // 269,722. The convolutions in their place, 1x1 and normalised, have these.
        let shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64;
        assert_eq!(trained_values(Kind::ResNet20, 3), 269_722 + shortcuts);
        // torchvision's 11,689,512 with 1,000 outputs.
        let head = |classes: usize| classes * 513;
        let wide = 11_689_512 - head(1000) + head(10);
        assert_eq!(trained_values(Kind::ResNet18, 3), wide);
        let stems = 64 * 3 * (7 * 7 - 3 * 3);
        assert_eq!(trained_values(Kind::ResNet18_32, 3), wide - stems);
        assert_eq!(trained_values(Kind::ResNet8, 1), 77_754);
    }

    #[test]
    fn small_images_fit() {
        for kind in [Kind::ResNet8, Kind::ResNet20, Kind::ResNet18_32] {
            for (channels, side) in [(1, 8), (3, 11), (3, 32), (1, 28)] {
                let sizes = architecture(kind, channels, side).activations().unwrap();
                let widths = match kind {
                    Kind::ResNet18_32 => RESNET_18_32.widths,
                    _ => RESNET_20.widths,
                };
                let features = sizes[sizes.len() - 2];
                assert_eq!(Some(&features), widths.last(), "{kind} {side}");
                // The stem keeps the sides.
                assert_eq!(sizes[1], side * side * widths[0], "{kind} {side}");
            }
        }
    }
}
