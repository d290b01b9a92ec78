//! Dealing a data set out over clients.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::set::DataSet;

/// How samples are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Partition {
    /// Every client's share has the same label proportions.
    Iid,
    /// Each label is dealt by proportions drawn from a symmetric Dirichlet distribution (Hsu et
    /// al., arXiv:1909.06335): the smaller the concentration, the more unequal the shares.
    Dirichlet {
        /// The concentration, above 0.
        concentration: f64,
    },
}

/// Deals `set` out over `clients`: for each client the indices of its samples, ascending. Every
/// sample goes to exactly one client; the same seed gives the same shares.
///
/// # Errors
/// [`DataError::Partition`] when there are no clients, more clients than samples, or the
/// concentration is no positive number.
pub fn partition(
    set: &DataSet,
    clients: usize,
    how: Partition,
    seed: u64,
) -> Result<Vec<Vec<usize>>, DataError> {
    if clients == 0 || clients > set.len() {
        return Err(DataError::Partition(format!(
            "{} samples cannot be shared by {clients} clients",
            set.len()
        )));
    }
    let gamma = match how {
        Partition::Iid => None,
        Partition::Dirichlet { concentration } => {
            Some(Gamma::new(concentration, 1.0).map_err(|_| {
                DataError::Partition(format!(
                    "the concentration must be a positive number, not {concentration}"
                ))
            })?)
        }
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut shares = vec![Vec::new(); clients];
    let mut turn = 0;
    for label in 0..set.label_names().len() as u32 {
        let mut indices: Vec<usize> = (0..set.len())
            .filter(|&i| set.labels()[i] == label)
            .collect();
        indices.shuffle(&mut rng);
        match &gamma {
            None => {
                // The turn goes on from label to label, so that no client gets every remainder.
                for index in indices {
                    shares[turn % clients].push(index);
                    turn += 1;
                }
            }
            Some(gamma) => {
                let weights: Vec<f64> = (0..clients).map(|_| gamma.sample(&mut rng)).collect();
                deal(&indices, &weights, &mut shares);
            }
        }
    }
    shares.iter_mut().for_each(|share| share.sort_unstable());
    Ok(shares)
}

fn deal(indices: &[usize], weights: &[f64], shares: &mut [Vec<usize>]) {
    let total: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let (mut cumulative, mut start) = (0.0, 0);
    for (client, weight) in weights.iter().enumerate() {
        cumulative += weight / total;
        let end = if client + 1 == weights.len() {
            indices.len()
        } else {
            ((cumulative * indices.len() as f64).round() as usize).clamp(start, indices.len())
        };
        shares[client].extend_from_slice(&indices[start..end]);
        start = end;
    }
}
