//! Another Rust library, as a static library with a standard library of its own.
#![crate_type = "staticlib"]

/// 42, after a panic that was thrown and caught; -1 if it was not.
#[unsafe(no_mangle)]
pub extern "C" fn second_answer() -> i32 {
    std::panic::set_hook(Box::new(|_| ()));
    let caught = std::panic::catch_unwind(|| std::panic::panic_any(42_i32));
    let worker = std::thread::spawn(|| 0).join();
    match (caught, worker) {
        (Err(answer), Ok(zero)) => answer.downcast_ref::<i32>().map_or(-1, |answer| answer + zero),
        _ => -1,
    }
}
