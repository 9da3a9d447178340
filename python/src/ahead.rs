//! Many pictures: threads decode and prepare them ahead, in the order in which an iterable gives them.
//!
//! ```text
//! iterable --Source::of--> jobs --threads: decode, prepare--> done --in order, a batch at a time: run--> results
//! ```
//!
//! The iterable is asked by the thread that asks for results, and only for as many pictures as a batch, the next batch and
//! the threads that decode need. Where there is one thread to run it also decodes, a batch at a time, and no other is started:
//! who has one CPU of many, as a worker of a cluster, takes no other worker's.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::errors::{Error, OrRaise, exception};
use crate::picture::Source;

/// What predictions keep of what they were asked about, to show it: the picture, as it was handed in, or its path.
pub type Kept = Option<Py<PyAny>>;

/// What came of one picture.
pub type Made = PyResult<Py<PyAny>>;

/// How a picture is prepared.
type Prepare<T> = Arc<dyn Fn(Source) -> googlenet::Result<T> + Send + Sync>;

/// What pictures are run by.
pub trait Runner: Send + Sync + 'static {
    /// A picture that is ready to run.
    type Prepared: Send + 'static;

    /// The right to run, which one call at a time has.
    type Claim<'a>
    where
        Self: 'a;

    /// The function that makes pictures ready, on any thread.
    fn prepare(&self) -> Prepare<Self::Prepared>;

    /// How many pictures are run at once.
    fn batch(&self) -> usize;

    /// How many threads run, and how many prepare pictures meanwhile if there are several.
    fn threads(&self) -> usize;

    /// The right to run, or an exception if another call has it.
    fn claim(&self) -> PyResult<Self::Claim<'_>>;

    /// Runs at most a batch of pictures, and returns what came of each.
    fn run(
        &self,
        py: Python<'_>,
        claim: &mut Self::Claim<'_>,
        prepared: Vec<Self::Prepared>,
        kept: Vec<Kept>,
    ) -> PyResult<Vec<Made>>;

    /// The exception for what is neither a picture nor an iterable.
    fn unusable(&self, x: &Bound<'_, PyAny>) -> PyErr;

    /// Shows the collector of cycles what this holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// Results, one after the other.
#[pyclass(frozen, module = "googlenet")]
pub struct Results(Mutex<Box<dyn Flowing>>);

#[pymethods]
impl Results {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.0.try_lock() {
            Ok(mut flow) => flow.next(py),
            Err(_) => Err(Error::new_err("results are in use by another call")),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What is in use is no garbage.
        self.0.try_lock().map_or(Ok(()), |flow| flow.traverse(&visit))
    }

    fn __clear__(&self) {
        if let Ok(mut flow) = self.0.try_lock() {
            flow.clear();
        }
    }
}

impl Results {
    /// Whether the results of `x` would be a list: it is a list, a tuple or an array of pictures, which are all at hand.
    pub fn are_listed(x: &Bound<'_, PyAny>) -> bool {
        let batch = || x.cast::<PyUntypedArray>().is_ok_and(|array| array.ndim() == 4);
        x.is_instance_of::<PyList>() || x.is_instance_of::<PyTuple>() || batch()
    }

    /// The result of the picture `x`, a list of those of the list, tuple or array `x` of pictures, or an iterator over those of
    /// another iterable. `errors` says whether pictures that cannot be used raise.
    ///
    /// Of what is at hand the whole call has the right to run: whether another thread's call is refused does not depend on when
    /// it comes. An iterator has it while it computes a batch.
    pub fn of<'py, R: Runner>(
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        runner: R,
        errors: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let returns_errors = match errors {
            "raise" => false,
            "return" => true,
            _ => return Err(PyValueError::new_err(format!("errors is {errors:?}, expected \"raise\" or \"return\""))),
        };
        if let Some(source) = Source::of(x)? {
            let mut claim = runner.claim()?;
            let (name, prepare) = (source.name(), runner.prepare());
            let prepared = py.detach(|| prepare(source)).or_raise(&name)?;
            let made = runner.run(py, &mut claim, vec![prepared], vec![Some(x.clone().unbind())])?;
            return Ok(made.into_iter().next().expect("one for each picture")?.into_bound(py));
        }
        let Ok(items) = x.try_iter() else { return Err(runner.unusable(x)) };
        let (at_hand, runner) = (Self::are_listed(x), Arc::new(runner));
        if !at_hand {
            let flow = Flow::new(items, runner, returns_errors, at_hand)?;
            return Ok(Bound::new(py, Results(Mutex::new(Box::new(flow))))?.into_any());
        }
        let mut claim = runner.claim()?;
        let mut flow = Flow::new(items, runner.clone(), returns_errors, at_hand)?;
        let results = PyList::empty(py);
        while let Some(result) = flow.advance(py, Some(&mut claim))? {
            results.append(result)?;
        }
        Ok(results.into_any())
    }
}

