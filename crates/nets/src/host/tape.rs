//! Gradients at activations: forward with everything kept, then backward layer by layer.

use fiun::{FisherError, Threads};

use super::{HostNetwork, Maps, Step, add, backend, joined, parted, pool, relu};
use crate::error::NetError;

/// A layer with parameters, as the backward pass meets it.
pub(crate) enum Layer<'a> {
    Convolution(fiun::layers::Convolution),
    Norm(fiun::layers::BatchNorm<'a>),
    Linear(fiun::layers::Linear),
}

/// A layer with what went into it and the gradient at what came out.
pub(crate) struct Tapped<'a> {
    pub(crate) name: &'a str,
    pub(crate) layer: Layer<'a>,
    pub(crate) input: &'a Maps,
    pub(crate) delta: &'a Maps,
}

/// Is given every layer; says whether the backward pass goes on.
type Sink<'a> = dyn FnMut(Tapped<'_>) -> Result<bool, NetError> + 'a;

/// What a step keeps for its way back, in the order of the forward pass.
enum Kept {
    Input(Maps),
    Output(Maps),
    Places(Vec<u32>, Maps),
    Shape([usize; 2], usize),
    Channels(usize),
}

/// A forward pass with everything that the backward pass needs.
pub(crate) struct Tape<'a> {
    network: &'a HostNetwork,
    threads: usize,
    kept: Vec<Kept>,
    pub(crate) features: Maps,
    pub(crate) logits: Maps,
}

impl<'a> Tape<'a> {
    pub(crate) fn record(
        network: &'a HostNetwork,
        input: Maps,
        threads: usize,
    ) -> Result<Self, NetError> {
        let mut kept = Vec::new();
        let features = forward(&network.steps, input, threads, &mut kept).map_err(backend)?;
        let logits = network
            .head
            .forward(&features, Threads::All)
            .map_err(backend)?;
        Ok(Self {
            network,
            threads,
            kept,
            features,
            logits,
        })
    }

    /// Walks back from the gradient at the logits. Every layer below the head is handed to `sink`,
    /// the last one first, until it says that it has seen enough.
    pub(crate) fn backward(mut self, residuals: Maps, sink: &mut Sink<'_>) -> Result<(), NetError> {
        let delta = self.network.head.backward(&residuals).map_err(backend)?;
        let steps = &self.network.steps;
        self.walk(steps, delta, sink)?;
        Ok(())
    }

