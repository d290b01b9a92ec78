//! Samples as graphs read them, whatever runs the graph.

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_formats::GraphInput;
use fiun::Matrix;

use crate::architecture::input::Input;
use crate::error::NetError;
use crate::inputs::Inputs;
use crate::preprocessing::Preprocessing;
use crate::rounds::by_sample;

/// Samples run at a time where the graph leaves it open.
const BATCH: usize = 32;

/// Tokens of a text that are read where neither the graph nor the preprocessing says otherwise.
const LENGTH: usize = 128;

/// What a graph reads.
pub(super) struct GraphInputs(pub(super) Vec<GraphInput>);

/// What one of the inputs is given.
pub(super) struct Fed {
    /// Which of the inputs.
    pub(super) input: usize,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Values of the kind that an input is of.
pub(super) enum Values {
    Floats(Vec<f32>),
    Whole(Vec<i32>),
}

/// Some samples as the graph reads them.
pub(super) struct Batch {
    pub(super) inputs: Vec<Fed>,
    /// The rows that it is run on.
    pub(super) rows: usize,
    /// How many of them are samples: a graph may insist on more.
    pub(super) wanted: usize,
}

/// How an input has one image: channels first, or all of its values in one row; nothing where it has none of its
/// shape.
pub(super) fn image_dims(input: &GraphInput, shape: ImageShape) -> Option<Vec<usize>> {
    let rest = input.shape.get(1..).unwrap_or_default();
    let fits = |wanted: &Vec<usize>| {
        let mut sides = rest.iter().zip(wanted);
        rest.len() == wanted.len() && sides.all(|(known, own)| known.is_none_or(|k| k == *own))
    };
    let channels_first = vec![shape.channels, shape.height, shape.width];
    let mut known = [channels_first, vec![shape.len()]].into_iter();
    known.find(fits).filter(|_| !input.whole)
}

impl GraphInputs {
    /// What `run` makes of the samples of a data set, batch by batch: `[samples, values]`. `progress` is told how many
    /// samples are done.
    pub(super) fn features(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
        run: &mut dyn FnMut(Batch) -> Result<Vec<f32>, NetError>,
    ) -> Result<Matrix, NetError> {
        let mut values = Vec::new();
        self.each(set, preprocessing, &mut |batch| {
            let wanted = batch.wanted;
            values.extend(run(batch)?);
            progress(wanted);
            Ok(())
        })?;
        by_sample(set.len(), values)
    }

    /// Goes through the samples of a data set, batch by batch.
    pub(super) fn each(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        run: &mut dyn FnMut(Batch) -> Result<(), NetError>,
    ) -> Result<(), NetError> {
        let batch = self.batch();
        let all: Vec<usize> = (0..set.len()).collect();
        for indices in all.chunks(batch) {
            let rows = self.rows(indices.len(), batch);
            let inputs = match set.samples() {
                Samples::Images { shape, .. } => {
                    self.images(set, *shape, preprocessing, indices, rows)?
                }
                Samples::Tokens { .. } => self.tokens(set, preprocessing, indices, rows)?,
                Samples::Features(_) => {
                    return Err(NetError::Data(format!(
                        "`{}` holds features already",
                        set.name()
                    )));
                }
                Samples::External => {
                    return Err(NetError::Data(format!(
                        "the samples of `{}` are external",
                        set.name()
                    )));
                }
            };
            run(Batch {
                inputs,
                rows,
                wanted: indices.len(),
            })?;
        }
        Ok(())
    }

    /// The number of samples that the graph wants at a time.
    pub(super) fn batch(&self) -> usize {
        let fixed = self.0.iter().find_map(|input| *input.shape.first()?);
        fixed.unwrap_or(BATCH)
    }

    /// The rows of a batch: those asked for, or as many as the graph insists on.
    pub(super) fn rows(&self, wanted: usize, batch: usize) -> usize {
        let fixed = self
            .0
            .iter()
            .any(|input| input.shape.first().is_some_and(Option::is_some));
        if fixed { batch } else { wanted }
    }

    fn images(
        &self,
        set: &DataSet,
        shape: ImageShape,
        preprocessing: &Preprocessing,
        indices: &[usize],
        rows: usize,
    ) -> Result<Vec<Fed>, NetError> {
        let [input] = &self.0[..] else {
            return Err(NetError::Data(format!(
                "the graph reads {}, `{}` has images",
                self.described(),
                set.name()
            )));
        };
        let inputs = Inputs::new(set, Input::Images(shape), preprocessing)?;
        let mut values = Vec::with_capacity(rows * shape.len());
        for &index in indices {
            if let Some((_, pixels)) = set.image(index) {
                inputs.append_plain(shape, pixels, &mut values);
            }
        }
        values.resize(rows * shape.len(), 0.0);
        let Some(dims) = image_dims(input, shape) else {
            return Err(NetError::Data(format!(
                "the graph reads {}, the images of `{}` are {shape}",
                self.described(),
                set.name()
            )));
        };
        Ok(vec![Fed {
            input: 0,
            shape: [&[rows], &dims[..]].concat(),
            values: Values::Floats(values),
        }])
    }

    fn tokens(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        indices: &[usize],
        rows: usize,
    ) -> Result<Vec<Fed>, NetError> {
        let fixed = self.0.iter().find_map(|input| *input.shape.get(1)?);
        let most = fixed.or(preprocessing.length).unwrap_or(LENGTH);
        let longest = indices
            .iter()
            .filter_map(|index| Some(set.tokens(*index)?.len()))
            .max()
            .unwrap_or(1);
        // Padding is left out where the graph allows it.
        let length = fixed.unwrap_or(most.min(longest)).max(1);
        let mut tokens = vec![0i32; rows * length];
        for (row, &index) in tokens.chunks_exact_mut(length).zip(indices) {
            let own = set.tokens(index).unwrap_or_default();
            for (place, token) in row.iter_mut().zip(own) {
                *place = i32::try_from(*token).map_err(|_| {
                    NetError::Data(format!("a token of `{}` is too large", set.name()))
                })?;
            }
        }
        let mut fed = Vec::new();
        for (at, input) in self.0.iter().enumerate() {
            let name = input.name.to_lowercase();
            let made: Vec<i32> = match () {
                () if !input.whole => {
                    return Err(NetError::Data(format!(
                        "the graph reads {}, `{}` has tokens",
                        self.described(),
                        set.name()
                    )));
                }
                () if name.contains("mask") => {
                    tokens.iter().map(|token| i32::from(*token != 0)).collect()
                }
                () if name.contains("type") || name.contains("segment") => {
                    vec![0; tokens.len()]
                }
                () => tokens.clone(),
            };
            fed.push(Fed {
                input: at,
                shape: vec![rows, length],
                values: Values::Whole(made),
            });
        }
        Ok(fed)
    }

    /// The inputs in words.
    fn described(&self) -> String {
        let list = self.0.iter().map(|input| {
            let dims: Vec<String> = input
                .shape
                .iter()
                .map(|length| length.map_or("?".into(), |length| length.to_string()))
                .collect();
            format!("`{}` [{}]", input.name, dims.join(", "))
        });
        list.collect::<Vec<_>>().join(", ")
    }
}
