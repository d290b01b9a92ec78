//! Pooling.

use super::maps::Maps;

/// The largest value of each window, and where it was: indices into the sample.
pub(crate) fn max_pool(
    input: &Maps,
    [kernel, stride, padding]: [usize; 3],
    mut places: Option<&mut Vec<u32>>,
) -> Maps {
    let side = |side: usize| (side + 2 * padding).saturating_sub(kernel) / stride + 1;
    let [height, width] = input.size;
    let size = [side(height), side(width)];
    let channels = input.channels;
    let mut out = Maps::zeros(input.samples, size, channels);
    out.values.fill(f32::NEG_INFINITY);
    if let Some(places) = places.as_deref_mut() {
        places.resize(out.values.len(), 0);
    }
    let (from, to) = (input.per_sample(), out.per_sample());
    for sample in 0..input.samples {
        let source = &input.values[sample * from..(sample + 1) * from];
        for y in 0..size[0] {
            for x in 0..size[1] {
                let start = sample * to + (y * size[1] + x) * channels;
                let best = &mut out.values[start..start + channels];
                let window = |place: usize, side: usize| {
                    let first = (place * stride).saturating_sub(padding);
                    first..(place * stride + kernel).saturating_sub(padding).min(side)
                };
                for row in window(y, height) {
                    for col in window(x, width) {
                        let at = (row * width + col) * channels;
                        let values = &source[at..at + channels];
                        match places.as_deref_mut() {
                            None => {
                                for (best, value) in best.iter_mut().zip(values) {
                                    *best = best.max(*value);
                                }
                            }
                            Some(places) => {
                                let places = &mut places[start..start + channels];
                                for (c, value) in values.iter().enumerate() {
                                    if *value > best[c] {
                                        best[c] = *value;
                                        places[c] = (at + c) as u32;
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

/// Every gradient goes to where the largest value was.
pub(crate) fn max_pool_backward(delta: &Maps, places: &[u32], input: &Maps) -> Maps {
    let mut out = Maps::zeros(delta.samples, input.size, input.channels);
    let (from, to) = (out.per_sample().max(1), delta.per_sample().max(1));
    let samples = out.values.chunks_exact_mut(from);
    for ((out, delta), places) in samples
        .zip(delta.values.chunks_exact(to))
        .zip(places.chunks_exact(to))
    {
        for (value, place) in delta.iter().zip(places) {
            out[*place as usize] += value;
        }
    }
    out
}

/// The windows of an adaptive pooling along one side: PyTorch's.
fn window(place: usize, side: usize, grid: usize) -> std::ops::Range<usize> {
    place * side / grid..((place + 1) * side).div_ceil(grid)
}

/// The mean over a grid of windows.
pub(crate) fn average_pool(input: &Maps, grid: usize) -> Maps {
    let mut out = Maps::zeros(input.samples, [grid, grid], input.channels);
    visit(input, grid, |from, to, share| {
        for c in 0..input.channels {
            out.values[to + c] += share * input.values[from + c];
        }
    });
    out
}

/// Every gradient is shared out over its window.
pub(crate) fn average_pool_backward(delta: &Maps, input: &Maps) -> Maps {
    let mut out = Maps::zeros(delta.samples, input.size, input.channels);
    visit(input, delta.size[0], |from, to, share| {
        for c in 0..delta.channels {
            out.values[from + c] += share * delta.values[to + c];
        }
    });
    out
}

/// The mean over square windows that lie side by side; what fills no window is left out.
pub(crate) fn average_windows(input: &Maps, side: usize) -> Maps {
    let size = input.size.map(|length| length / side);
    let mut out = Maps::zeros(input.samples, size, input.channels);
    visit_windows(input, side, |from, to, share| {
        for c in 0..input.channels {
            out.values[to + c] += share * input.values[from + c];
        }
    });
    out
}

/// Every gradient is shared out over its window.
pub(crate) fn average_windows_backward(delta: &Maps, input: &Maps, side: usize) -> Maps {
    let mut out = Maps::zeros(delta.samples, input.size, input.channels);
    visit_windows(input, side, |from, to, share| {
        for c in 0..delta.channels {
            out.values[from + c] += share * delta.values[to + c];
        }
    });
    out
}

fn visit_windows(input: &Maps, side: usize, mut pair: impl FnMut(usize, usize, f32)) {
    let [height, width] = input.size;
    let [rows, cols] = [height / side, width / side];
    let share = 1.0 / (side * side) as f32;
    for sample in 0..input.samples {
        for y in 0..rows * side {
            for x in 0..cols * side {
                let from = ((sample * height + y) * width + x) * input.channels;
                let to = ((sample * rows + y / side) * cols + x / side) * input.channels;
                pair(from, to, share);
            }
        }
    }
}

/// Every pair of an input place and a grid place that it counts for, with its share.
fn visit(input: &Maps, grid: usize, mut pair: impl FnMut(usize, usize, f32)) {
    let [height, width] = input.size;
    for sample in 0..input.samples {
        for y in 0..grid {
            for x in 0..grid {
                let (rows, cols) = (window(y, height, grid), window(x, width, grid));
                let share = 1.0 / (rows.len() * cols.len()) as f32;
                let to = ((sample * grid + y) * grid + x) * input.channels;
                for row in rows {
                    for col in cols.clone() {
                        let from = ((sample * height + row) * width + col) * input.channels;
                        pair(from, to, share);
                    }
                }
            }
        }
    }
}
