//! The speed of the whole network on the demonstration weights, at their own side and at 224, by set, threads and
//! batch.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use googlenet::{Model, Options, isa};

fn network(c: &mut Criterion) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/demo.safetensors");
    let model = Model::open(path).expect("the demonstration weights");
    for (side, threads, batch) in [(64, 1, 1), (224, 1, 1), (224, 2, 1), (224, 2, 8)] {
        let mut group = c.benchmark_group(format!("network/{side}px {threads} threads batch {batch}"));
        group.throughput(Throughput::Elements(batch as u64));
        group.sample_size(20);
        for isa in isa::detected() {
            let options = Options::new().side(side).threads(threads).batch(batch).isa(isa);
            let mut session = model.session(options).expect("a session");
            session.input_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (i as f32 * 0.1).sin());
            group.bench_function(isa.name(), |b| b.iter(|| session.run()));
        }
    }
}

criterion_group!(benches, network);
criterion_main!(benches);
