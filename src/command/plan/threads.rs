//! The tasks over the threads: what each thread computes when, if a task takes as long as its work is estimated.
//!
//! Threads claim the tasks of a phase in their order, each the next when it is done with one, and wait for the phase to end;
//! so they do here. Time runs from left to right, in strips below each other.

use std::fmt::Write;

use super::{Picture, WIDTH, stretches, text_width};
use crate::command::page::html::escaped;
use crate::plan::Overview;

/// A task's time on its thread.
struct Timed {
    thread: usize,
    step: usize,
    begin: f64,
    end: f64,
}

/// The tasks of `overview` on `threads` threads that share an image; and when each phase ends.
fn schedule(overview: &Overview, threads: usize) -> (Vec<Timed>, Vec<f64>) {
    let (mut timed, mut ends, mut now) = (Vec::new(), Vec::new(), 0.0_f64);
    for tasks in &overview.tasks {
        let mut free: Vec<f64> = vec![now; threads];
        for task in tasks {
            let earliest = |a: &usize, b: &usize| free[*a].total_cmp(&free[*b]);
            let thread = (0..threads).min_by(earliest).expect("a thread at least");
            let (begin, end) = (free[thread], free[thread] + task.work);
            free[thread] = end;
            timed.push(Timed { thread, step: task.step, begin, end });
        }
        now = free.into_iter().fold(now, f64::max);
        ends.push(now);
    }
    (timed, ends)
}

/// Draws the tasks of `overview` on `sharing` threads that share an image, of `threads` in all.
pub fn picture(overview: &Overview, sharing: usize, threads: usize) -> Picture {
    let (timed, ends) = schedule(overview, sharing);
    let all = ends.last().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let strips = if overview.tasks.len() > 12 { 4 } else { 2 };
    let row = if sharing <= 4 { 14.0 } else { (56.0 / sharing as f64).max(3.0) };
    let strip_height = sharing as f64 * row + 30.0;
    let strip = all / strips as f64;
    let x = |time: f64| LEFT + time / strip * (WIDTH - LEFT - RIGHT);
    let top = |strip: usize| TOP + strip as f64 * strip_height;
    let mut body = String::from("<text class=\"title\" x=\"10\" y=\"12\">Tasks over threads</text>\n");
    let busy: f64 = timed.iter().map(|task| task.end - task.begin).sum::<f64>() / (all * sharing as f64);
    let who = match (sharing, threads) {
        (1, 1) => "one thread".to_owned(),
        (1, _) => format!("one image on one of {threads} threads, each of which takes whole images"),
        _ => format!("{sharing} threads share each image; at work {:.0} % of the time", 100.0 * busy),
    };
    let _ = writeln!(body, "<text class=\"small\" x=\"10\" y=\"27\">estimated: {}</text>", escaped(&who));

    for index in 0..strips {
        for thread in 0..sharing {
            let y = top(index) + thread as f64 * row;
            let _ = writeln!(
                body,
                "<rect class=\"idle\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                WIDTH - LEFT - RIGHT,
                row - 1.0
            );
            if row >= 10.0 {
                let (end, y) = (LEFT - 4.0, y + row / 2.0 + 2.5);
                let _ = writeln!(body, "<text class=\"tiny end\" x=\"{end:.1}\" y=\"{y:.1}\">{thread}</text>");
            }
        }
    }
    for Timed { thread, step, begin, end } in &timed {
        let step = &overview.steps[*step];
        let class = if step.multiply_adds > 0 { "task" } else { "task light" };
        let title = escaped(&format!("phase {}: {}, {}", step.phase, step.layers, step.kernel));
        for (index, [begin, end]) in pieces(*begin, *end, strip, strips) {
            let (left, right) = (x(begin), x(end));
            let _ = writeln!(
                body,
                "<rect class=\"{class}\" x=\"{left:.2}\" y=\"{:.1}\" width=\"{:.2}\" height=\"{:.1}\">\
                 <title>{title}</title></rect>",
                top(index) + *thread as f64 * row,
                right - left,
                row - 1.0
            );
        }
    }
    for (name, phases) in stretches(overview) {
        let begin = if phases.start == 0 { 0.0 } else { ends[phases.start - 1] };
        let end = ends[phases.end - 1];
        for (index, [left, right]) in pieces(begin, end, strip, strips) {
            let (from, to, y) = (x(left), x(right), top(index));
            let base = y + sharing as f64 * row;
            // Not where it goes on from the strip above.
            if left > 0.0 || begin == index as f64 * strip {
                let _ = writeln!(body, "<path class=\"grid\" d=\"M{from:.1} {y:.1}V{:.1}\"/>", base + 12.0);
            }
            if text_width(&name, 9.5) + 2.0 <= to - from {
                let middle = (from + to) / 2.0;
                let name = escaped(&name);
                let _ = writeln!(
                    body,
                    "<text class=\"tiny middle\" x=\"{middle:.1}\" y=\"{:.1}\">{name}</text>",
                    base + 11.0
                );
            }
        }
    }
    let legend = top(strips) + 2.0;
    let _ = writeln!(
        body,
        "<rect class=\"task\" x=\"{LEFT}\" y=\"{0:.1}\" width=\"14\" height=\"11\"/>\
         <text class=\"small\" x=\"{1:.1}\" y=\"{legend:.1}\">multiplies</text>\
         <rect class=\"task light\" x=\"{2:.1}\" y=\"{0:.1}\" width=\"14\" height=\"11\"/>\
         <text class=\"small\" x=\"{3:.1}\" y=\"{legend:.1}\">moves or compares</text>\
         <rect class=\"idle\" x=\"{4:.1}\" y=\"{0:.1}\" width=\"14\" height=\"11\"/>\
         <text class=\"small\" x=\"{5:.1}\" y=\"{legend:.1}\">waits</text>",
        legend - 9.0,
        LEFT + 19.0,
        LEFT + 90.0,
        LEFT + 109.0,
        LEFT + 236.0,
        LEFT + 255.0
    );
    let described = format!("Tasks over threads: {} tasks in {} phases, {who}.", timed.len(), ends.len());
    Picture { body, height: legend + 6.0, described }
}

