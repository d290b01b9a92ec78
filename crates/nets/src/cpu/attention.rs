//! Multi-head self-attention on the CPU (Vaswani et al., arXiv:1706.03762).

use fiun::layers::{Linear, Squares};
use fiun::{Factor, FisherError, Product, Threads};
use pulp::Arch;
use rayon::prelude::*;

use super::dense;
use super::functions::exp;
use super::layer::{Backward, CpuLayer, Gradient, Gradients, Record, Tapped};
use super::maps::Maps;
use crate::error::{NetError, backend};

/// What keeps positions from attending to padding.
pub(crate) const NEVER: f32 = -1e9;

/// Some rows of the projection to queries, keys and values, as they lie in a model's tensors.
pub(crate) struct Projection {
    /// The name that its tensors start with, and what they are called.
    pub(crate) name: String,
    pub(crate) parts: [&'static str; 2],
}

/// A layer of it with its weights.
pub(crate) struct CpuAttention {
    /// One for queries, keys and values each, or one for all three.
    pub(crate) projections: Vec<Projection>,
    /// Of all three, `[3 * size, size]`.
    pub(crate) weight: Vec<f32>,
    /// `[3 * size]`.
    pub(crate) bias: Vec<f32>,
    /// The name of the output projection.
    pub(crate) output: String,
    /// `[size, size]`.
    pub(crate) output_weight: Vec<f32>,
    /// `[size]`.
    pub(crate) output_bias: Vec<f32>,
    pub(crate) heads: usize,
}

/// The lengths of what one sample's heads work on.
#[derive(Clone, Copy)]
struct Shape {
    positions: usize,
    size: usize,
    heads: usize,
}

impl Shape {
    /// Values of a head.
    fn each(self) -> usize {
        self.size / self.heads.max(1)
    }

    /// Queries, keys or values (0 to 2) of a head, in a sample's `[positions, 3 * size]`.
    fn factor(self, projected: &[f32], part: usize, head: usize) -> Factor<'_> {
        let first = part * self.size + head * self.each();
        Factor::rows(&projected[first..], 3 * self.size)
    }

    /// A head's columns of a sample's `[positions, size]`.
    fn columns(self, values: &[f32], head: usize) -> Factor<'_> {
        Factor::rows(&values[head * self.each()..], self.size)
    }

    /// What positions attend to is divided by the root of a head's size.
    fn scale(self) -> f32 {
        (self.each() as f32).sqrt().recip()
    }

    fn squared(self) -> usize {
        self.positions * self.positions
    }
}

/// A product on this thread.
fn product(
    shape: [usize; 3],
    left: Factor<'_>,
    right: Factor<'_>,
    out: &mut [f32],
    stride: usize,
) -> Result<(), FisherError> {
    let threads = Threads::One;
    Product {
        shape,
        left,
        right,
        threads,
    }
    .store(out, stride)
}

/// Rows of scores become shares: `exp(scale * score)`, over their sum; padding gets none.
#[inline(always)]
fn softmax(scores: &mut [f32], positions: usize, scale: f32, mask: Option<&[f32]>) {
    for row in scores.chunks_exact_mut(positions.max(1)) {
        row.iter_mut().for_each(|score| *score *= scale);
        if let Some(mask) = mask {
            for (score, seen) in row.iter_mut().zip(mask) {
                *score = if *seen > 0.0 { *score } else { NEVER };
            }
        }
        let top = row.iter().fold(f32::NEG_INFINITY, |top, v| top.max(*v));
        row.iter_mut().for_each(|score| *score = exp(*score - top));
        let share = row.iter().sum::<f32>().recip();
        row.iter_mut().for_each(|score| *score *= share);
    }
}

impl CpuAttention {
    fn shape(&self, input: &Maps) -> Shape {
        Shape {
            positions: input.positions(),
            size: self.output_bias.len(),
            heads: self.heads,
        }
    }

