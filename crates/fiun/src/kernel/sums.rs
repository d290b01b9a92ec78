//! Sums of values, written so that they fill registers.

/// Sums beside each other: one alone waits for itself at every value.
const BESIDE: usize = 16;

/// The sum of `term` over values.
#[inline(always)]
pub fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; BESIDE];
    let (chunks, rest) = values.as_chunks::<BESIDE>();
    for chunk in chunks {
        let pairs = sums.iter_mut().zip(chunk);
        pairs.for_each(|(sum, value)| *sum += term(*value));
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| term(*value)).sum::<f32>()
}

/// The sum of the products of pairs.
#[inline(always)]
pub fn dot(values: &[f32], others: &[f32]) -> f32 {
    let mut sums = [0.0f32; BESIDE];
    let (chunks, rest) = values.as_chunks::<BESIDE>();
    let (other_chunks, other_rest) = others.as_chunks::<BESIDE>();
    for (chunk, other) in chunks.iter().zip(other_chunks) {
        let pairs = chunk.iter().zip(other);
        for (sum, (value, other)) in sums.iter_mut().zip(pairs) {
            *sum += value * other;
        }
    }
    let rest = rest.iter().zip(other_rest).map(|(a, b)| a * b);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_plain_loops() {
        for length in [0, 3, 16, 37] {
            let values: Vec<f32> = (0..length).map(|at| at as f32 - 5.0).collect();
            let squares: f32 = values.iter().map(|value| value * value).sum();
            assert_eq!(sum(&values, |value| value * value), squares);
            assert_eq!(dot(&values, &values), squares);
        }
    }
}