/// The strips that the time from `begin` to `end` lies in, each with its part, counted from the strip's begin.
fn pieces(begin: f64, end: f64, strip: f64, strips: usize) -> Vec<(usize, [f64; 2])> {
    let parts = (0..strips).map(|index| {
        let start = index as f64 * strip;
        (index, [(begin - start).max(0.0), (end - start).min(strip)])
    });
    parts.filter(|(_, [begin, end])| begin < end).collect()
}

/// Sizes, in pixels: what lies beside the strips, and above the first.
const LEFT: f64 = 22.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 38.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_claim_in_order_and_wait_for_each_phase() {
        let network = crate::model::googlenet(10);
        let options = crate::Options::new().threads(2).side(64);
        let (overview, _) = options.overview(&network).expect("a plan");
        let (timed, ends) = schedule(&overview, 2);
        assert_eq!(timed.len(), overview.tasks.iter().map(Vec::len).sum::<usize>());
        assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{ends:?}");
        for task in &timed {
            let phase = overview.steps[task.step].phase;
            let begin = if phase == 0 { 0.0 } else { ends[phase - 1] };
            assert!(begin <= task.begin && task.begin < task.end && task.end <= ends[phase], "phase {phase}");
            let others = timed.iter().filter(|other| other.thread == task.thread && !std::ptr::eq(*other, task));
            assert!(others.into_iter().all(|other| other.end <= task.begin || task.end <= other.begin));
        }
    }

    #[test]
    fn what_spans_strips_is_drawn_in_each() {
        assert_eq!(pieces(0.5, 2.5, 1.0, 3), [(0, [0.5, 1.0]), (1, [0.0, 1.0]), (2, [0.0, 0.5])]);
        assert_eq!(pieces(1.0, 2.0, 1.0, 3), [(1, [0.0, 1.0])]);
    }
}
