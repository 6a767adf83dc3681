//! Random draws that give the same values on every machine.

use arrow::{array::ArrayRef, datatypes::SchemaRef, record_batch::RecordBatch};
use lakebed_types::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

/// A source of random values. Integers are drawn with fixed widths, because `usize` is not the same everywhere.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// An integer from 0 to `end - 1`; 0 if there is none.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end.max(1))
    }

    /// A number from 0 up to, not including, 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of the choices, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// One of the choices, the first ones more often: the n-th of k has a share of about (k - n)^2.
    pub(super) fn pick_early<T: Copy>(&mut self, choices: &[T]) -> T {
        let unit = self.unit().max(self.unit()).max(self.unit());
        let place = ((1.0 - unit) * choices.len() as f64) as usize;
        choices[place.min(choices.len() - 1)]
    }

    pub(super) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let value: f64 = StandardNormal.sample(&mut self.0);
        round(mean + deviation * value)
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        let value: f64 = Exp1.sample(&mut self.0);
        round(mean * value)
    }
}

/// Six decimals: so many that the last bits, in which the logarithms of two machines may differ, do not show.
pub(super) fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

pub(super) fn record_batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns)
        .map_err(|cause| Error::internal("generated rows do not fit").with_source(cause))
}
