//! Where threads run and how they sleep.

use std::mem::zeroed;

use antiphon_engine::Time;

/// Keeps this thread on the nth core that the process may use. Best effort: returns whether it worked.
pub(crate) fn pin_to_core(nth: usize) -> bool {
    // SAFETY: cpu_set_t is a plain C bit set for which zero is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: the set is as long as said; 0 is this thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed) } != 0 {
        return false;
    }
    let limit = libc::CPU_SETSIZE.cast_unsigned() as usize;
    // SAFETY: CPU_ISSET is given numbers below CPU_SETSIZE.
    let cores: Vec<usize> = (0..limit)
        .filter(|core| unsafe { libc::CPU_ISSET(*core, &allowed) })
        .collect();
    let Some(core) = (!cores.is_empty()).then(|| cores[nth % cores.len()]) else {
        return false;
    };
    // SAFETY: as above.
    let mut wanted: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `core` came out of such a set.
    unsafe { libc::CPU_SET(core, &mut wanted) };
    // SAFETY: the set is as long as said; 0 is this thread.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const wanted) == 0 }
}

/// Sleeps until a moment of the monotonic clock; returns at once when it is past.
pub(crate) fn sleep_until(moment: Time) {
    let until = super::wake::timespec(std::time::Duration::from_micros(moment.as_micros()));
    // SAFETY: a timespec that outlives the call; the rest is not asked for.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const until,
            std::ptr::null_mut(),
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_and_put_to_sleep() {
        std::thread::spawn(|| {
            assert!(pin_to_core(0));
            let until = Time(antiphon_link::monotonic_us() + 2_000);
            sleep_until(until);
            assert!(antiphon_link::monotonic_us() >= until.as_micros());
        })
        .join()
        .expect("no panic");
    }
}
