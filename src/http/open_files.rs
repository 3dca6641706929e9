//! The limit of open files. Each connection is one.

/// The most open connections, if the operating system allows as many open files. Further ones wait to be accepted.
pub const MOST_CONNECTIONS: usize = 16 * 1024;

/// The most connections of the probes' own listener, whose clients are few: kubelets and load balancers.
pub const MOST_PROBES: usize = 256;

/// Open files that are reserved for everything else: logs, connections to Starlink, files that are read and written, and probes with a
/// port of their own.
const OURS: usize = 256 + MOST_PROBES;

/// Raises the soft limit as far as the hard limit allows, up to what the most connections need. The limit belongs to the whole process:
/// only a binary should call this.
///
/// # Errors
/// Errors of the operating system.
#[cfg(unix)]
pub fn raise_limit() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let wanted = (MOST_CONNECTIONS + OURS) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let current = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let limit = Rlimit {
        current: Some(current),
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// The number of connections that fit into the limit.
#[cfg(unix)]
pub fn connections() -> usize {
    use rustix::process::{Resource, getrlimit};

    let files = getrlimit(Resource::Nofile).current;
    let files = files.map_or(usize::MAX, |files| files.try_into().unwrap_or(usize::MAX));
    files.saturating_sub(OURS).max(1)
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub fn raise_limit() -> std::io::Result<()> {
    Ok(())
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub fn connections() -> usize {
    usize::MAX
}
