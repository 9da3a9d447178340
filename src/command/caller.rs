//! Who called the command: a person at a terminal, who reads stderr and ends the process, or another program, which collects
//! the words, may hand in models, and may end the work.
//!
//! A subcommand does its work on the thread that it was called on, so that thread knows the caller.

use std::cell::RefCell;
use std::fmt::Display;

use super::exit::{Code, Failure, Outcome};
use crate::Model;

/// Another program.
struct Caller {
    models: Vec<Model>,
    words: Vec<String>,
    is_over: Box<dyn FnMut() -> bool>,
}

thread_local! {
    /// The program that called the command on this thread; `None` stands for a person.
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// Does `work` for a program that is asked now and then whether the work is over, and hands in models for the subcommands
/// that use demonstration weights otherwise. Returns what came of it, and the words that a person would have read.
pub(super) fn serve<T>(
    models: &[Model],
    is_over: impl FnMut() -> bool + 'static,
    work: impl FnOnce() -> T,
) -> (T, Vec<String>) {
    /// Forgets the caller, also where the work panics.
    struct Served;
    impl Drop for Served {
        fn drop(&mut self) {
            CALLER.take();
        }
    }
    let caller = Caller { models: models.to_vec(), words: Vec::new(), is_over: Box::new(is_over) };
    CALLER.set(Some(caller));
    let served = Served;
    let result = work();
    let words = CALLER.with_borrow_mut(|caller| caller.as_mut().map(|caller| std::mem::take(&mut caller.words)));
    drop(served);
    (result, words.unwrap_or_default())
}

/// Says something that is no result.
pub(super) fn say(words: impl Display) {
    CALLER.with_borrow_mut(|caller| match caller {
        Some(caller) => caller.words.push(words.to_string()),
        None => eprintln!("{words}"),
    });
}

/// Fails if the caller wants no more.
pub(super) fn check() -> Outcome {
    // Out of its place while it is asked: it may call the command itself.
    let Some(mut caller) = CALLER.take() else { return Ok(()) };
    let is_over = (caller.is_over)();
    CALLER.set(Some(caller));
    match is_over {
        true => Err(Failure::new(Code::System, "interrupted")),
        false => Ok(()),
    }
}

/// The models that the caller handed in, if it did.
pub(super) fn models() -> Option<Vec<Model>> {
    let own = CALLER.with_borrow(|caller| caller.as_ref().map(|caller| caller.models.clone()));
    own.filter(|models| !models.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_hears_words_and_ends_the_work() {
        let mut asked = 0;
        let is_over = move || {
            asked += 1;
            asked > 2
        };
        let (done, words) = serve(&[], is_over, || {
            for round in 0.. {
                say(round);
                if check().is_err() {
                    return round;
                }
            }
            unreachable!("the caller ends it")
        });
        assert_eq!((done, words), (2, vec!["0".to_owned(), "1".to_owned(), "2".to_owned()]));
        check().expect("nobody is served any more");
    }
}
