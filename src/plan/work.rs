//! What the threads of a session do in a run: tasks of the schedule on memory of their own.
//!
//! There are two ways to share work. With fewer images than threads, all threads work on each image in turn, phase by
//! phase. Otherwise each thread takes whole images, with an arena of its own and no other thread to wait for. Both compute
//! every sum in the same order, so the results have the same bits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::memory::{Arena, Operands, Walk};
use super::packing::Held;
use super::record::{Did, Recorder, Recording};
use super::schedule::Schedule;
use super::threads::Job;
use crate::Result;
use crate::aligned::{AlignedBytes, try_zeros};
use crate::error::SessionError;

/// What the threads share.
pub(super) struct Work {
    pub schedule: Arc<Schedule>,
    /// By step.
    pub weights: Vec<Held>,
    pub batch: usize,
    /// `[batch, c, h, w]`.
    pub input: Vec<f32>,
    /// By place that is kept: what each image leaves there, `[batch, channels, h, w]`.
    pub outputs: Vec<Mutex<Vec<f32>>>,
    /// Nanoseconds by step, summed over threads and runs; only when asked for.
    pub profile: Option<Vec<AtomicU64>>,
    /// What each thread does in the next runs; only when asked for.
    pub recording: Option<Recording>,
    /// The arena of all threads, if they share each image.
    shared: Option<Arena>,
    /// The next image, if each thread takes whole ones; the image at hand, if they share each.
    next: AtomicUsize,
    /// Images whose outputs are there.
    done: AtomicUsize,
}

/// A thread's own memory.
pub(super) struct Worker {
    /// Which of the session's threads it is.
    index: usize,
    scratch: AlignedBytes,
    /// If it takes whole images.
    arena: Option<Arena>,
}

/// So many values of a session's own.
///
/// # Errors
/// If their memory cannot be had.
pub(super) fn zeros(len: usize) -> Result<Vec<f32>> {
    try_zeros(len).map_err(|_| SessionError::Memory { bytes: len.saturating_mul(size_of::<f32>()) }.into())
}

impl Work {
    /// Work on batches of `batch` images, whose outputs are as long as `outputs`; with `shares_images` all threads work on
    /// each image.
    pub(super) fn new(
        schedule: Arc<Schedule>,
        weights: Vec<Held>,
        outputs: &[Vec<f32>],
        batch: usize,
        shares_images: bool,
        profile: bool,
    ) -> Result<Self> {
        let output = |output: &Vec<f32>| zeros(output.len()).map(Mutex::new);
        let profile = profile.then(|| schedule.steps.iter().map(|_| AtomicU64::new(0)).collect());
        Ok(Self {
            input: zeros(batch * schedule.graph.activations[0].len())?,
            outputs: outputs.iter().map(output).collect::<Result<_>>()?,
            shared: shares_images.then(|| Arena::new(schedule.accesses.clone())).transpose()?,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            schedule,
            weights,
            batch,
            profile,
            recording: None,
        })
    }

    /// Whether all threads work on each image.
    pub(super) fn shares_images(&self) -> bool {
        self.shared.is_some()
    }

    /// How often the threads are called for a run: once, or once an image if they share each.
    pub(super) fn rounds(&self) -> usize {
        if self.shares_images() { self.batch } else { 1 }
    }

    /// Prepares the next of these calls.
    pub(super) fn begin(&mut self, round: usize) {
        if round == 0 {
            // A run that unwound did not end, and what it did must not count in this one, where an image may be lost.
            *self.done.get_mut() = 0;
            self.recording.iter_mut().for_each(Recording::begin);
        }
        *self.next.get_mut() = round;
        self.shared.iter_mut().for_each(Arena::rewind);
    }

    /// Ends a run.
    ///
    /// # Panics
    /// If an image was lost: a lent thread panicked, and its lender caught that.
    pub(super) fn end(&mut self) {
        let done = std::mem::take(self.done.get_mut());
        assert_eq!(done, self.batch, "a thread of this run panicked");
        self.recording.iter_mut().for_each(Recording::end);
    }

    /// The most that one thread can do in a run, all that is recorded of it counted: every task, and on the way through the
    /// phases, which a lent thread may go twice, their ends, its arrival, and what it keeps.
    pub(super) fn most_events(&self) -> usize {
        let phases = &self.schedule.tasks;
        let tasks: usize = phases.iter().map(Vec::len).sum();
        self.batch.saturating_mul(tasks + 2 * (phases.len() + 1) + 1)
    }

    fn input(&self, image: usize) -> &[u8] {
        let len = self.input.len() / self.batch;
        bytemuck::cast_slice(&self.input[image * len..][..len])
    }

    /// Copies what is kept of an image out of the arena. Threads that take whole images come here at different times;
    /// where two meet, one waits while the other copies.
    fn keep(&self, image: usize, arena: &[u8]) {
        for (output, kept) in self.outputs.iter().zip(&self.schedule.kept) {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            kept.read(arena, &mut output[image * kept.len()..][..kept.len()]);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread at work on an image.
struct Walker<'a> {
    work: &'a Work,
    scratch: &'a mut [u8],
    image: usize,
    recorder: Recorder<'a>,
}

impl Walk for Walker<'_> {
    fn task(&mut self, phase: usize, index: usize, operands: Operands<'_>) {
        let Work { schedule, weights, profile, .. } = self.work;
        let task = &schedule.tasks[phase][index];
        schedule.steps[task.step].step.run(&task.part, weights[task.step].view(), operands, self.scratch);
        let nanoseconds = self.recorder.note(self.image, phase, Did::Task(index as u32));
        if let Some(profile) = profile {
            profile[task.step].fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    fn waited(&mut self, phase: usize) {
        self.recorder.note(self.image, phase, Did::Wait);
    }

    fn finish(&mut self, arena: &[u8]) {
        self.work.keep(self.image, arena);
        self.recorder.note(self.image, self.work.schedule.tasks.len() - 1, Did::Keep);
    }
}

impl Job for Work {
    type Worker = Worker;

    fn worker(&self, index: usize) -> Result<Worker> {
        let arena = (!self.shares_images()).then(|| Arena::new(self.schedule.accesses.clone())).transpose()?;
        let bytes = self.schedule.scratch_bytes;
        let scratch = AlignedBytes::try_zeroed(bytes).map_err(|_| SessionError::Memory { bytes })?;
        Ok(Worker { index, scratch, arena })
    }

    fn work(&self, Worker { index, scratch, arena }: &mut Worker) {
        let recorder = Recorder::new(self.recording.as_ref(), *index, self.profile.is_some());
        let image = self.next.load(Ordering::Relaxed);
        let mut walker = Walker { work: self, scratch, image, recorder };
        match (&self.shared, arena) {
            (Some(arena), _) => arena.run(self.input(image), &mut walker),
            (None, Some(arena)) => {
                let claim = || Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|&image| image < self.batch);
                while let Some(image) = claim() {
                    walker.image = image;
                    arena.run_alone(self.input(image), &mut walker);
                }
            }
            (None, None) => unreachable!("a worker without a shared arena has its own"),
        }
    }
}