/// A flow of results, whatever they are of.
trait Flowing: Send {
    /// The next result, if there is one.
    fn next(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>>;

    /// Shows the collector of cycles what this holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;

    /// Lets go of all that could be part of a cycle; no result follows.
    fn clear(&mut self);
}

/// An iterable's pictures on their way.
struct Flow<R: Runner> {
    runner: Arc<R>,
    /// Where pictures come from; `None` at their end.
    items: Option<Py<PyIterator>>,
    /// What the iterable raised at its end.
    raised: Option<PyErr>,
    returns_errors: bool,
    /// Whether the caller has all pictures in memory anyway, so that results may keep them.
    at_hand: bool,
    /// How many pictures are on their way at most.
    window: usize,
    /// How many pictures were read.
    read: usize,
    /// What prepares pictures.
    jobs: Jobs<R::Prepared>,
    /// What is done and not yet asked for, by number.
    waiting: BTreeMap<usize, Outcome<R::Prepared>>,
    /// The pictures whose results are not there, in order.
    pending: VecDeque<Pending>,
    /// Results that were not asked for yet.
    ready: VecDeque<Made>,
}

/// What came of preparing a picture; `None` stands for a panic.
type Outcome<T> = Option<googlenet::Result<T>>;

/// Who prepares pictures.
enum Jobs<T> {
    /// The thread that asks for results, when a picture's turn comes.
    Own(Prepare<T>, VecDeque<(usize, Source)>),
    /// Threads, which live as long as this.
    Others(Decoders<T>),
}

/// Threads that prepare pictures.
struct Decoders<T> {
    /// Where they take pictures from.
    jobs: Sender<(usize, Source)>,
    /// Where they put what came of them.
    done: Receiver<(usize, Outcome<T>)>,
    /// The process in which they are.
    process: u32,
}

/// A picture on its way.
enum Pending {
    /// It is being prepared.
    Job { number: usize, name: String, kept: Kept },
    /// It is none.
    Bad(PyErr),
}

impl<R: Runner> Flow<R> {
    fn new(items: Bound<'_, PyIterator>, runner: Arc<R>, returns_errors: bool, at_hand: bool) -> PyResult<Self> {
        let (batch, threads, prepare) = (runner.batch(), runner.threads(), runner.prepare());
        let (jobs, ahead) = match threads {
            1 => (Jobs::Own(prepare, VecDeque::new()), 0),
            _ => (Jobs::Others(Decoders::new(threads, &prepare)?), batch.min(MOST_AHEAD) + threads),
        };
        Ok(Self {
            runner,
            items: Some(items.unbind()),
            raised: None,
            returns_errors,
            at_hand,
            window: batch + ahead,
            read: 0,
            jobs,
            waiting: BTreeMap::new(),
            pending: VecDeque::new(),
            ready: VecDeque::new(),
        })
    }

    /// Reads pictures until the window is full.
    fn fill(&mut self, py: Python<'_>) {
        while self.pending.len() < self.window {
            let Some(items) = &self.items else { return };
            match items.bind(py).clone().next() {
                None => self.items = None,
                Some(Err(raised)) => {
                    self.items = None;
                    self.raised = Some(raised);
                }
                Some(Ok(item)) => {
                    let pending = self.begin(&item);
                    self.pending.push_back(pending);
                    self.read += 1;
                }
            }
        }
    }

    /// Hands a picture to who prepares it.
    fn begin(&mut self, item: &Bound<'_, PyAny>) -> Pending {
        let number = self.read;
        let source = match Source::of(item) {
            Ok(Some(source)) => source,
            Ok(None) => return Pending::Bad(at(item.py(), number, self.runner.unusable(item))),
            Err(error) => return Pending::Bad(at(item.py(), number, error)),
        };
        let is_path = matches!(source, Source::Path(_));
        let name = if is_path { source.name() } else { format!("picture {number}") };
        let kept = (self.at_hand || is_path).then(|| item.clone().unbind());
        match &mut self.jobs {
            Jobs::Own(_, todo) => todo.push_back((number, source)),
            Jobs::Others(decoders) => drop(decoders.jobs.send((number, source))),
        }
        Pending::Job { number, name, kept }
    }

    /// Returns when the picture `number` is prepared.
    fn wait(&mut self, py: Python<'_>, number: usize) -> PyResult<()> {
        while !self.waiting.contains_key(&number) {
            let jobs = &mut self.jobs;
            let made = py.detach(move || match jobs {
                Jobs::Own(prepare, todo) => {
                    let (number, source) = todo.pop_front().ok_or(RecvTimeoutError::Disconnected)?;
                    Ok((number, prepared(prepare, source)))
                }
                Jobs::Others(decoders) => decoders.done.recv_timeout(PATIENCE),
            });
            match made {
                Ok((number, outcome)) => drop(self.waiting.insert(number, outcome)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err(FAULT)),
            }
            py.check_signals()?;
        }
        Ok(())
    }

