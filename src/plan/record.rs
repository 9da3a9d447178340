//! What each thread does in a run, and when: written down by the thread itself, read between runs.
//!
//! Each thread has a track, a buffer for all that it can do in the runs that are recorded, which is reserved and touched
//! before they begin: a run allocates nothing. Of each thing a thread does only the end is written, one look at the clock:
//!
//! ```text
//! run begins   arrival     task        task     end of phase
//!     |-----------|-----------|-----------|-----------| ...
//!      not there                            waits
//! ```
//!
//! It began where the thing before it ended, so that what lies between two tasks, to claim the next, belongs to the next.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::Result;
use crate::error::SessionError;

/// What a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// It came to work on the run.
    Arrive,
    /// A task, by its index in its phase.
    Task(u32),
    /// It waited for a phase to end, if only for a moment.
    Wait,
    /// It copied out what is kept of an image.
    Keep,
}

/// The end of something that a thread did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Nanoseconds since the recording was made.
    pub end: u64,
    pub run: u32,
    pub image: u32,
    pub phase: u32,
    pub did: Did,
}

/// The tracks of a session's threads.
pub(super) struct Recording {
    epoch: Instant,
    /// Runs that have ended: when each began and ended, in nanoseconds since the epoch. It has room for as many as are
    /// recorded.
    runs: Vec<Range<u64>>,
    /// How many runs are recorded.
    limit: usize,
    /// When the run began that is recorded now, if one is.
    begun: Option<u64>,
    /// By thread. A thread holds its own as long as it is at work, so that nobody ever waits for one.
    tracks: Vec<Mutex<Vec<Event>>>,
}

impl Recording {
    /// A recording of the next `runs` runs of `threads` threads, of which each does at most `events` things in a run.
    ///
    /// # Errors
    /// If its memory cannot be had.
    pub(super) fn new(threads: usize, runs: usize, events: usize) -> Result<Self> {
        let len = runs.saturating_mul(events);
        let refused = SessionError::Memory { bytes: threads.saturating_mul(len).saturating_mul(size_of::<Event>()) };
        let mut times = Vec::new();
        let mut tracks = Vec::with_capacity(threads);
        let mut are_reserved = times.try_reserve_exact(runs).is_ok();
        for _ in 0..threads {
            let mut track: Vec<Event> = Vec::new();
            are_reserved = are_reserved && track.try_reserve_exact(len).is_ok();
            if !are_reserved {
                return Err(refused.into());
            }
            // Written once, so that no page of it is met for the first time in a run.
            track.resize(len, Event { end: 0, run: 0, image: 0, phase: 0, did: Did::Arrive });
            track.clear();
            tracks.push(Mutex::new(track));
        }
        Ok(Self { epoch: Instant::now(), runs: times, limit: runs, begun: None, tracks })
    }

    /// Begins a run. One that came to no end is forgotten.
    pub(super) fn begin(&mut self) {
        let next = self.runs.len() as u32;
        for track in &mut self.tracks {
            let track = track.get_mut().unwrap_or_else(PoisonError::into_inner);
            while track.last().is_some_and(|event| event.run == next) {
                track.pop();
            }
        }
        self.begun = (self.runs.len() < self.limit).then(|| since(self.epoch));
    }

    /// Ends a run.
    pub(super) fn end(&mut self) {
        if let Some(begin) = self.begun.take() {
            self.runs.push(begin..since(self.epoch));
        }
    }

    /// When each recorded run began and ended.
    pub(super) fn runs(&self) -> &[Range<u64>] {
        &self.runs
    }

    /// What each thread did in the recorded runs, in order.
    pub(super) fn tracks(&self) -> impl Iterator<Item = Vec<Event>> {
        let ended = |event: &Event| (event.run as usize) < self.runs.len();
        self.tracks.iter().map(move |track| lock(track).iter().copied().filter(ended).collect())
    }
}

/// A thread's pen, for the time that it works on a run. It writes to the thread's track if the run is recorded.
pub(super) struct Recorder<'a> {
    /// What times are counted from; none if nobody wants to know them.
    epoch: Option<Instant>,
    /// When the last thing ended.
    last: u64,
    run: u32,
    track: Option<MutexGuard<'a, Vec<Event>>>,
}

impl<'a> Recorder<'a> {
    /// That of the thread `index`, which comes to work now. Without a recording it only measures, and that if `measures`.
    pub(super) fn new(recording: Option<&'a Recording>, index: usize, measures: bool) -> Self {
        let recording = recording.filter(|recording| recording.begun.is_some());
        let epoch = recording.map(|recording| recording.epoch).or_else(|| measures.then(Instant::now));
        let run = recording.map_or(0, |recording| recording.runs.len() as u32);
        let track = recording.map(|recording| lock(&recording.tracks[index]));
        let mut recorder = Self { epoch, last: 0, run, track };
        recorder.note(0, 0, Did::Arrive);
        recorder
    }

    /// Writes down that the thread has just done something, and returns how long that took, in nanoseconds, or 0 if
    /// nobody wants to know.
    #[inline]
    pub(super) fn note(&mut self, image: usize, phase: usize, did: Did) -> u64 {
        let Some(epoch) = self.epoch else { return 0 };
        let end = since(epoch);
        let took = end - self.last;
        self.last = end;
        // There is room for all that a thread can do; were there none, it would be lost rather than allocated for.
        if let Some(track) = self.track.as_mut().filter(|track| track.len() < track.capacity()) {
            track.push(Event { end, run: self.run, image: image as u32, phase: phase as u32, did });
        }
        took
    }
}

fn lock(track: &Mutex<Vec<Event>>) -> MutexGuard<'_, Vec<Event>> {
    track.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds since `epoch`, of which 64 bits hold those of 584 years.
fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_runs_are_recorded_and_those_that_come_to_no_end_are_not() {
        let mut recording = Recording::new(2, 2, 3).expect("memory");
        let work = |recording: &Recording| {
            for index in 0..2 {
                let mut recorder = Recorder::new(Some(recording), index, false);
                recorder.note(7, 8, Did::Task(index as u32));
                recorder.note(7, 8, Did::Wait);
            }
        };
        for ends in [true, false, true, true] {
            recording.begin();
            work(&recording);
            if ends {
                recording.end();
            }
        }
        assert_eq!(recording.runs().len(), 2);
        assert!(recording.runs()[0].end <= recording.runs()[1].start);
        for (index, track) in recording.tracks().enumerate() {
            let runs: Vec<u32> = track.iter().map(|event| event.run).collect();
            assert_eq!(runs, [0, 0, 0, 1, 1, 1]);
            assert!(track.windows(2).all(|pair| pair[0].end <= pair[1].end), "{track:?}");
            let dids = [Did::Arrive, Did::Task(index as u32), Did::Wait];
            assert!(track.iter().zip(dids.iter().cycle()).all(|(event, &did)| event.did == did), "{track:?}");
            assert!(track.iter().filter(|event| event.did != Did::Arrive).all(|e| (e.image, e.phase) == (7, 8)));
        }
    }

    #[test]
    fn without_a_recording_time_is_measured_if_somebody_wants_to_know() {
        let mut recorder = Recorder::new(None, 0, false);
        assert_eq!((recorder.note(0, 0, Did::Wait), recorder.epoch), (0, None));
        let mut recorder = Recorder::new(None, 0, true);
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(recorder.note(0, 0, Did::Wait) >= 1_000_000 && recorder.track.is_none());
    }

    #[test]
    fn a_recording_that_no_memory_holds_is_refused() {
        assert!(Recording::new(2, usize::MAX, 3).is_err());
    }
}
