//! BERT's sum of vectors for tokens, positions and the first segment (arXiv:1810.04805).

use disinherit_data::ImageShape;
use fiun::FisherError;

use super::initial::{Initial, NARROW};
use super::operation::{Following, Operation, Tensors};
use crate::cpu::layer::{Backward, CpuLayer, Gradient, Record, Tapped};
use crate::cpu::maps::Maps;
use crate::cpu::rows::change_alone;
use crate::cpu::table::{Table, squared_sums, summed};
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, MatrixAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// `words[t] + positions[i] + segments[0]` for token `t` at position `i`.
///
/// # Shapes
/// Three tables: `[vocabulary, size]`, `[positions, size]` and `[2, size]`.
#[derive(Debug, Clone)]
pub(crate) struct TokenEmbedding {
    /// The name that the three tables start with.
    pub(crate) name: String,
    /// Different tokens.
    pub(crate) vocabulary: usize,
    /// Different positions.
    pub(crate) positions: usize,
    /// Values of a vector.
    pub(crate) size: usize,
}

/// Its tables, and the segments that BERT knows.
const TABLES: [&str; 3] = [
    "word_embeddings",
    "position_embeddings",
    "token_type_embeddings",
];
const SEGMENTS: usize = 2;

impl Operation for TokenEmbedding {
    fn tensors(&self) -> Tensors {
        let counts = [self.vocabulary, self.positions, SEGMENTS];
        let tables = TABLES.iter().zip(counts);
        let tensor = |(table, count)| {
            (
                format!("{}.{table}.weight", self.name),
                vec![count, self.size],
            )
        };
        tables.map(tensor).collect()
    }

    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::Normal(NARROW)
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: self.size,
            ..input
        })
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        let names = TABLES.map(|table| format!("{}.{table}", self.name));
        let [words, positions, segments] = [0, 1, 2].map(|at| weights.tensor(&names[at], "weight"));
        let (mut added, segment) = (positions?.to_vec(), &segments?[..self.size]);
        for position in added.chunks_exact_mut(self.size.max(1)) {
            let pairs = position.iter_mut().zip(segment);
            pairs.for_each(|(value, more)| *value += more);
        }
        let words = Table {
            values: words?.to_vec(),
            width: self.size,
        };
        Ok(Some(Box::new(CpuTokenEmbedding {
            names,
            words,
            added,
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let mut table = |part: &str| builder.matrix(&format!("{}.{part}.weight", self.name));
        let [words, positions, segments] = TABLES;
        Ok(Box::new(DeviceTokenEmbedding {
            words: table(words)?,
            positions: table(positions)?,
            segments: table(segments)?,
        }))
    }
}

struct CpuTokenEmbedding {
    /// The names of the tables of words, positions and segments.
    names: [String; 3],
    words: Table,
    /// What is added at each position: its vector and that of the first segment.
    added: Vec<f32>,
}

impl CpuTokenEmbedding {
    /// As a table of positions; a sequence may have seen only the first ones.
    fn of_positions(&self, mut values: Vec<f32>) -> Vec<f32> {
        values.resize(self.added.len(), 0.0);
        values
    }

    /// As a table of segments, from the row of the first one.
    fn of_segments(&self, mut values: Vec<f32>) -> Vec<f32> {
        values.resize(SEGMENTS * self.words.width, 0.0);
        values
    }

    /// The sums over the positions of every sample, `[samples, width]`.
    fn over_positions(&self, delta: &Maps) -> Vec<f32> {
        let samples = delta.values.chunks_exact(delta.per_sample().max(1));
        let sums = samples.flat_map(|sample| summed(self.words.width, sample));
        sums.collect()
    }
}

impl CpuLayer for CpuTokenEmbedding {
    fn forward(&self, tokens: Maps, _threads: usize) -> Result<Maps, FisherError> {
        let mut rows = self.words.rows(&tokens);
        let each = rows.per_sample().max(1);
        change_alone(
            &mut rows.values,
            each,
            #[inline(always)]
            |rows| {
                for sample in rows.chunks_exact_mut(each) {
                    let pairs = sample.iter_mut().zip(&self.added);
                    pairs.for_each(|(value, more)| *value += more);
                }
            },
        );
        Ok(rows)
    }

    fn record(&self, tokens: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.keep(tokens.clone());
        self.forward(tokens, record.threads)
    }

    /// Tokens have no gradient: the pass ends here.
    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let tokens = pass.kept()?.maps;
        let [words, positions, segments] = &self.names;
        let (samples, width) = (delta.samples, self.words.width);
        let weight = |values| Ok(vec![Gradient::new("weight", values)]);
        let squares = |groups| self.words.squares(groups, &tokens, &delta.values);
        let gradients = || Ok(vec![self.words.gradient(&tokens, &delta.values)]);
        let shown = Tapped {
            name: words,
            squares: &squares,
            gradients: &gradients,
        };
        if !pass.show(shown)? {
            return Ok(None);
        }
        let squares = |groups| {
            let values = self.of_positions(squared_sums(groups, samples, &delta.values));
            Ok(vec![("weight", values)])
        };
        let gradients = || weight(self.of_positions(summed(delta.per_sample(), &delta.values)));
        let shown = Tapped {
            name: positions,
            squares: &squares,
            gradients: &gradients,
        };
        if !pass.show(shown)? {
            return Ok(None);
        }
        let all = self.over_positions(&delta);
        let squares = |groups| {
            let values = self.of_segments(squared_sums(groups, samples, &all));
            Ok(vec![("weight", values)])
        };
        let gradients = || weight(self.of_segments(summed(width, &all)));
        pass.show(Tapped {
            name: segments,
            squares: &squares,
            gradients: &gradients,
        })?;
        Ok(None)
    }
}

#[cfg(feature = "burn")]
struct DeviceTokenEmbedding {
    words: MatrixAt,
    positions: MatrixAt,
    segments: MatrixAt,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceTokenEmbedding {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = pass.embedded(self.words, input);
        let length = x.dims()[1];
        let positions = pass.matrix(self.positions).narrow(0, 0, length);
        let segment = pass.matrix(self.segments).narrow(0, 0, 1);
        Flow::Sequence(x + (positions + segment).unsqueeze::<3>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::checks::Case;
    use crate::ops::operation::Op;

    /// Of sequences that are shorter than the table of positions.
    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        let layer = TokenEmbedding {
            name: "embeddings".into(),
            vocabulary: 5,
            positions: 6,
            size: 3,
        };
        let tokens = [3.0, 1.0, 3.0, 0.0, 2.0, 2.0, 2.0, 2.0, 1.0, 0.0, 0.0, 0.0];
        let tokens = Maps::new(3, [4, 1], 1, tokens.to_vec());
        Case::new(vec![Op::new(layer)], tokens).check(false);
    }
}