    fn walk(
        &mut self,
        steps: &'a [Step],
        mut delta: Maps,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Maps>, NetError> {
        for step in steps.iter().rev() {
            match self.back(step, delta, sink)? {
                Some(next) => delta = next,
                None => return Ok(None),
            }
        }
        Ok(Some(delta))
    }

    fn input(&mut self) -> Result<Maps, NetError> {
        match self.kept.pop() {
            Some(Kept::Input(maps)) => Ok(maps),
            _ => Err(lost()),
        }
    }

    fn back(
        &mut self,
        step: &'a Step,
        delta: Maps,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Maps>, NetError> {
        let next = match step {
            Step::Convolution(conv) => {
                let input = self.input()?;
                let layer = Layer::Convolution(fiun::layers::Convolution {
                    channels: conv.layer.channels,
                    kernel: conv.layer.kernel,
                    stride: conv.layer.stride,
                    padding: conv.layer.padding,
                    groups: 1,
                    size: input.size,
                });
                if !sink(tapped(&conv.name, layer, &input, &delta))? {
                    return Ok(None);
                }
                conv.layer
                    .backward(&delta, input.size, self.threads)
                    .map_err(backend)?
            }
            Step::Norm(norm) => {
                let input = self.input()?;
                let layer = Layer::Norm(fiun::layers::BatchNorm {
                    mean: &norm.layer.mean,
                    variance: &norm.layer.variance,
                    epsilon: super::EPSILON,
                });
                if !sink(tapped(&norm.name, layer, &input, &delta))? {
                    return Ok(None);
                }
                norm.layer.backward(delta)
            }
            Step::Linear(linear) => {
                let input = self.input()?;
                let layer = Layer::Linear(fiun::layers::Linear {
                    inputs: input.channels,
                    outputs: linear.layer.bias.len(),
                });
                if !sink(tapped(&linear.name, layer, &input, &delta))? {
                    return Ok(None);
                }
                linear.layer.backward(&delta).map_err(backend)?
            }
            Step::Relu => match self.kept.pop() {
                Some(Kept::Output(output)) => masked(delta, &output),
                _ => return Err(lost()),
            },
            Step::MaxPool(_) => match self.kept.pop() {
                Some(Kept::Places(places, input)) => {
                    pool::max_pool_backward(&delta, &places, &input)
                }
                _ => return Err(lost()),
            },
            Step::AveragePool(_) => pool::average_pool_backward(&delta, &self.input()?),
            Step::AverageWindows(side) => {
                pool::average_windows_backward(&delta, &self.input()?, *side)
            }
            Step::Dense(branch) => {
                let (mut through, made) = match self.kept.pop() {
                    Some(Kept::Channels(channels)) => parted(&delta, channels),
                    _ => return Err(lost()),
                };
                let Some(other) = self.walk(branch, made, sink)? else {
                    return Ok(None);
                };
                add(&mut through, &other, false);
                through
            }
            Step::Flatten => match self.kept.pop() {
                Some(Kept::Shape(size, channels)) => delta.unflattened(size, channels),
                _ => return Err(lost()),
            },
            Step::Residual { main, shortcut, .. } => {
                let Some(other) = self.walk(shortcut, delta.clone(), sink)? else {
                    return Ok(None);
                };
                let Some(mut sum) = self.walk(main, delta, sink)? else {
                    return Ok(None);
                };
                add(&mut sum, &other, false);
                sum
            }
        };
        Ok(Some(next))
    }
}

fn tapped<'a>(name: &'a str, layer: Layer<'a>, input: &'a Maps, delta: &'a Maps) -> Tapped<'a> {
    Tapped {
        name,
        layer,
        input,
        delta,
    }
}

fn lost() -> NetError {
    NetError::Backend("the backward pass does not fit the forward pass".into())
}

fn masked(mut delta: Maps, output: &Maps) -> Maps {
    for (delta, output) in delta.values.iter_mut().zip(&output.values) {
        if *output <= 0.0 {
            *delta = 0.0;
        }
    }
    delta
}

fn forward(
    steps: &[Step],
    mut maps: Maps,
    threads: usize,
    kept: &mut Vec<Kept>,
) -> Result<Maps, FisherError> {
    for step in steps {
        maps = match step {
            Step::Convolution(conv) => {
                let out = conv.layer.forward(&maps, threads)?;
                kept.push(Kept::Input(maps));
                out
            }
            Step::Norm(norm) => {
                let out = norm.layer.forward(maps.clone());
                kept.push(Kept::Input(maps));
                out
            }
            Step::Linear(linear) => {
                let out = linear.layer.forward(&maps, Threads::All)?;
                kept.push(Kept::Input(maps));
                out
            }
            Step::Relu => {
                let out = relu(maps);
                kept.push(Kept::Output(out.clone()));
                out
            }
            Step::MaxPool(window) => {
                let mut places = Vec::new();
                let out = pool::max_pool(&maps, *window, Some(&mut places));
                kept.push(Kept::Places(places, maps.with(Vec::new())));
                out
            }
            Step::AveragePool(grid) => {
                let out = pool::average_pool(&maps, *grid);
                kept.push(Kept::Input(maps.with(Vec::new())));
                out
            }
            Step::AverageWindows(side) => {
                let out = pool::average_windows(&maps, *side);
                kept.push(Kept::Input(maps.with(Vec::new())));
                out
            }
            Step::Dense(branch) => {
                let made = forward(branch, maps.clone(), threads, kept)?;
                kept.push(Kept::Channels(maps.channels));
                joined(&maps, &made)
            }
            Step::Flatten => {
                kept.push(Kept::Shape(maps.size, maps.channels));
                maps.flattened()
            }
            Step::Residual { main, shortcut, .. } => {
                let mut sum = forward(main, maps.clone(), threads, kept)?;
                let other = forward(shortcut, maps, threads, kept)?;
                add(&mut sum, &other, false);
                sum
            }
        };
    }
    Ok(maps)
}
