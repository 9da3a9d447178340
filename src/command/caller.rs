//! Who called the command: a person at a terminal, who reads stderr and ends the process, or another program, which collects
//! the words, may hand in models, and may end the work.
//!
//! A subcommand does its work on the thread that it was called on, so that thread knows the caller.

use std::cell::{Cell, RefCell};
use std::fmt::Display;

use anstyle::{AnsiColor, Style};

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
    /// How much the caller wants to hear.
    static HEARS: Cell<Hears> = const { Cell::new(Hears::Advice) };
}

/// What the caller wants to hear: each of these includes those before it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Hears {
    /// What went wrong: with `--quiet`.
    Failures,
    /// What was done, and what is doubtful: with `--json`, whose reader knows the command.
    Words,
    /// What else a person may want to know.
    Advice,
}

/// From now on says on this thread what such arguments ask for.
pub(super) fn listen(is_quiet: bool, is_json: bool) {
    HEARS.set(match (is_quiet, is_json) {
        (true, _) => Hears::Failures,
        (_, true) => Hears::Words,
        _ => Hears::Advice,
    });
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

/// Says something that is no result, and no failure: not with `--quiet`.
pub(super) fn say(words: impl Display) {
    if HEARS.get() >= Hears::Words {
        complain(words);
    }
}

/// Gives advice, as a note that begins so: neither with `--quiet` nor with `--json`.
pub(super) fn advise(words: impl Display) {
    if HEARS.get() >= Hears::Advice {
        complain(format_args!("note: {words}"));
    }
}

/// Says what is doubtful, as a warning that begins so: not with `--quiet`.
pub(super) fn warn(words: impl Display) {
    say(format_args!("warning: {words}"));
}

/// Says what went wrong: always.
pub(super) fn complain(words: impl Display) {
    CALLER.with_borrow_mut(|caller| match caller {
        Some(caller) => caller.words.push(words.to_string()),
        // Colours are left out unless stderr is a terminal that has them, and with NO_COLOR.
        None => anstream::eprintln!("{}", coloured(&words.to_string())),
    });
}

/// `words`, with their first one in colour if that says of which kind they are.
fn coloured(words: &str) -> String {
    let kinds = [("error:", AnsiColor::Red), ("warning:", AnsiColor::Yellow), ("note:", AnsiColor::Cyan)];
    let kind = kinds.into_iter().find_map(|(kind, colour)| Some((kind, colour, words.strip_prefix(kind)?)));
    let Some((kind, colour, rest)) = kind else { return words.to_owned() };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{kind}{style:#}{rest}")
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
    fn what_is_said_follows_the_arguments_and_failures_are_always_heard() {
        let heard = |is_quiet, is_json| {
            let work = || {
                listen(is_quiet, is_json);
                advise("a");
                warn("b");
                complain("error: c");
            };
            serve(&[], || false, work).1.join(", ")
        };
        assert_eq!(heard(false, false), "note: a, warning: b, error: c");
        assert_eq!(heard(false, true), "warning: b, error: c");
        assert_eq!((heard(true, false), heard(true, true)), ("error: c".to_owned(), "error: c".to_owned()));
        listen(false, false);
    }

    #[test]
    fn only_the_kind_of_words_is_in_colour() {
        assert_eq!(coloured("error: no error:"), "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m no error:");
        assert_eq!(coloured("an error: none"), "an error: none");
    }

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
