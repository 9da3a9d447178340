//! What the system says of the machine, as far as it says it: Linux does, in files.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::thread;

use crate::{Options, Precision, isa};

use super::Finding;
use crate::command::load;

/// Looks at processor, instruction sets, caches, threads, quota, page size and memory.
pub fn look() -> Vec<Finding> {
    let mut findings = vec![Finding::well("processor", processor())];
    let sets: Vec<&str> = isa::detected().map(|set| set.name()).collect();
    findings.push(match Options::new().chosen_isa() {
        Ok(set) => {
            let (best, used) = (isa::best(), set.name());
            let why =
                if set == best { "the best here" } else { "GOOGLENET_ISA asks for it, and there is a better one" };
            Finding::doubtful_if(set != best, "instruction sets", format!("{}; used: {used}, {why}", sets.join(", ")))
        }
        Err(error) => Finding::wrong("instruction sets", format!("{}; {error}", sets.join(", "))),
    });
    findings.push(Finding::well("precisions", precisions()));
    let caches = caches(Path::new("/sys/devices/system/cpu/cpu0/cache"));
    findings.push(Finding::well("caches", caches.unwrap_or_else(|| "the system does not say".to_owned())));
    findings.extend(threads());
    findings.extend(page_size());
    findings.extend(memory());
    findings
}

/// The name that the system gives the processor.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

/// What the layers of the demonstration weights compute in, for each precision.
fn precisions() -> String {
    let of = |precision: Precision| match load::demonstration().session(Options::new().precision(precision)) {
        Ok(session) => format!("{precision}: {}", load::precisions(&session)),
        Err(error) => format!("{precision}: {error}"),
    };
    Precision::ALL.map(of).join("; ")
}

/// The caches of the first core, from Linux's folder of them: "L1d 32 KiB".
fn caches(folder: &Path) -> Option<String> {
    let read = |index: usize, name: &str| {
        let text = fs::read_to_string(folder.join(format!("index{index}")).join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let one = |index| {
        let (level, kind, size) = (read(index, "level")?, read(index, "type")?, read(index, "size")?);
        let kind = match kind.as_str() {
            "Data" => "d",
            "Instruction" => "i",
            _ => "",
        };
        let shared = read(index, "shared_cpu_list").filter(|list| list.contains([',', '-']));
        let shared = shared.map(|list| format!(" (shared by {list})")).unwrap_or_default();
        Some(format!("L{level}{kind} {}{shared}", size.replace('K', " KiB").replace('M', " MiB")))
    };
    let caches: Vec<String> = (0..8).map_while(one).collect();
    (!caches.is_empty()).then(|| caches.join(", "))
}

/// How many threads may run at once, of how many cores, and the part of their time that a control group allows.
fn threads() -> Vec<Finding> {
    let allowed = thread::available_parallelism().map_or(1, NonZero::get);
    let online = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let online = online.lines().filter(|line| line.starts_with("processor")).count().max(allowed);
    let said = format!("{allowed} of {online} may run at once: the default of --threads");
    let mut findings = vec![Finding::well("threads", said)];
    if let Some(quota) = quota(&cgroup_file("cpu.max").unwrap_or_default()) {
        let said = format!("a control group allows {quota:.2} cores");
        findings.push(Finding::doubtful_if(quota < allowed as f64, "quota", said));
    }
    findings
}

/// The number of cores that `cpu.max` allows: "50000 100000" is half of one, and "max 100000" is no limit.
fn quota(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let (allowed, period): (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (period > 0.0).then(|| allowed / period)
}

/// A file of this process's control group (version 2).
fn cgroup_file(name: &str) -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    fs::read_to_string(Path::new("/sys/fs/cgroup").join(path).join(name)).ok()
}

/// The size of a page, from what the kernel tells a process when it starts (`AT_PAGESZ` is 6).
fn page_size() -> Option<Finding> {
    let auxv = fs::read("/proc/self/auxv").ok()?;
    const WORD: usize = size_of::<usize>();
    let (words, _) = auxv.as_chunks::<WORD>();
    let pairs = words.as_chunks::<2>().0.iter().map(|pair| pair.map(usize::from_ne_bytes));
    let size = pairs.into_iter().find_map(|[kind, value]| (kind == 6).then_some(value))?;
    let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let huge = huge.split('[').nth(1).and_then(|rest| rest.split(']').next()).unwrap_or("unknown");
    Some(Finding::well("pages", format!("{} KiB; large ones: {huge}", size >> 10)))
}

/// How much memory is there, and how much of it a control group allows.
fn memory() -> Option<Finding> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    let (total, available) = (value("MemTotal")? >> 10, value("MemAvailable")? >> 10);
    let limit = cgroup_file("memory.max").and_then(|text| text.trim().parse::<u64>().ok()).map(|bytes| bytes >> 20);
    let limited = limit.map(|limit| format!(", a control group allows {limit} MiB")).unwrap_or_default();
    // A session of the BVLC network takes some 60 MiB with its weights, of Krizhevsky's 300.
    let least = available.min(limit.unwrap_or(u64::MAX));
    let said = format!("{available} MiB of {total} MiB available{limited}");
    Some(Finding::doubtful_if(least < 512, "memory", said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        for none in ["max 100000\n", "", "1", "1 0"] {
            assert_eq!(quota(none), None, "{none:?}");
        }
    }

    #[test]
    fn caches_are_listed_as_far_as_they_are_known() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(caches(folder.path()), None);
        let all = [("1", "Data", "32K", "0"), ("2", "Unified", "1024K", "0-1")];
        for (index, (level, kind, size, shared)) in all.into_iter().enumerate() {
            let at = folder.path().join(format!("index{index}"));
            fs::create_dir(&at).expect("made");
            for (name, text) in [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)] {
                fs::write(at.join(name), format!("{text}\n")).expect("written");
            }
        }
        assert_eq!(caches(folder.path()).as_deref(), Some("L1d 32 KiB, L2 1024 KiB (shared by 0-1)"));
    }
}
