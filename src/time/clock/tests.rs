//! Tests of the manual clocks and of the system's clocks.

use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

#[test]
fn a_manual_clock_moves_only_when_it_is_moved() {
    let (clock, time) = Clock::manual(start());
    let resumed = clock.resume(Moment::from_millis(500), clock.now());
    assert_eq!((clock.now().millis(), resumed.now().millis()), (0, 500));
    let mut wait = Box::pin(clock.sleep(HOUR));
    assert!((&mut wait).now_or_never().is_none());
    time.advance(HOUR - Duration::from_secs(1));
    assert!((&mut wait).now_or_never().is_none());
    time.advance(Duration::from_secs(1));
    assert!((&mut wait).now_or_never().is_some());
    assert_eq!(resumed.now().millis(), 3_600_500);
    assert_eq!(clock.wall(), start() + HOUR);
    time.set_wall(start());
    assert_eq!((clock.wall(), clock.now().millis()), (start(), 3_600_000));
}

#[test]
fn a_resumed_clock_counts_no_time_twice() {
    let (clock, time) = Clock::manual(start());
    let shown = Moment::default().after(HOUR);
    time.advance(Duration::from_secs(40));
    let resumed = clock.resume(shown, clock.now());
    assert_eq!(resumed.elapsed(), HOUR);
    time.advance(Duration::from_secs(5));
    assert_eq!(resumed.elapsed(), HOUR + Duration::from_secs(5));
    let again = resumed.resume(shown, resumed.now());
    assert_eq!(again.elapsed(), HOUR);
    // No moment is before the start of the clocks.
    let early = clock.resume(Moment::default(), clock.now());
    assert_eq!(early.elapsed(), clock.elapsed());
}

#[test]
fn suspensions_and_stops_count_as_age_but_not_as_running() {
    let (clock, time) = Clock::manual(start());
    let mut wait = Box::pin(clock.sleep(2 * HOUR));
    assert!((&mut wait).now_or_never().is_none());
    time.stop(HOUR);
    assert!((&mut wait).now_or_never().is_none());
    assert_eq!((clock.elapsed(), clock.ran()), (HOUR, Duration::ZERO));
    time.suspend(HOUR);
    assert!((&mut wait).now_or_never().is_some());
    assert_eq!((clock.elapsed(), clock.ran()), (2 * HOUR, Duration::ZERO));
    time.advance(HOUR);
    assert_eq!((clock.elapsed(), clock.ran()), (3 * HOUR, HOUR));
    assert_eq!(clock.wall(), start() + 3 * HOUR);
}

/// A response that comes immediately, with this `Date`.
fn answer(clock: &Clock, date: SystemTime) {
    clock.observe_date(date, clock.now());
}

#[test]
fn a_jump_is_a_suspension_only_if_a_response_confirms_it() {
    let (clock, time) = Clock::manual(start());
    answer(&clock, start());
    // Only the system clock jumps: a suspension that no monotonic clock counts.
    time.set_wall(start() + HOUR);
    assert_eq!(
        clock.elapsed(),
        Duration::ZERO,
        "not before it is confirmed"
    );
    answer(&clock, start() + HOUR);
    assert_eq!((clock.elapsed(), clock.ran()), (HOUR, Duration::ZERO));
    assert_eq!(clock.offset(), Some(0.0));
    // An operator sets the clock forward, and NTP sets it right again.
    time.set_wall(start() + 3 * HOUR);
    answer(&clock, start() + HOUR);
    assert_eq!(clock.elapsed(), HOUR);
    assert_eq!(clock.offset(), Some(-7200.0));
    assert_eq!(clock.corrected(), start() + HOUR);
    time.set_wall(start() + HOUR);
    answer(&clock, start() + HOUR);
    assert_eq!(clock.elapsed(), HOUR);
    assert!(clock.offset().unwrap().abs() <= 1.0, "{:?}", clock.offset());
    assert_eq!(clock.corrected(), start() + HOUR);
}

#[actix_rt::test]
async fn a_timeout_ends_a_future_that_takes_longer() {
    let (clock, time) = Clock::manual(start());
    assert_eq!(clock.timeout(HOUR, std::future::ready(1)).await, Some(1));
    let mut never = Box::pin(clock.timeout(HOUR, std::future::pending::<()>()));
    assert!((&mut never).now_or_never().is_none());
    time.advance(HOUR);
    assert_eq!((&mut never).now_or_never(), Some(None));
}

#[actix_rt::test]
async fn the_clocks_of_the_system_advance() {
    let clock = Clock::system();
    let (now, ran) = (clock.now(), clock.ran());
    clock.sleep(Duration::from_millis(20)).await;
    assert!(clock.now().since(now) >= Duration::from_millis(20));
    assert!(clock.ran() >= ran + Duration::from_millis(20));
    assert!(clock.wall() >= start());
    assert_eq!(
        clock
            .corrected()
            .duration_since(clock.wall())
            .unwrap_or_default()
            .as_secs(),
        0
    );
}

#[test]
fn the_thread_ends_with_the_clock() {
    let clock = Clock::system();
    clock.watch().unwrap();
    clock.watch().unwrap();
    let shared = Arc::downgrade(&clock.shared);
    drop(clock);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while shared.strong_count() > 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn time_counts_as_running_after_the_thread_has_died() {
    let (clock, time) = Clock::manual(start());
    let watch = Watch::begin(&clock.shared);
    time.advance(20 * SECOND);
    let before = clock.ran();
    assert!(
        before < SECOND,
        "a gap is a stop while the clocks are watched"
    );
    let thread = std::thread::spawn(move || {
        let _watch = watch;
        panic!("the watch dies");
    });
    assert!(thread.join().is_err());
    time.advance(20 * SECOND);
    assert_eq!(clock.ran(), before + 20 * SECOND);
    // A new thread does not evaluate the time before its start.
    let _watch = Watch::begin(&clock.shared);
    time.advance(SECOND);
    assert_eq!(clock.ran(), before + 21 * SECOND);
}

/// A log that reads the clock for each event, as the log of the service does.
struct Log {
    clock: Clock,
    events: Arc<AtomicUsize>,
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        let is_free = self.clock.shared.state.try_lock().is_ok();
        assert!(is_free, "the log would wait for ever");
        self.events.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_log_can_read_the_clock_that_logs() {
    let (clock, time) = Clock::manual(start());
    let _watch = Watch::begin(&clock.shared);
    let events = Arc::default();
    let log = Log {
        clock: clock.clone(),
        events: Arc::clone(&events),
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
        time.advance(20 * SECOND);
        assert!(clock.ran() < SECOND);
    });
    assert_eq!(events.load(Ordering::Relaxed), 1);
}
