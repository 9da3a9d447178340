//! Plans as wholes: what is chosen and how it is split, pinned; what holds for every schedule.

mod golden;
mod schedules;
