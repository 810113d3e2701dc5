//! A thread that calls what may block.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use crate::session::Failure;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread with something that it alone uses, outside of the application's runtime: Zenoh's calls wait, and refuse to in a
/// runtime of one thread. When this is dropped, it does what it was given and ends.
pub(crate) struct Worker<S>(mpsc::Sender<Job<S>>);

impl<S: 'static> Worker<S> {
    /// Starts a thread, and has it make what it will use.
    pub(crate) async fn start(
        name: &str,
        make: impl FnOnce() -> Result<S, Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let (made, made_it) = oneshot::channel();
        let work = move || {
            let mut state = match make() {
                Ok(state) => state,
                Err(failure) => {
                    // Whoever waited may be gone, here and below.
                    let _ = made.send(Err(failure));
                    return;
                }
            };
            let _ = made.send(Ok(()));
            queue.into_iter().for_each(|job| job(&mut state));
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).map_err(Failure::Threads)?;
        made_it.await.map_err(|_| Failure::Panicked)??;
        Ok(Self(jobs))
    }

    /// Runs a job behind those that were given before. It runs to its end even when nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (done, result) = oneshot::channel();
        let job = move |state: &mut S| {
            let _ = done.send(job(state));
        };
        self.0.send(Box::new(job)).map_err(|_| Failure::Panicked)?;
        result.await.map_err(|_| Failure::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_run_in_order_and_outlive_who_waits() {
        let worker = Worker::start("test", || Ok(Vec::new())).await.unwrap();
        for number in 0..100 {
            // Each is given when it is polled for the first time, and dropped at once.
            let job = worker.run(move |numbers: &mut Vec<i32>| numbers.push(number));
            let _ = tokio::time::timeout(std::time::Duration::ZERO, job).await;
        }
        let numbers = worker.run(|numbers| numbers.clone()).await.unwrap();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_job_that_panics_ends_the_thread_and_is_told() {
        let worker = Worker::start("test", || Ok(())).await.unwrap();
        let panicked = worker.run(|()| panic!("as a test of panics")).await;
        assert!(matches!(panicked, Err::<(), _>(Failure::Panicked)));
        assert!(matches!(worker.run(|()| ()).await, Err(Failure::Panicked)));
    }

    #[tokio::test]
    async fn what_cannot_be_made_is_told() {
        let refused = Worker::<()>::start("test", || Err(Failure::Settings("none".into()))).await;
        assert!(matches!(refused, Err(Failure::Settings(_))));
    }
}
