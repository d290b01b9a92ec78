//! The closed-form FIM against recorded PyTorch values, finite differences, and itself.

use fiun::{
    Dampening, Estimator, FisherError, FisherTensor, Matrix, dampen, head_fisher, linear, residuals,
};
use safetensors::SafeTensors;

struct Recorded {
    bytes: Vec<u8>,
}

impl Recorded {
    fn open() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/head_fisher.safetensors"
        );
        Self {
            bytes: std::fs::read(path).unwrap(),
        }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap();
        let word = |chunk: &[u8]| f32::from_le_bytes(chunk.try_into().unwrap());
        view.data().chunks_exact(4).map(word).collect()
    }

    fn matrix(&self, name: &str) -> Matrix {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let shape = file.tensor(name).unwrap().shape().to_vec();
        Matrix::new(shape[0], shape[1], self.floats(name)).unwrap()
    }

    fn labels(&self) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor("labels").unwrap();
        let word = |chunk: &[u8]| i64::from_le_bytes(chunk.try_into().unwrap()) as u32;
        view.data().chunks_exact(8).map(word).collect()
    }
}

fn values(tensor: &FisherTensor) -> Vec<f32> {
    tensor.entries().map(|entry| entry as f32).collect()
}

fn close(ours: &[f32], theirs: &[f32], relative: f64) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs
        .iter()
        .fold(0.0f64, |top, v| top.max(f64::from(v.abs())));
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let (a, b) = (f64::from(*a), f64::from(*b));
        // PyTorch's own gradients carry rounding; values a millionth of the largest are noise.
        let slack = relative * b.abs() + 1e-9 * largest;
        assert!((a - b).abs() <= slack, "{index}: {a} against {b}");
    }
}

#[test]
fn agrees_with_pytorch() {
    let recorded = Recorded::open();
    let (features, labels) = (recorded.matrix("features"), recorded.labels());
    let weight = recorded.matrix("weight");
    let logits = linear(features.view(), weight.view(), &recorded.floats("bias")).unwrap();
    close(logits.values(), &recorded.floats("logits"), 1e-4);

    let residuals = residuals(logits.view(), &labels, Estimator::Empirical).unwrap();
    let fisher =
        |estimator| head_fisher(features.view(), residuals.view(), &labels, 5, estimator).unwrap();
    let empirical = fisher(Estimator::Empirical);
    close(
        &values(&empirical.total.weight),
        &recorded.floats("total.weight"),
        1e-4,
    );
    close(
        &values(&empirical.total.bias),
        &recorded.floats("total.bias"),
        1e-4,
    );
    for class in 0..5 {
        let own = empirical.of_classes(&[class]).unwrap();
        close(
            &values(&own.weight),
            &recorded.floats(&format!("class{class}.weight")),
            1e-4,
        );
        close(
            &values(&own.bias),
            &recorded.floats(&format!("class{class}.bias")),
            1e-4,
        );
    }
    let batch = fisher(Estimator::Batch { size: 4 });
    close(
        &values(&batch.total.weight),
        &recorded.floats("batch.weight"),
        1e-4,
    );
    close(
        &values(&batch.total.bias),
        &recorded.floats("batch.bias"),
        1e-4,
    );
    assert!(
        batch.total.mean() < empirical.total.mean(),
        "a batch's mean hides its samples"
    );
}

/// The loss in double precision.
fn loss(weight: &[f64], bias: &[f64], features: &[f32], label: usize) -> f64 {
    let inputs = features.len();
    let logits: Vec<f64> = bias
        .iter()
        .enumerate()
        .map(|(k, b)| {
            let row = &weight[k * inputs..(k + 1) * inputs];
            b + row
                .iter()
                .zip(features)
                .map(|(w, h)| w * f64::from(*h))
                .sum::<f64>()
        })
        .collect();
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logits.iter().map(|z| (z - top).exp()).sum::<f64>().ln() - logits[label]
}

