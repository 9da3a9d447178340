//! The border to JavaScript: functions with numbers for arguments and results, and two pieces of the module's memory.
//!
//! What a call takes beside numbers (a file, pixels, options as JSON) JavaScript writes into the *inbox*, whose address
//! [`inbox`] gives and which the call empties. What a call gives (JSON, or f32) lies in the *reply*, at [`reply_address`],
//! until the next call. Models and sessions are numbers, from 1; a call that fails returns 0, and its reply is the error's
//! text. No memory is read or written here by an address that JavaScript gave, so that this border needs no unsafe code.
//!
//! The module is for one caller's thread: a browser's worker, or a program under Node.js. Threads of a session are others,
//! and call none of these functions.

mod model;
mod session;

use std::cell::RefCell;
use std::error::Error;

use googlenet::error::with_causes;
use googlenet::{Model, Session};
use serde::de::DeserializeOwned;

/// What is there on this thread.
#[derive(Default)]
struct Border {
    inbox: Vec<u8>,
    reply: Reply,
    models: Vec<Option<Model>>,
    sessions: Vec<Option<Session>>,
}

/// What the last call gave.
enum Reply {
    Text(String),
    Values(Vec<f32>),
    /// Values that lie in a session, until it runs again: address and count.
    Lent(usize, usize),
}

impl Default for Reply {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

thread_local! {
    static BORDER: RefCell<Border> = RefCell::default();
}

/// Why a call fails, as the caller reads it: an error's words and those of its causes.
struct Failure(String);

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(with_causes(&*error.into()))
    }
}

/// Makes the address of a place for `length` bytes, which JavaScript fills before the call that takes them.
#[unsafe(no_mangle)]
pub extern "C" fn inbox(length: usize) -> *mut u8 {
    BORDER.with_borrow_mut(|border| {
        border.inbox = vec![0; length];
        border.inbox.as_mut_ptr()
    })
}

/// Where the last call's reply lies.
#[unsafe(no_mangle)]
pub extern "C" fn reply_address() -> usize {
    BORDER.with_borrow(|border| match &border.reply {
        Reply::Text(text) => text.as_ptr().expose_provenance(),
        Reply::Values(values) => values.as_ptr().expose_provenance(),
        &Reply::Lent(address, _) => address,
    })
}

/// How long the last call's reply is: bytes of text, or numbers.
#[unsafe(no_mangle)]
pub extern "C" fn reply_length() -> usize {
    BORDER.with_borrow(|border| match &border.reply {
        Reply::Text(text) => text.len(),
        Reply::Values(values) => values.len(),
        &Reply::Lent(_, count) => count,
    })
}

/// Does what a call does, keeps its reply, and returns its number; 0 and the error's text where it fails.
fn answer(work: impl FnOnce(&mut Border, Vec<u8>) -> Result<(u32, Reply), Failure>) -> u32 {
    BORDER.with_borrow_mut(|border| {
        let inbox = std::mem::take(&mut border.inbox);
        border.reply = Reply::default();
        let (number, reply) = work(border, inbox).unwrap_or_else(|Failure(text)| (0, Reply::Text(text)));
        border.reply = reply;
        number
    })
}

/// The reply of what serialises.
fn json(value: &impl serde::Serialize) -> Result<Reply, Failure> {
    Ok(Reply::Text(serde_json::to_string(value)?))
}

/// What the inbox says in JSON; nothing in it stands for an empty object.
fn options<T: DeserializeOwned>(inbox: &[u8]) -> Result<T, Failure> {
    Ok(serde_json::from_slice(if inbox.is_empty() { b"{}" } else { inbox })?)
}

/// The values where they lie.
fn lent(values: &[f32]) -> Reply {
    Reply::Lent(values.as_ptr().expose_provenance(), values.len())
}

/// Puts `value` in the first free place; places count from 1.
fn keep<T>(places: &mut Vec<Option<T>>, value: T) -> u32 {
    let free = places.iter().position(Option::is_none).unwrap_or_else(|| {
        places.push(None);
        places.len() - 1
    });
    places[free] = Some(value);
    free as u32 + 1
}

/// What is in a place.
fn get<'a, T>(places: &'a mut [Option<T>], number: u32, what: &str) -> Result<&'a mut T, Failure> {
    let place = (number as usize).checked_sub(1).and_then(|place| places.get_mut(place));
    place.and_then(Option::as_mut).ok_or_else(|| Failure(format!("{what} {number} is closed")))
}

/// Empties a place; an empty one stays as it is.
fn drop_in<T>(places: &mut [Option<T>], number: u32) {
    if let Some(place) = (number as usize).checked_sub(1).and_then(|place| places.get_mut(place)) {
        *place = None;
    }
}

/// Says what this module is: its version and instruction set, as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn about() -> u32 {
    answer(|_, _| {
        let about = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "isa": googlenet::isa::best().name(),
        });
        Ok((1, json(&about)?))
    })
}
