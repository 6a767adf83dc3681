//! Progress bars: on a terminal and nowhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lakebed_catalog::CrawlProgress;

const REDRAW: Duration = Duration::from_millis(100);

/// A bar for a crawl: listed files, then inspected ones.
pub(crate) fn crawl_bar(what: &str) -> ProgressBar {
    let bar = bar("{spinner} {prefix}: {msg}");
    bar.set_prefix(what.to_owned());
    bar
}

/// Shows where a crawl is.
pub(crate) fn show_crawl(bar: &ProgressBar, progress: CrawlProgress) {
    bar.set_message(format!("{} listed, {} of {} inspected", progress.listed, progress.inspected, progress.to_inspect));
}

/// A bar for rows written, out of `total`.
pub(crate) fn rows_bar(total: u64) -> ProgressBar {
    let bar = bar("{wide_bar} {human_pos}/{human_len} rows  {per_sec}  {eta}");
    bar.set_length(total);
    bar
}

/// A spinner with rows, bytes and speed for a result of unknown length.
pub(crate) fn result_bar() -> ProgressBar {
    bar("{spinner} {human_pos} rows  {per_sec}  {elapsed}")
}

fn bar(template: &str) -> ProgressBar {
    // indicatif hides a bar by itself where stderr is no terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(REDRAW);
    bar
}