#[test]
fn agrees_with_finite_differences() {
    let recorded = Recorded::open();
    let (features, labels) = (recorded.matrix("features"), recorded.labels());
    let weight: Vec<f64> = recorded
        .floats("weight")
        .into_iter()
        .map(f64::from)
        .collect();
    let bias: Vec<f64> = recorded.floats("bias").into_iter().map(f64::from).collect();
    let samples = features.rows();
    let step = 1e-4;
    let square = |index: usize, of_bias: bool| -> f64 {
        let slope = |sample: usize| {
            let at = |delta: f64| {
                let (mut w, mut b) = (weight.clone(), bias.clone());
                if of_bias {
                    b[index] += delta;
                } else {
                    w[index] += delta;
                }
                loss(&w, &b, features.view().row(sample), labels[sample] as usize)
            };
            (at(step) - at(-step)) / (2.0 * step)
        };
        (0..samples)
            .map(|sample| slope(sample).powi(2))
            .sum::<f64>()
            / samples as f64
    };
    let logits = recorded.matrix("logits");
    let residuals = residuals(logits.view(), &labels, Estimator::Empirical).unwrap();
    let fisher = head_fisher(
        features.view(),
        residuals.view(),
        &labels,
        5,
        Estimator::Empirical,
    )
    .unwrap();
    let ours = &values(&fisher.total.weight);
    let numeric: Vec<f32> = (0..ours.len()).map(|i| square(i, false) as f32).collect();
    close(ours, &numeric, 1e-4);
    let numeric: Vec<f32> = (0..bias.len()).map(|i| square(i, true) as f32).collect();
    close(&values(&fisher.total.bias), &numeric, 1e-4);
}

#[test]
fn unions_and_totals_are_weighted_means() {
    let recorded = Recorded::open();
    let (features, labels) = (recorded.matrix("features"), recorded.labels());
    let residuals = residuals(
        recorded.matrix("logits").view(),
        &labels,
        Estimator::Empirical,
    )
    .unwrap();
    let fisher = head_fisher(
        features.view(),
        residuals.view(),
        &labels,
        6,
        Estimator::Empirical,
    )
    .unwrap();
    assert_eq!(fisher.counts.iter().sum::<u64>(), labels.len() as u64);
    let all = fisher.of_classes(&[0, 1, 2, 3, 4, 5]).unwrap();
    close(&values(&all.weight), &values(&fisher.total.weight), 1e-6);

    let kept: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] != 2).collect();
    let kept_labels: Vec<u32> = kept.iter().map(|&i| labels[i]).collect();
    let without = head_fisher(
        features.select_rows(&kept).view(),
        residuals.select_rows(&kept).view(),
        &kept_labels,
        6,
        Estimator::Empirical,
    )
    .unwrap();
    let derived = fisher.without_classes(&[2]).unwrap();
    close(
        &values(&derived.weight),
        &values(&without.total.weight),
        1e-6,
    );

    assert!(matches!(
        fisher.of_classes(&[5]),
        Err(FisherError::NoSamples(_))
    ));
    assert!(matches!(
        fisher.of_classes(&[6]),
        Err(FisherError::Label { .. })
    ));
}

