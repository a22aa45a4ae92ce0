//! How long each layer takes: compare ratios to `bare` in one run; absolute times differ from machine to machine.
#![allow(clippy::disallowed_methods, reason = "a bench reads real time")]

use std::time::Instant;

use buttress_peers::{Measure, rows, runtime};
use criterion::{Criterion, criterion_group, criterion_main};

struct Times<'a>(&'a mut Criterion);

impl Measure for Times<'_> {
    fn row(&mut self, name: &str, mut calls: impl AsyncFnMut(u64)) {
        let runtime = runtime();
        self.0.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                // Tokio's budget would add a trip through the scheduler every so many calls.
                runtime.block_on(tokio::task::unconstrained(async {
                    let start = Instant::now();
                    calls(times).await;
                    start.elapsed()
                }))
            });
        });
    }
}

fn layers(criterion: &mut Criterion) {
    rows(&mut Times(criterion));
}

criterion_group!(benches, layers);
criterion_main!(benches);
