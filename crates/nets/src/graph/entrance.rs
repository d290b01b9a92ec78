//! What enters the block that a graph's layer closes, and what follows from it.

use disinherit_data::DataSet;
use disinherit_formats::shape_text;
use fiun::Matrix;

use super::cut::{GraphCut, none};
use super::onnx::{NodeValues, refuse};
use crate::error::NetError;
use crate::penultimate::activations::Activations;
use crate::penultimate::agreement::agrees;
use crate::penultimate::entrances::{Entrances, Positions};
use crate::preprocessing::Preprocessing;

/// The longest sequence that may be cut down to some positions.
const LONGEST: usize = 1 << 13;

impl GraphCut {
    /// Says which positions lead to the features where the layer writes a sequence, where there are no samples to
    /// find that out on ([`GraphCut::settle`]).
    ///
    /// # Errors
    /// [`NetError::Data`] when there are no such positions.
    pub fn settle_as(&mut self, positions: Option<Positions>) -> Result<(), NetError> {
        if let Some(Positions { length, kept }) = &positions {
            let rises = kept.windows(2).all(|pair| pair[0] < pair[1]);
            let last = kept.last().is_some_and(|last| last < length);
            if !rises || !last || *length > LONGEST || self.is_map {
                return Err(NetError::Data(format!(
                    "there are no positions {} of {length} in what its last layer below the head writes",
                    shape_text(kept)
                )));
            }
        }
        self.sequence = positions;
        Ok(())
    }

    /// Whether one value of the graph leads to all that the layer reads and becomes part of.
    pub fn has_entrance(&self) -> bool {
        self.entrance.is_some()
    }

    /// Runs samples up to the block that the layer closes; of a sequence the positions are kept that lead to the
    /// features. Nothing where no one value of the graph leads to the layer. `progress` is told how many samples
    /// are done.
    ///
    /// # Errors
    /// As [`GraphCut::run`].
    pub fn entrances(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Option<Entrances>, NetError> {
        let Some(entrance) = self.entrance else {
            return Ok(None);
        };
        let mut all = none();
        self.network.each(set, preprocessing, &mut |batch, fed| {
            let [made] = self.network.run(fed, [entrance])?;
            self.append(&made, batch.rows, batch.wanted, &mut all)?;
            progress(batch.wanted);
            Ok(())
        })?;
        let [samples, height, width, channels] = all.shape[..] else {
            return Err(refuse("there are no samples to run"));
        };
        let shape = [height, width, channels];
        let values = Matrix::new(samples, height * width * channels, all.values).map_err(refuse)?;
        let entrances = Entrances::new(shape, values)?;
        Ok(Some(entrances.at(self.sequence.clone())))
    }

    /// What follows from the entrances to the block, as [`GraphCut::run`] has it of the samples; nothing where no
    /// one value of the graph leads to the layer.
    ///
    /// # Errors
    /// [`NetError::Data`] when they are of other positions than lead to the features, [`NetError::Backend`] when
    /// the graph cannot be run from there.
    pub fn behind(&self, entrances: &Entrances) -> Result<Option<Activations>, NetError> {
        let Some(entrance) = self.entrance else {
            return Ok(None);
        };
        self.check(entrances)?;
        let batch = self.network.inputs().batch();
        let all: Vec<usize> = (0..entrances.samples()).collect();
        let (mut read, mut written) = (none(), none());
        for places in all.chunks(batch) {
            let rows = self.network.inputs().rows(places.len(), batch);
            let whole = self.whole(entrances.select(places), rows);
            let from: NodeValues = vec![(entrance, whole.clone().into())];
            let [reads, stream] = match self.reads == entrance {
                true => {
                    let [stream] = self.network.run(from, [self.stream])?;
                    [whole, stream]
                }
                false => self.network.run(from, [self.reads, self.stream])?,
            };
            self.append(&reads, rows, places.len(), &mut read)?;
            self.append(&stream, rows, places.len(), &mut written)?;
        }
        Activations::new(read, written, self.window).map(Some)
    }

    /// Whether entrances are of the layer's kind: a map, a vector, or the positions that are kept of a sequence.
    fn check(&self, entrances: &Entrances) -> Result<(), NetError> {
        if entrances.positions() != self.sequence.as_ref() {
            return Err(NetError::Data(
                "other positions of its sequences lead to its features".into(),
            ));
        }
        let [height, width, _] = entrances.shape();
        let kept = self.sequence.as_ref().map_or(1, |s| s.kept.len());
        match self.is_map || [height, width] == [1, kept] {
            true => Ok(()),
            false => Err(NetError::Data(format!(
                "what enters its last block is {kept} vectors, and no map of {height}x{width}"
            ))),
        }
    }

    /// Whether what the layer reads and writes of some samples follows from what enters its block, at the
    /// positions that are kept, alone.
    pub fn follows(&self, entrances: &Entrances, seen: &Activations) -> bool {
        let Ok(Some(ours)) = self.behind(entrances) else {
            return false;
        };
        agrees(&ours.inputs.values, &seen.inputs.values)
            && agrees(&ours.stream.values, &seen.stream.values)
    }
}
