//! The penultimate layer of a network of the user's own: what `disinherit.DeepNetworks` says of it.

use disinherit::nets::{Activations, Array, LayerTensors, Window};
use disinherit::progress::Stage;
use disinherit::runner::RunLayer;
use numpy::{PyReadonlyArray4, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::errors::refused;

const WHAT: &str = "`penultimate` must give a reason, or a `PenultimateLayer` and then what the layer \
                    reads and the stream of each batch, two arrays of float32 with 4 dimensions in the \
                    order of C";

/// The description of a layer: `disinherit.PenultimateLayer`.
#[derive(FromPyObject)]
struct Described {
    weight: String,
    bias: Option<String>,
    shift: Option<(String, Vec<f32>)>,
    scale: Vec<f32>,
    window: (usize, usize, usize),
    transposed: bool,
}

/// Maps that come batch by batch: `[samples, height, width, channels]`.
#[derive(Default)]
struct Maps {
    samples: usize,
    /// Height, width and channels.
    size: Option<[usize; 3]>,
    values: Vec<f32>,
}

impl Maps {
    /// Adds a batch; says whether its samples have the shape of those before.
    fn extend(&mut self, batch: &PyReadonlyArray4<'_, f32>) -> PyResult<bool> {
        let [samples, height, width, channels] = *batch.shape() else {
            return Ok(false);
        };
        let size = [height, width, channels];
        if *self.size.get_or_insert(size) != size {
            return Ok(false);
        }
        self.values.extend_from_slice(batch.as_slice()?);
        self.samples += samples;
        Ok(true)
    }

    fn finish(self) -> Array {
        let [height, width, channels] = self.size.unwrap_or_default();
        Array {
            shape: vec![self.samples, height, width, channels],
            values: self.values,
        }
    }
}

/// Reads the description and the batches; or the reason why there are none.
pub(crate) fn read(
    steps: &Bound<'_, PyAny>,
    samples: usize,
    stage: &dyn Stage,
) -> PyResult<Result<RunLayer, String>> {
    let said = |error: &dyn std::fmt::Display| refused(format!("{WHAT} ({error})"));
    let mut described: Option<Described> = None;
    let (mut inputs, mut stream) = (Maps::default(), Maps::default());
    for step in steps.try_iter()? {
        let step = step?;
        if let Ok(reason) = step.extract::<String>() {
            return Ok(Err(reason));
        }
        if described.is_none() {
            described = Some(step.extract().map_err(|error| said(&error))?);
            continue;
        }
        let pair = step.extract::<(PyReadonlyArray4<'_, f32>, PyReadonlyArray4<'_, f32>)>();
        let (read, written) = pair.map_err(|error| said(&error))?;
        let alike = [inputs.extend(&read), stream.extend(&written)];
        for alike in alike {
            // Samples of other lengths have no common shape: that is no mistake.
            if !alike.map_err(|error| said(&error))? {
                return Ok(Err("its samples have different numbers of positions".into()));
            }
        }
        stage.advance(read.shape()[0] as u64);
    }
    let described = described.ok_or_else(|| said(&"it gave nothing"))?;
    if inputs.samples != samples || stream.samples != samples {
        return Err(said(&format!(
            "it gave {} of {samples} samples",
            inputs.samples
        )));
    }
    let values = inputs.values.iter().chain(&stream.values);
    let mut all = values.chain(&described.scale);
    if let Some(wrong) = all.find(|value| !value.is_finite()) {
        return Err(said(&format!("one value is {wrong}")));
    }
    let (kernel, stride, padding) = described.window;
    let window = Window {
        kernel,
        stride,
        padding,
    };
    let activations = Activations::new(inputs.finish(), stream.finish(), window);
    Ok(Ok(RunLayer {
        tensors: LayerTensors {
            weight: described.weight,
            transposed: described.transposed,
            bias: described.bias,
            shift: described.shift,
        },
        scale: described.scale,
        activations: activations.map_err(|error| said(&error))?,
    }))
}
