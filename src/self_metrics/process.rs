//! Metrics of the process, read from the operating system.

#[cfg(target_os = "linux")]
use crate::exposition::Kind;
use crate::exposition::OwnFamily;

/// The `process_*` families, with the names that Prometheus client libraries use. Values that the operating system does not provide
/// are left out.
#[must_use]
pub fn process() -> Vec<OwnFamily> {
    #[cfg(target_os = "linux")]
    return linux_process().unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    return Vec::new();
}

#[cfg(target_os = "linux")]
#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
fn linux_process() -> Option<Vec<OwnFamily>> {
    use procfs::WithCurrentSystemInfo;
    use procfs::process::{LimitValue, Process};

    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    let gauge = |name, help, value| OwnFamily::new(Kind::Gauge, name, help).value(value);
    let cpu = (stat.utime + stat.stime) as f64 / ticks;
    let mut families = vec![
        OwnFamily::new(
            Kind::Counter,
            "process_cpu_seconds_total",
            "User and system CPU time spent, in seconds.",
        )
        .value(cpu),
        gauge(
            "process_resident_memory_bytes",
            "Resident memory, in bytes.",
            stat.rss_bytes().get() as f64,
        ),
        gauge(
            "process_virtual_memory_bytes",
            "Virtual memory, in bytes.",
            stat.vsize as f64,
        ),
        gauge(
            "process_threads",
            "Threads of the process.",
            stat.num_threads as f64,
        ),
    ];
    if let Ok(boot) = procfs::boot_time_secs() {
        families.push(gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            boot as f64 + stat.starttime as f64 / ticks,
        ));
    }
    if let Ok(open) = process.fd_count() {
        families.push(gauge(
            "process_open_fds",
            "Open file descriptors.",
            open as f64,
        ));
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        families.push(gauge(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            most as f64,
        ));
    }
    Some(families)
}