    /// The shares of every head, `[samples, heads, positions, positions]`, and what the heads make of the values,
    /// `[samples, positions, size]`.
    fn mixed(&self, input: &Maps, projected: &[f32]) -> Result<[Vec<f32>; 2], FisherError> {
        let shape = self.shape(input);
        let each = shape.positions * shape.size;
        let of_shares = shape.heads * shape.squared();
        let mut shares = vec![0.0; input.samples * of_shares];
        let mut mixed = vec![0.0; input.samples * each];
        let samples = shares
            .par_chunks_exact_mut(of_shares.max(1))
            .zip(mixed.par_chunks_exact_mut(each.max(1)))
            .zip(projected.par_chunks_exact((3 * each).max(1)));
        samples
            .enumerate()
            .try_for_each(|(sample, ((shares, mixed), projected))| {
                let mask = input.mask.as_ref();
                let mask = mask.map(|mask| &mask[sample * shape.positions..][..shape.positions]);
                heads(shape, projected, mask, shares, mixed)
            })?;
        Ok([shares, mixed])
    }

    /// The gradient at what was projected, from that at what the heads made of it.
    fn back(
        &self,
        input: &Maps,
        projected: &[f32],
        shares: &[f32],
        delta: &[f32],
    ) -> Result<Vec<f32>, FisherError> {
        let shape = self.shape(input);
        let each = shape.positions * shape.size;
        let mut out = vec![0.0; projected.len()];
        let samples = out
            .par_chunks_exact_mut((3 * each).max(1))
            .zip(projected.par_chunks_exact((3 * each).max(1)))
            .zip(shares.par_chunks_exact((shape.heads * shape.squared()).max(1)))
            .zip(delta.par_chunks_exact(each.max(1)));
        samples.try_for_each(|(((out, projected), shares), delta)| {
            heads_back(shape, projected, shares, delta, out)
        })?;
        Ok(out)
    }

    fn outcome(&self, input: &Maps, mixed: &[f32], threads: Threads) -> Result<Maps, FisherError> {
        let rows = dense::apply(mixed, &self.output_weight, &self.output_bias, threads)?;
        Ok(input.with(rows))
    }

