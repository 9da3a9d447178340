//! What a signal to end does: temporary files are removed, one line says so, and the exit code is a shell's for that signal.

/// Waits for such signals from now on, on a thread of its own.
#[cfg(unix)]
pub fn install() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    // Without it the command still works, and a signal ends it as it would any other.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            crate::file::abandon();
            let name = if signal == SIGINT { "interrupted" } else { "terminated" };
            eprintln!("error: {name}, nothing was written that is not complete");
            std::process::exit(128 + signal);
        }
    };
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

#[cfg(not(unix))]
pub fn install() {}
