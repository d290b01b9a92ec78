//! A network from its last stage on, in pieces: so that what is minimised can also look at what enters the penultimate
//! layer, in the middle of a block.

use fiun::FisherError;

use crate::cpu::layer::{Backward, CpuLayer, Record, Sink, Tapped, forward};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
use crate::error::NetError;
use crate::ops::operation::{Op, cpu_layers};
use crate::penultimate::find::{Join, find};

type Layers = Vec<Box<dyn CpuLayer>>;

/// The layers from the last stage to the head.
pub(super) struct Pieces {
    /// Up to the block that the penultimate layer closes.
    below: Layers,
    /// In the block, before that layer.
    inner: Layers,
    /// The layer, and the batch norm behind it.
    end: Layers,
    /// Around the branch; nothing where there is no way around.
    shortcut: Option<Layers>,
    /// From the stream to the features.
    above: Layers,
    head: Box<dyn CpuLayer>,
}

/// What a network makes of what enters its last stage; or the gradient at each of these.
#[derive(Clone, Default)]
pub(super) struct Views {
    /// What enters the penultimate layer.
    pub(super) inner: Maps,
    /// What that layer writes into, before the next non-linearity.
    pub(super) stream: Maps,
    pub(super) features: Maps,
    pub(super) logits: Maps,
}

/// What a forward pass kept for the way back, piece by piece.
pub(super) struct Records {
    below: Record,
    inner: Record,
    end: Record,
    shortcut: Record,
    above: Record,
}

impl Views {
    /// Those of further samples, behind its own.
    pub(super) fn append(&mut self, more: Self) {
        let pairs = [
            (&mut self.inner, more.inner),
            (&mut self.stream, more.stream),
            (&mut self.features, more.features),
            (&mut self.logits, more.logits),
        ];
        for (all, more) in pairs {
            if all.samples == 0 {
                *all = more;
            } else {
                all.append(more);
            }
        }
    }
}

impl Pieces {
    /// The layers of a network, head included, from its operation `start` on.
    ///
    /// # Errors
    /// [`NetError`] when weights are missing, or the network has no penultimate layer.
    pub(super) fn new(
        program: &[Op],
        start: usize,
        weights: &Weights<'_>,
    ) -> Result<Self, NetError> {
        let missing = |what: &str| NetError::Backend(format!("a network without {what}"));
        let (head, body) = program.split_last().ok_or_else(|| missing("a head"))?;
        let cut = find(body).ok_or_else(|| missing("a penultimate layer"))?;
        let layers = |ops| cpu_layers(ops, weights);
        let shortcut = match cut.join {
            Join::Sum => Some(layers(cut.shortcut)?),
            Join::Alone | Join::Behind => None,
        };
        let head = layers(std::slice::from_ref(head))?.pop();
        Ok(Self {
            below: layers(&cut.below[start..])?,
            inner: layers(cut.inner)?,
            end: layers(cut.end)?,
            shortcut,
            above: layers(cut.above)?,
            head: head.ok_or_else(|| missing("a head"))?,
        })
    }

    /// Runs them for what they write alone.
    pub(super) fn forward(&self, input: Maps) -> Result<Views, FisherError> {
        let entered = forward(&self.below, input, 1)?;
        let inner = forward(&self.inner, entered.clone(), 1)?;
        let mut stream = forward(&self.end, inner.clone(), 1)?;
        if let Some(shortcut) = &self.shortcut {
            stream.add(&forward(shortcut, entered, 1)?, false);
        }
        let features = forward(&self.above, stream.clone(), 1)?.flattened();
        let logits = self.head.forward(features.clone(), 1)?;
        Ok(Views {
            inner,
            stream,
            features,
            logits,
        })
    }

    /// The same, with what the way back needs.
    pub(super) fn record(
        &self,
        input: Maps,
        threads: usize,
    ) -> Result<(Views, Records), FisherError> {
        let new = || Record::new(threads);
        let mut records = Records {
            below: new(),
            inner: new(),
            end: new(),
            shortcut: new(),
            above: new(),
        };
        let entered = records.below.layers(&self.below, input)?;
        let inner = records.inner.layers(&self.inner, entered.clone())?;
        let mut stream = records.end.layers(&self.end, inner.clone())?;
        if let Some(shortcut) = &self.shortcut {
            stream.add(&records.shortcut.layers(shortcut, entered)?, false);
        }
        let features = records.above.layers(&self.above, stream.clone())?;
        let logits = self.head.record(features.clone(), &mut records.above)?;
        let views = Views {
            inner,
            stream,
            features,
            logits,
        };
        Ok((views, records))
    }

    /// Goes back from the gradients at what was written; `sink` is shown the layers below the stream that have
    /// parameters.
    pub(super) fn backward(
        &self,
        records: Records,
        gradients: Views,
        sink: &mut Sink<'_>,
    ) -> Result<(), NetError> {
        let ended = || NetError::Backend("the backward pass ended before the stage".into());
        let mut pass_on = |_: Tapped<'_>| Ok(true);
        let mut pass = Backward::new(records.above, &mut pass_on);
        let at_features = self.head.backward(gradients.logits, &mut pass)?;
        let mut at_features = at_features.ok_or_else(ended)?;
        at_features.add(&gradients.features, false);
        let mut at_stream = pass.layers(&self.above, at_features)?.ok_or_else(ended)?;
        at_stream.add(&gradients.stream, false);

        let around = match &self.shortcut {
            Some(shortcut) => {
                Backward::new(records.shortcut, sink).layers(shortcut, at_stream.clone())?
            }
            None => None,
        };
        let at_inner = Backward::new(records.end, sink).layers(&self.end, at_stream)?;
        let mut at_inner = at_inner.ok_or_else(ended)?;
        at_inner.add(&gradients.inner, false);
        let at_block = Backward::new(records.inner, sink).layers(&self.inner, at_inner)?;
        let mut at_block = at_block.ok_or_else(ended)?;
        if let Some(around) = around {
            at_block.add(&around, false);
        }
        Backward::new(records.below, sink).layers(&self.below, at_block)?;
        Ok(())
    }
}
