//! Progress bars: on a terminal and nowhere else.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use lakebed_catalog::CrawlProgress;
use lakebed_types::{format_bytes, format_count};

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

/// A bar for files that are sent, of `total` bytes.
pub(crate) fn upload_bar(total: u64) -> ProgressBar {
    let bar = bar("{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}");
    bar.set_length(total);
    bar
}

/// A spinner for a result of unknown length: how much of it is there, and how fast it comes.
pub(crate) struct ResultBar {
    bar: ProgressBar,
    bytes: Arc<AtomicU64>,
}

impl ResultBar {
    /// Counts rows and bytes.
    pub(crate) fn of_rows() -> Self {
        Self::new("{spinner} {human_pos} rows  {rows_per_second}  {size}  {size_per_second}  {elapsed}")
    }

    /// Counts bytes, where the rows in them are not looked at.
    pub(crate) fn of_bytes() -> Self {
        Self::new("{spinner} {size}  {size_per_second}  {elapsed}")
    }

    fn new(template: &str) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let (size, speed) = (bytes.clone(), bytes.clone());
        let style = ProgressStyle::with_template(template).map(|style| {
            style
                .with_key("rows_per_second", move |state: &ProgressState, out: &mut dyn fmt::Write| {
                    // An error here would only be a text that does not fit.
                    let _ = write!(out, "{} rows/s", format_count(per_second(state.pos(), state)));
                })
                .with_key("size", move |_: &ProgressState, out: &mut dyn fmt::Write| {
                    let _ = out.write_str(&format_bytes(size.load(Ordering::Relaxed)));
                })
                .with_key("size_per_second", move |state: &ProgressState, out: &mut dyn fmt::Write| {
                    let _ = write!(out, "{}/s", format_bytes(per_second(speed.load(Ordering::Relaxed), state)));
                })
        });
        Self { bar: bar_with(style.ok()), bytes }
    }

    /// More of the result is there.
    pub(crate) fn add(&self, rows: usize, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.bar.inc(rows as u64);
    }
}

/// Taken away when the result is there, or has failed.
impl Drop for ResultBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn per_second(count: u64, state: &ProgressState) -> u64 {
    (count as f64 / state.elapsed().max(REDRAW).as_secs_f64()) as u64
}

fn bar(template: &str) -> ProgressBar {
    bar_with(ProgressStyle::with_template(template).ok())
}

fn bar_with(style: Option<ProgressStyle>) -> ProgressBar {
    // indicatif hides a bar by itself where stderr is no terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Some(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(REDRAW);
    bar
}