    /// Runs the next pictures, at most a batch.
    fn compute(&mut self, py: Python<'_>, claim: Option<&mut R::Claim<'_>>) -> PyResult<()> {
        let batch = self.runner.batch();
        // Until all are prepared nothing is taken from the queue, so that an interrupt loses nothing.
        let (mut count, mut numbers) = (0, Vec::new());
        for pending in &self.pending {
            if let Pending::Job { number, .. } = pending {
                if numbers.len() == batch {
                    break;
                }
                numbers.push(*number);
            }
            count += 1;
        }
        for number in numbers {
            self.wait(py, number)?;
        }
        let (mut prepared, mut keep) = (Vec::new(), Vec::new());
        // By picture: what was wrong, or `None` if it runs.
        let mut wrong: Vec<Option<PyErr>> = Vec::new();
        for pending in self.pending.drain(..count) {
            let (number, name, kept) = match pending {
                Pending::Bad(error) => {
                    wrong.push(Some(error));
                    continue;
                }
                Pending::Job { number, name, kept } => (number, name, kept),
            };
            match self.waiting.remove(&number).expect("it was waited for") {
                Some(Ok(input)) => {
                    prepared.push(input);
                    keep.push(kept);
                    wrong.push(None);
                }
                Some(Err(error)) => wrong.push(Some(exception(&name, &error))),
                None => wrong.push(Some(PyRuntimeError::new_err(format!("{name}: {FAULT}")))),
            }
        }
        let made = match (prepared.is_empty(), claim) {
            (true, _) => Ok(Vec::new()),
            (false, Some(claim)) => self.runner.run(py, claim, prepared, keep),
            (false, None) => self.runner.claim().and_then(|mut claim| self.runner.run(py, &mut claim, prepared, keep)),
        };
        // The pictures that were to run are lost, so that what followed would be in other places.
        let mut made = made.inspect_err(|_| self.clear())?.into_iter();
        self.ready.extend(wrong.into_iter().map(|wrong| match wrong {
            Some(error) => Err(error),
            None => made.next().expect("one for each picture"),
        }));
        Ok(())
    }

    /// The next result, if there is one. The caller may have the right to run already.
    fn advance(&mut self, py: Python<'_>, mut claim: Option<&mut R::Claim<'_>>) -> PyResult<Option<Py<PyAny>>> {
        if matches!(&self.jobs, Jobs::Others(decoders) if decoders.process != std::process::id()) {
            return Err(Error::new_err("results have threads, which a fork leaves behind"));
        }
        loop {
            match self.ready.pop_front() {
                Some(Err(error)) if self.returns_errors => return Ok(Some(error.into_value(py).into_any())),
                Some(made) => return made.map(Some),
                None => {}
            }
            py.check_signals()?;
            self.fill(py);
            if self.pending.is_empty() {
                return self.raised.take().map_or(Ok(None), Err);
            }
            if let Err(error) = self.compute(py, claim.as_deref_mut()) {
                // As a generator that raised is at its end; but for an interrupt while pictures are prepared, which loses none.
                if !error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py) {
                    self.clear();
                }
                return Err(error);
            }
        }
    }
}

impl<R: Runner> Flowing for Flow<R> {
    fn next(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.advance(py, None)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.runner.traverse(visit)?;
        visit.call(&self.items)?;
        for pending in &self.pending {
            if let Pending::Job { kept, .. } = pending {
                visit.call(kept)?;
            }
        }
        self.ready.iter().flatten().try_for_each(|made| visit.call(made))
    }

    fn clear(&mut self) {
        (self.items, self.raised) = (None, None);
        self.pending.clear();
        self.ready.clear();
    }
}

impl<T: Send + 'static> Decoders<T> {
    /// Starts so many threads. They end when no job is left and this is gone.
    fn new(threads: usize, prepare: &Prepare<T>) -> PyResult<Self> {
        let ((jobs, todo), (finished, done)) = (channel(), channel());
        let todo = Arc::new(Mutex::new(todo));
        for _ in 0..threads {
            let (todo, finished, prepare) = (todo.clone(), finished.clone(), prepare.clone());
            thread::Builder::new().name("googlenet-decode".into()).spawn(move || {
                while let Some((number, source)) = next_job(&todo) {
                    if finished.send((number, prepared(&prepare, source))).is_err() {
                        break;
                    }
                }
            })?;
        }
        Ok(Self { jobs, done, process: std::process::id() })
    }
}

/// What comes of preparing a picture.
fn prepared<T>(prepare: &Prepare<T>, source: Source) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(|| prepare(source))).ok()
}

fn next_job(todo: &Mutex<Receiver<(usize, Source)>>) -> Option<(usize, Source)> {
    todo.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// The exception for the picture `number` of several, whose words say so.
fn at(py: Python<'_>, number: usize, error: PyErr) -> PyErr {
    match error.is_instance_of::<PyValueError>(py) {
        true => PyValueError::new_err(format!("picture {number}: {}", error.value(py))),
        false => error,
    }
}

/// How many pictures are prepared beyond a batch at most, each of which takes 0.6 MB at a side of 224.
const MOST_AHEAD: usize = 64;

/// How long is waited before the interpreter is asked whether Ctrl-C was pressed.
const PATIENCE: Duration = Duration::from_millis(50);

const FAULT: &str = "a fault of the library's own";
