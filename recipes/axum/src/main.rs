//! Pictures classified over HTTP: one session, fed by a bounded queue in batches. `recipes/README.md` says what is answered.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{env, error::Error, sync::Arc, thread};

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, body::Bytes};
use googlenet::{Model, Options, Prediction, Session, image, include_weights};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

/// How many pictures are taken from the queue at once, at most.
const BATCH: usize = 8;
/// The bytes of a picture's file, at most.
const LARGEST: usize = 16_000_000;

static WEIGHTS: &[u8] = include_weights!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../weights/demo.safetensors"));

/// What is answered when nobody takes pictures from the queue any more: only a fault ends the worker.
const ENDED: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "the worker has ended\n");

/// A picture that waits, and whom to tell.
struct Job {
    picture: Bytes,
    top: usize,
    answer: oneshot::Sender<googlenet::Result<Vec<Prediction>>>,
}

/// What handlers share.
struct Service {
    queue: mpsc::Sender<Job>,
    pictures: AtomicU64,
    bad_pictures: AtomicU64,
    refused: AtomicU64,
    batches: AtomicU64,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default = "five")]
    top: usize,
}

fn five() -> usize {
    5
}

/// Classifies what waits, for ever. All pictures of a batch are decoded at once, each by a thread.
fn work(mut session: Session, mut waiting: mpsc::Receiver<Job>, service: &Service) {
    while let Some(first) = waiting.blocking_recv() {
        let mut jobs = vec![first];
        jobs.extend(std::iter::from_fn(|| waiting.try_recv().ok()).take(BATCH - 1));
        service.batches.fetch_add(1, Relaxed);
        let decoded: Vec<_> = thread::scope(|scope| {
            let decode = |job: &Job| {
                let picture = job.picture.clone();
                scope.spawn(move || image::decode(&picture))
            };
            let threads: Vec<_> = jobs.iter().map(decode).collect();
            threads.into_iter().map(|thread| thread.join().expect("decoding does not panic")).collect()
        });
        for (job, picture) in jobs.into_iter().zip(decoded) {
            let found = picture.and_then(|picture| session.classify(picture.view(), job.top));
            // The client may have gone.
            let _ = job.answer.send(found);
        }
    }
}

async fn classify(State(service): State<Arc<Service>>, Query(Asked { top }): Query<Asked>, picture: Bytes) -> Response {
    if !(1..=1000).contains(&top) {
        return (StatusCode::UNPROCESSABLE_ENTITY, "top is 1 to 1000\n").into_response();
    }
    let (answer, told) = oneshot::channel();
    match service.queue.try_send(Job { picture, top, answer }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => {
            service.refused.fetch_add(1, Relaxed);
            return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], "the queue is full\n").into_response();
        }
        Err(TrySendError::Closed(_)) => return ENDED.into_response(),
    }
    match told.await {
        Ok(Ok(found)) => {
            service.pictures.fetch_add(1, Relaxed);
            let told =
                |one: Prediction| json!({"index": one.index, "label": one.label, "probability": one.probability});
            Json(json!({"predictions": found.into_iter().map(told).collect::<Vec<_>>()})).into_response()
        }
        Ok(Err(error)) => {
            service.bad_pictures.fetch_add(1, Relaxed);
            (StatusCode::BAD_REQUEST, Json(json!({"detail": error.to_string()}))).into_response()
        }
        Err(_) => ENDED.into_response(),
    }
}

async fn healthz(State(service): State<Arc<Service>>) -> Response {
    match service.queue.is_closed() {
        false => "ok\n".into_response(),
        true => ENDED.into_response(),
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let counters = [
        ("pictures", &service.pictures),
        ("bad_pictures", &service.bad_pictures),
        ("refused", &service.refused),
        ("batches", &service.batches),
    ];
    let mut text = String::new();
    for (name, count) in counters {
        let _ = writeln!(text, "# TYPE googlenet_{name}_total counter\ngooglenet_{name}_total {}", count.load(Relaxed));
    }
    let length = service.queue.max_capacity() - service.queue.capacity();
    let _ = writeln!(text, "# TYPE googlenet_queue_length gauge\ngooglenet_queue_length {length}");
    ([("content-type", "text/plain; version=0.0.4")], text)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let number = |name: &str, else_: usize| env::var(name).map_or(Ok(else_), |text| text.parse());
    let model = match env::var_os("GOOGLENET_WEIGHTS") {
        Some(path) => Model::open(path)?,
        None => Model::from_static(WEIGHTS)?,
    };
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(Options::MAX_THREADS));
    let session = model.session(Options::new().threads(threads))?;
    let (queue, waiting) = mpsc::channel(number("GOOGLENET_QUEUE", 64)?.max(1));
    let [pictures, bad_pictures, refused, batches] = [const { AtomicU64::new(0) }; 4];
    let service = Arc::new(Service { queue, pictures, bad_pictures, refused, batches });
    let own = service.clone();
    thread::spawn(move || work(session, waiting, &own));

    let app = Router::new()
        .route("/classify", post(classify).layer(DefaultBodyLimit::max(LARGEST)))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .with_state(service);
    let address = (env::var("HOST").unwrap_or("127.0.0.1".into()), u16::try_from(number("PORT", 8000)?)?);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_has_ended_is_no_full_queue() {
        let (queue, waiting) = mpsc::channel(1);
        let [pictures, bad_pictures, refused, batches] = [const { AtomicU64::new(0) }; 4];
        let service = State(Arc::new(Service { queue, pictures, bad_pictures, refused, batches }));
        let ask = || classify(service.clone(), Query(Asked { top: 1 }), Bytes::new());
        assert_eq!(healthz(service.clone()).await.status(), StatusCode::OK);
        // One picture waits, whose answer nobody waits for any more; the next one finds the queue full.
        service.queue.try_send(Job { picture: Bytes::new(), top: 1, answer: oneshot::channel().0 }).unwrap();
        assert_eq!(ask().await.headers()["retry-after"], "1");
        assert_eq!(service.refused.load(Relaxed), 1);

        drop(waiting);
        for answer in [healthz(service.clone()).await, ask().await] {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(!answer.headers().contains_key("retry-after"), "it does not pass");
        }
        assert_eq!(service.refused.load(Relaxed), 1);
    }
}
