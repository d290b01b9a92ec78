//! What the linear layers and convolutions of a network read.

use std::collections::BTreeMap;

use disinherit_data::DataSet;
use fiun::Matrix;

use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::cpu::chunk::samples_at_a_time;
use crate::cpu::input_rows::InputRows;
use crate::cpu::network::CpuNetwork;
use crate::cpu::weights::Purpose;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::preprocessing::Preprocessing;

/// What inputs of layers are read from.
pub struct LayerInputsJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// Its weights.
    pub state: &'a StateDict,
    /// The data.
    pub set: &'a DataSet,
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// Rows for each layer, at most; but never less than one for each sample.
    pub rows: usize,
    /// Decides which positions of a convolution are taken.
    pub seed: u64,
}

/// The inputs of every linear layer and convolution in evaluation mode, by the name of its weight.
/// Of a convolution, whose input is a patch at every output position, every sample gives the same
/// number of patches, drawn without replacement. Always runs on the CPU. The rows stay in memory:
/// `rows` times the width of a layer, layer by layer.
///
/// # Shapes
/// For a weight `[outputs, ...]`: `[rows, inputs]`, the columns in the order of the weights of one
/// output, so that the layer's products are `rows weightᵀ`.
///
/// # Errors
/// [`NetError::Data`] when the data does not fit the network, or for a network over sequences,
/// whose layers are not read.
pub fn layer_inputs(
    job: &LayerInputsJob<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<BTreeMap<String, Matrix>, NetError> {
    let kind = job.architecture.kind;
    if kind.is_sequential() {
        return Err(NetError::Data(format!(
            "the inputs of layers are read in image networks and in heads; {kind} works on sequences"
        )));
    }
    let network = CpuNetwork::new(job.architecture, job.state, Purpose::Gradients)?;
    let inputs = Inputs::new(job.set, job.architecture.input, job.preprocessing)?;
    let each = (job.rows / job.set.len().max(1)).max(1);
    let mut rows = InputRows::new(each, job.seed);
    let all: Vec<usize> = (0..job.set.len()).collect();
    for chunk in all.chunks(samples_at_a_time(job.architecture)?) {
        let threads = rayon::current_num_threads();
        rows = network.watch(inputs.maps(chunk, chunk.len()), threads, rows)?;
        progress(chunk.len());
    }
    rows.layers
        .into_iter()
        .map(|(name, rows)| {
            let count = rows.values.len() / rows.width.max(1);
            let matrix = Matrix::new(count, rows.width, rows.values).map_err(backend)?;
            Ok((format!("{name}.weight"), matrix))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_data::{ImageShape, Samples};

    use super::*;
    use crate::architecture::initial::initial_state;
    use crate::architecture::input::{Input, TextShape};
    use crate::architecture::kind::Kind;
    use crate::capture::{Network, capture};
    use crate::compute::Compute;

    const SHAPE: ImageShape = ImageShape {
        channels: 2,
        height: 8,
        width: 8,
    };

    fn set(samples: usize) -> DataSet {
        let pixels = (0..samples * SHAPE.len())
            .map(|i| ((i * 7919 + i / 13) % 251) as u8)
            .collect();
        DataSet::new(
            "waves",
            Samples::Images {
                shape: SHAPE,
                pixels,
            },
            vec![0; samples],
            vec!["a".into()],
            (0..samples).map(|n| n.to_string()).collect(),
        )
        .unwrap()
    }

    fn read(architecture: &Architecture, set: &DataSet, rows: usize) -> BTreeMap<String, Matrix> {
        let state = initial_state(architecture, 3).unwrap();
        let job = LayerInputsJob {
            architecture,
            state: &state,
            set,
            preprocessing: &Preprocessing::default(),
            rows,
            seed: 1,
        };
        layer_inputs(&job, &mut |_| {}).unwrap()
    }

    /// Every layer's rows times its weight are what the layer makes; the head's are the logits,
    /// and a convolution's rows follow from the pixels.
    #[test]
    fn rows_times_weights_are_what_layers_make() {
        let architecture = Architecture::new(Kind::SmallCnn, SHAPE, 3);
        let set = set(5);
        let all = read(&architecture, &set, usize::MAX);
        let weights = ["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"];
        assert!(all.keys().eq(weights.iter()));
        let state = initial_state(&architecture, 3).unwrap();
        let network = Network::new(&architecture, &state, Compute::Flex).unwrap();
        let seen = capture(&network, &set, &Preprocessing::default(), &mut |_| {}).unwrap();
        for (ours, theirs) in all["fc2.weight"]
            .values()
            .iter()
            .zip(seen.features.values())
        {
            assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
        }
        let patches = &all["conv1.weight"];
        assert_eq!((patches.rows(), patches.cols()), (5 * 64, 2 * 9));
        for row in [0, 9, 63, 64 + 20, 4 * 64 + 37] {
            let (sample, y, x) = (row / 64, row % 64 / 8, row % 8);
            let (_, pixels) = set.image(sample).unwrap();
            for (at, value) in patches.view().row(row).iter().enumerate() {
                let (channel, tap) = (at / 9, at % 9);
                let (y, x) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                let expected = if y < 8 && x < 8 {
                    f32::from(pixels[channel * 64 + y * 8 + x]) / 127.5 - 1.0
                } else {
                    0.0
                };
                assert!((value - expected).abs() < 1e-5, "{row} {at}");
            }
        }
    }

    /// With residual branches, strides and batch norm: what the second layer reads follows from
    /// all rows of the first, and every layer is there once.
    #[test]
    fn every_layer_of_a_residual_network_is_read() {
        let architecture = Architecture::new(Kind::ResNet18, SHAPE, 3);
        let all = read(&architecture, &set(2), usize::MAX);
        for (name, shape) in architecture.tensors().unwrap() {
            let layer = shape.len() > 1;
            assert_eq!(all.contains_key(&name), layer, "{name}");
            if layer {
                let inputs: usize = shape[1..].iter().product();
                assert_eq!(all[&name].cols(), inputs, "{name}");
            }
        }
        assert_eq!(all["conv1.weight"].rows(), 2 * 16);
        assert_eq!(all["layer2.0.downsample.0.weight"].rows(), 2);
    }

    #[test]
    fn rows_are_bounded_and_drawn_by_the_seed() {
        let architecture = Architecture::new(Kind::SmallCnn, SHAPE, 3);
        let some = read(&architecture, &set(5), 20);
        assert_eq!(some["conv1.weight"].rows(), 20);
        assert_eq!(some["fc1.weight"].rows(), 5);
        assert_eq!(some, read(&architecture, &set(5), 20));
        let all = read(&architecture, &set(5), usize::MAX);
        let known = |row: &[f32]| (0..320).any(|r| all["conv1.weight"].view().row(r) == row);
        assert!((0..20).all(|r| known(some["conv1.weight"].view().row(r))));
    }

    #[test]
    fn networks_over_sequences_are_refused() {
        let input = Input::Text(TextShape {
            vocabulary: 5,
            length: 3,
        });
        let architecture = Architecture::new(Kind::Lstm, input, 3);
        let job = LayerInputsJob {
            architecture: &architecture,
            state: &StateDict::new(),
            set: &set(1),
            preprocessing: &Preprocessing::default(),
            rows: 1,
            seed: 1,
        };
        let refused = layer_inputs(&job, &mut |_| {}).unwrap_err();
        assert!(refused.to_string().contains("sequences"), "{refused}");
    }
}
