//! Which panics a target dies of.
//!
//! A panic of the engine or of the Parquet reader is an error of one query or one file: that is promised, and tested
//! elsewhere. Such panics are shown, once for each place, and end the run only where nothing stops them. A panic of our own
//! code always does.

use std::{
    collections::BTreeSet,
    panic::PanicHookInfo,
    sync::{Mutex, Once},
};

/// Where the sources of other people's crates lie.
const REGISTRY: &str = "/registry/src/";

static OURS: Mutex<Option<String>> = Mutex::new(None);
static SHOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Tells the panics apart from now on. Those that end the run go to the hook that was there before.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if is_contained(panic) {
                show(panic);
                return;
            }
            before(panic);
            if let Ok(mut ours) = OURS.lock() {
                ours.get_or_insert_with(|| panic.to_string());
            }
        }));
    });
}

/// What panicked on another thread since the last call.
pub(crate) fn taken() -> Option<String> {
    OURS.lock().ok()?.take()
}

/// Whether it comes from other people's code. Where nothing contains such a panic, it gets to the target and ends it.
fn is_contained(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|place| place.file().contains(REGISTRY))
}

fn show(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    if SHOWN.lock().is_ok_and(|mut shown| shown.insert(place)) {
        eprintln!("contained: {panic}");
    }
}