#[test]
fn bad_numbers_are_named() {
    let good = Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let bad = Matrix::new(2, 2, vec![1.0, 2.0, f32::NAN, 4.0]).unwrap();
    let run = |features: &Matrix, residuals: &Matrix, labels: &[u32]| {
        head_fisher(
            features.view(),
            residuals.view(),
            labels,
            2,
            Estimator::Empirical,
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        run(&bad, &good, &[0, 1]),
        "the features holds NaN at sample 1"
    );
    assert_eq!(
        run(&good, &bad, &[0, 1]),
        "the residuals holds NaN at sample 1"
    );
    assert_eq!(
        run(&good, &good, &[0, 2]),
        "sample 1 has label 2, but there are 2 classes"
    );
    assert!(run(&good, &good, &[0]).contains("label list"));
    let empty = Matrix::zeros(0, 2);
    assert!(run(&empty, &empty, &[]).contains("no samples"));
    assert!(residuals(bad.view(), &[0, 1], Estimator::Empirical).is_err());
}

/// Sums over a million samples agree with double precision throughout.
#[test]
fn a_million_samples_lose_no_digits() {
    let (samples, inputs, outputs) = (1_000_000, 3, 2);
    let value = |n: usize, k: usize| {
        let wave = ((n * 7919 + k * 104_729) % 65_521) as f32 / 65_521.0;
        // From one sample to the next over four orders of magnitude.
        wave * if n.is_multiple_of(7) { 1e4 } else { 1.0 }
    };
    let matrix = |cols: usize, phase: usize| {
        let values = (0..samples * cols).map(|i| value(i / cols, i % cols + phase));
        Matrix::new(samples, cols, values.collect()).unwrap()
    };
    let (features, residuals) = (matrix(inputs, 0), matrix(outputs, 5));
    let labels = vec![0; samples];
    let fisher = head_fisher(
        features.view(),
        residuals.view(),
        &labels,
        1,
        Estimator::Empirical,
    )
    .unwrap();
    let mut expected = vec![0.0f64; outputs * inputs];
    for n in 0..samples {
        for (k, r) in residuals.view().row(n).iter().enumerate() {
            for (j, h) in features.view().row(n).iter().enumerate() {
                expected[k * inputs + j] += (f64::from(*r) * f64::from(*h)).powi(2);
            }
        }
    }
    for (ours, sum) in fisher.total.weight.entries().zip(expected) {
        let mean = sum / samples as f64;
        assert!((ours - mean).abs() <= 1e-5 * mean, "{ours} {mean}");
    }
}

/// Predictions that are sure by 80 logits have residuals whose squares single precision cannot
/// hold. Selection must still see which of two is larger.
#[test]
fn sure_predictions_are_selected_as_in_double_precision() {
    let features = Matrix::new(4, 2, vec![1.0, 2.0, 0.5, 1.0, 3.0, 0.1, 0.2, 2.0]).unwrap();
    // The two forget samples are a little less sure than the two others.
    let logits = vec![
        40.0, -38.0, -36.0, 40.0, -39.0, -40.0, 40.0, -40.0, -40.0, 40.0, -39.9, -38.0,
    ];
    let logits = Matrix::new(4, 3, logits).unwrap();
    let labels = [0, 0, 1, 1];
    // Rows of the second class are labelled 0 too in the head: its samples are right as well.
    let rows = [0, 0, 0, 0];
    let residuals = residuals(logits.view(), &rows, Estimator::Empirical).unwrap();
    assert!(residuals.values().iter().all(|r| r * r == 0.0));
    let fisher = head_fisher(
        features.view(),
        residuals.view(),
        &labels,
        2,
        Estimator::Empirical,
    )
    .unwrap();
    let forget = fisher.of_classes(&[0]).unwrap();
    // The same in double precision, straight from the definition.
    let gradient = |n: usize, k: usize, j: usize| -> f64 {
        let z = logits.view().row(n);
        let e: Vec<f64> = z.iter().map(|z| (f64::from(*z) - 40.0).exp()).collect();
        let sum: f64 = e.iter().sum();
        let r = if k == 0 {
            -(e[1] + e[2]) / sum
        } else {
            e[k] / sum
        };
        r * f64::from(features.view().row(n)[j])
    };
    let mean = |samples: &[usize], k: usize, j: usize| -> f64 {
        let squares = samples.iter().map(|&n| gradient(n, k, j).powi(2));
        squares.sum::<f64>() / samples.len() as f64
    };
    let mut selected = 0;
    for alpha in [1.0, 1.5, 1.9, 2.5] {
        let theta = [1.0f32; 6];
        let mut out = theta;
        let dampening = Dampening::new(alpha, 1.0).unwrap();
        let total = &fisher.total.weight;
        let done = dampen(&theta, &forget.weight, total, dampening, &mut out).unwrap();
        selected += done.selected;
        for k in 0..3 {
            for j in 0..2 {
                let (f, o) = (mean(&[0, 1], k, j), mean(&[0, 1, 2, 3], k, j));
                let factor = if f > alpha * o { (o / f).min(1.0) } else { 1.0 };
                let ours = f64::from(out[k * 2 + j]);
                assert!(
                    (ours - factor).abs() < 1e-5,
                    "{alpha} {k} {j}: {ours} {factor}"
                );
            }
        }
    }
    assert!(selected > 0);
}