    /// Shows the projections, from the gradient at what they made; `false` when the pass ends.
    fn show(&self, input: &Maps, delta: &Maps, pass: &mut Backward<'_>) -> Result<bool, NetError> {
        for (number, projection) in self.projections.iter().enumerate() {
            let own = (self.projections.len() > 1).then(|| self.part(delta, number));
            let shown = Shown {
                input,
                delta: own.as_ref().unwrap_or(delta),
                parts: projection.parts,
            };
            let squares = |groups| shown.squares(groups);
            let gradients = || shown.gradients();
            let tapped = Tapped {
                name: &projection.name,
                squares: &squares,
                gradients: &gradients,
            };
            if !pass.show(tapped)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The columns of one projection.
    fn part(&self, delta: &Maps, number: usize) -> Maps {
        let outputs = delta.channels / self.projections.len().max(1);
        let mut own = Vec::with_capacity(delta.values.len() / self.projections.len().max(1));
        for row in delta.values.chunks_exact(delta.channels.max(1)) {
            own.extend_from_slice(&row[number * outputs..(number + 1) * outputs]);
        }
        delta.rows(outputs, own)
    }
}

/// A projection on the way back.
struct Shown<'a> {
    input: &'a Maps,
    delta: &'a Maps,
    parts: [&'static str; 2],
}

impl Shown<'_> {
    fn squares(&self, groups: usize) -> Result<Squares, FisherError> {
        let layer = Linear {
            inputs: self.input.channels,
            outputs: self.delta.channels,
        };
        let squares = layer.squares(groups, &self.input.values, &self.delta.values)?;
        let named = self.parts.into_iter().zip(squares);
        Ok(named.map(|(part, (_, values))| (part, values)).collect())
    }

    fn gradients(&self) -> Result<Gradients, FisherError> {
        let (inputs, outputs) = (self.input.channels, self.delta.channels);
        let [weight, bias] = self.parts;
        let gradient =
            dense::weight_gradient(&self.delta.values, outputs, &self.input.values, inputs)?;
        Ok(vec![
            Gradient::new(weight, gradient),
            Gradient::new(bias, self.delta.sums()),
        ])
    }
}

/// One sample's heads: their shares, and what they make of the values.
fn heads(
    shape: Shape,
    projected: &[f32],
    mask: Option<&[f32]>,
    shares: &mut [f32],
    mixed: &mut [f32],
) -> Result<(), FisherError> {
    let Shape {
        positions, size, ..
    } = shape;
    let each = shape.each();
    let blocks = shares.chunks_exact_mut(shape.squared().max(1));
    for (head, shares) in blocks.enumerate() {
        let part = |part| shape.factor(projected, part, head);
        let between = [positions, each, positions];
        product(between, part(0), part(1).transposed(), shares, positions)?;
        Arch::new().dispatch(
            #[inline(always)]
            || softmax(shares, positions, shape.scale(), mask),
        );
        let left = Factor::rows(shares, positions);
        let out = &mut mixed[head * each..];
        product([positions, positions, each], left, part(2), out, size)?;
    }
    Ok(())
}

/// The gradient at one sample's queries, keys and values.
fn heads_back(
    shape: Shape,
    projected: &[f32],
    shares: &[f32],
    delta: &[f32],
    out: &mut [f32],
) -> Result<(), FisherError> {
    let Shape {
        positions, size, ..
    } = shape;
    let each = shape.each();
    let (across, back) = ([positions, each, positions], [positions, positions, each]);
    let mut scores = vec![0.0; shape.squared()];
    let blocks = shares.chunks_exact(shape.squared().max(1));
    for (head, shares) in blocks.enumerate() {
        let part = |part| shape.factor(projected, part, head);
        let delta = shape.columns(delta, head);
        let share = Factor::rows(shares, positions);
        let target = |part: usize| part * size + head * each;
        product(
            back,
            share.transposed(),
            delta,
            &mut out[target(2)..],
            3 * size,
        )?;
        product(across, delta, part(2).transposed(), &mut scores, positions)?;
        Arch::new().dispatch(
            #[inline(always)]
            || softmax_back(&mut scores, shares, positions, shape.scale()),
        );
        let score = Factor::rows(&scores, positions);
        product(back, score, part(1), &mut out[target(0)..], 3 * size)?;
        product(
            back,
            score.transposed(),
            part(0),
            &mut out[target(1)..],
            3 * size,
        )?;
    }
    Ok(())
}

/// The gradient at rows of scores from that at their shares.
#[inline(always)]
fn softmax_back(delta: &mut [f32], shares: &[f32], positions: usize, scale: f32) {
    let rows = shares.chunks_exact(positions.max(1));
    for (delta, shares) in delta.chunks_exact_mut(positions.max(1)).zip(rows) {
        let along: f32 = delta.iter().zip(shares).map(|(d, s)| d * s).sum();
        for (delta, share) in delta.iter_mut().zip(shares) {
            *delta = scale * share * (*delta - along);
        }
    }
}

impl CpuLayer for CpuAttention {
    fn forward(&self, input: Maps, threads: usize) -> Result<Maps, FisherError> {
        let threads = if threads > 1 {
            Threads::All
        } else {
            Threads::One
        };
        let projected = dense::apply(&input.values, &self.weight, &self.bias, threads)?;
        let [_, mixed] = self.mixed(&input, &projected)?;
        self.outcome(&input, &mixed, threads)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let projected = dense::apply(&input.values, &self.weight, &self.bias, Threads::All)?;
        let [shares, mixed] = self.mixed(&input, &projected)?;
        let out = self.outcome(&input, &mixed, Threads::All)?;
        record.keep_factors(input.rows(3 * input.channels, projected), shares);
        record.keep(input.with(mixed));
        record.keep(input);
        Ok(out)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let (input, mixed) = (pass.kept()?.maps, pass.kept()?.maps);
        let before = pass.kept()?;
        let size = self.output_bias.len();
        let shown = Shown {
            input: &mixed,
            delta: &delta,
            parts: ["weight", "bias"],
        };
        let squares = |groups| shown.squares(groups);
        let gradients = || shown.gradients();
        let tapped = Tapped {
            name: &self.output,
            squares: &squares,
            gradients: &gradients,
        };
        if !pass.show(tapped)? {
            return Ok(None);
        }
        let delta = dense::back(&delta.values, size, &self.output_weight).map_err(backend)?;
        let projected = before.maps.values;
        let delta = self
            .back(&input, &projected, &before.factors, &delta)
            .map_err(backend)?;
        let delta = input.rows(3 * size, delta);
        if !self.show(&input, &delta, pass)? {
            return Ok(None);
        }
        let back = dense::back(&delta.values, 3 * size, &self.weight).map_err(backend)?;
        Ok(Some(input.with(back)))
    }
}
