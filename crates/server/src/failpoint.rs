//! Named places at which a test makes the process die or the disk fail. Only test builds have the feature `failpoints`;
//! without it, every place compiles to nothing.
//!
//! `PARTWAY_FAILPOINTS="name=action@hits;…"` arms places. Hits are counted from 1: `@3`, `@3-5`, `@3-`; without `@`, every hit
//! counts.
//!
//! | action | effect |
//! |---|---|
//! | `kill` | ends the process as `kill -9` does |
//! | `eio`, `enospc` | [`fail_at`] returns this error of the system |
//! | `pauseN` | waits for N seconds |
//! | `panic` | panics |
//! | `hold:PATH` | makes the file PATH with the extension `held`, and waits until PATH exists |

/// The environment variable that arms places.
#[cfg(feature = "failpoints")]
pub(crate) const VARIABLE: &str = "PARTWAY_FAILPOINTS";

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::HashMap;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LazyLock, OnceLock};
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    struct Point {
        action: Action,
        hits: std::ops::RangeInclusive<u64>,
        hits_so_far: AtomicU64,
    }

    #[derive(Clone, Copy)]
    enum Action {
        Kill,
        Fail(Errno),
        Pause(u64),
        Panic,
        Hold(&'static Path),
    }

    static POINTS: LazyLock<HashMap<String, Point>> = LazyLock::new(|| {
        let text = std::env::var(super::VARIABLE).unwrap_or_default();
        text.split(';').filter(|text| !text.is_empty()).filter_map(parse).collect()
    });

    fn parse(text: &str) -> Option<(String, Point)> {
        static WARNED: OnceLock<()> = OnceLock::new();
        let parsed = (|| {
            let (name, rest) = text.split_once('=')?;
            let (action, hits) = rest.split_once('@').unwrap_or((rest, "1-"));
            let action = match action {
                "kill" => Action::Kill,
                "eio" => Action::Fail(Errno::IO),
                "panic" => Action::Panic,
                "enospc" => Action::Fail(Errno::NOSPC),
                other => match other.strip_prefix("hold:") {
                    Some(path) => Action::Hold(Box::leak(PathBuf::from(path).into_boxed_path())),
                    None => Action::Pause(other.strip_prefix("pause")?.parse().ok()?),
                },
            };
            let (first, last) = hits.split_once('-').unwrap_or((hits, hits));
            let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
            let point = Point { action, hits: first.parse().ok()?..=last, hits_so_far: AtomicU64::new(0) };
            Some((name.to_owned(), point))
        })();
        if parsed.is_none() {
            WARNED.get_or_init(|| tracing::error!(text, "cannot parse a failpoint of PARTWAY_FAILPOINTS"));
        }
        parsed
    }

    /// Performs the action that `PARTWAY_FAILPOINTS` has for this place.
    ///
    /// # Errors
    /// That of `eio` and `enospc`.
    pub(crate) fn fail_at(name: &str) -> io::Result<()> {
        let Some(point) = POINTS.get(name) else { return Ok(()) };
        let hit = point.hits_so_far.fetch_add(1, Ordering::Relaxed) + 1;
        if !point.hits.contains(&hit) {
            return Ok(());
        }
        match point.action {
            Action::Kill => {
                let _ = kill_process(getpid(), Signal::KILL);
                // The kernel may stop this thread last: nothing may run on until then.
                std::thread::sleep(Duration::from_secs(10));
                Ok(())
            }
            Action::Fail(errno) => Err(errno.into()),
            Action::Panic => std::panic::panic_any(format!("the failpoint {name} was hit")),
            Action::Pause(seconds) => {
                waiting(|| std::thread::sleep(Duration::from_secs(seconds)));
                Ok(())
            }
            Action::Hold(path) => {
                std::fs::write(path.with_extension("held"), "")?;
                waiting(|| {
                    while !path.exists() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                });
                Ok(())
            }
        }
    }

    /// Waits without keeping other tasks of this worker thread: one of them may be what accepts connections.
    fn waiting(wait: impl FnOnce()) {
        use tokio::runtime::{Handle, RuntimeFlavor};
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        }
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::fail_at;

/// Does nothing in builds without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn fail_at(_name: &str) -> std::io::Result<()> {
    Ok(())
}

/// A place at which the process may die, pause or panic. Errors have no effect here.
#[inline(always)]
pub(crate) fn hit(name: &str) {
    let _ = fail_at(name);
}
