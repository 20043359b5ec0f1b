//! What a process costs: on-CPU time of its threads and memory of its own, read from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// A process to be watched, under the name that its figures get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// For example `edge`.
    pub name: String,
    /// Process id.
    pub pid: u32,
}

/// Why an argument names no process.
#[derive(Debug, thiserror::Error)]
#[error("{0}: expected name=pid")]
pub struct NoProcess(String);

impl std::str::FromStr for Watched {
    type Err = NoProcess;

    fn from_str(text: &str) -> Result<Self, NoProcess> {
        let refused = || NoProcess(text.to_owned());
        let (name, pid) = text.split_once('=').ok_or_else(refused)?;
        Ok(Self {
            name: name.to_owned(),
            pid: pid.parse().map_err(|_| refused())?,
        })
    }
}

/// Time that threads have spent on a CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    threads: BTreeMap<u32, (String, u64)>,
}

impl Cpu {
    /// Reads all threads of a process (`schedstat`, exact to the scheduler's clock).
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let path = entry?.path();
            let Some(id) = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // A thread may end between the listing and the reading.
            let (Ok(name), Ok(statistics)) = (
                fs::read_to_string(path.join("comm")),
                fs::read_to_string(path.join("schedstat")),
            ) else {
                continue;
            };
            let on_cpu = statistics
                .split(' ')
                .next()
                .and_then(|field| field.parse().ok())
                .unwrap_or(0);
            threads.insert(id, (name.trim_end().to_owned(), on_cpu));
        }
        Ok(Self { threads })
    }

    /// Time in ns since `earlier`, by thread name. Threads that ended meanwhile are missing.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> BTreeMap<String, u64> {
        let mut spent = BTreeMap::new();
        for (id, (name, on_cpu)) in &self.threads {
            let before = earlier.threads.get(id).map_or(0, |(_, on_cpu)| *on_cpu);
            *spent.entry(name.clone()).or_insert(0) += on_cpu.saturating_sub(before);
        }
        spent
    }
}

/// Time in ns that all cores together were busy since the machine started, and that this process had of it.
///
/// # Errors
/// If `/proc/stat` cannot be read.
pub fn busy_and_own_ns() -> io::Result<(u64, u64)> {
    /// The kernel tells these times in hundredths of a second, whatever its own tick is (`USER_HZ`).
    const TICK_NS: u64 = 10_000_000;
    let text = fs::read_to_string("/proc/stat")?;
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal.
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|field| ticks.get(*field)).sum();
    let own: u64 = Cpu::of(std::process::id())?
        .threads
        .values()
        .map(|(_, on_cpu)| on_cpu)
        .sum();
    Ok((busy * TICK_NS, own))
}

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident.
    pub rss_kib: u64,
    /// Resident, with pages that are shared counted by their share.
    pub pss_kib: u64,
}

impl Memory {
    /// Reads the memory of a process (`smaps_rollup`).
    ///
    /// # Errors
    /// If there is no such process, or it is another user's.
    pub fn of(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Ok(Self {
            rss_kib: field("Rss:"),
            pss_kib: field("Pss:"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_busy_thread_shows_under_its_name() {
        let before = Cpu::of(std::process::id()).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let busy = std::thread::Builder::new().name("busy-bee".into()).spawn(move || {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(50) {}
            sender.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        });
        receiver.recv().unwrap();
        let spent = Cpu::of(std::process::id()).unwrap().since(&before);
        busy.unwrap().join().unwrap();
        assert!(spent["busy-bee"] > 5_000_000, "{spent:?}");
    }

    #[test]
    fn memory_that_is_used_shows() {
        let before = Memory::of(std::process::id()).unwrap();
        let used = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = Memory::of(std::process::id()).unwrap();
        assert!(
            after.rss_kib >= before.rss_kib + 30 * 1024,
            "{before:?} {after:?} {}",
            used.len()
        );
    }

    #[test]
    fn an_argument_names_a_process() {
        assert_eq!(
            "edge=12".parse::<Watched>().unwrap(),
            Watched {
                name: "edge".into(),
                pid: 12
            }
        );
        assert!("edge".parse::<Watched>().is_err());
        assert!("edge=x".parse::<Watched>().is_err());
    }
}
