//! Lines and progress bars for the person at the terminal.
//!
//! **Invariant:** a line that cannot be written is dropped. `println!` would panic, and a
//! shop whose standard output is a closed pipe or lies on a full disk would end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line to standard output.
macro_rules! line {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stdout(), $($text)*);
    }};
}

/// Prints a line to standard error.
macro_rules! error_line {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr(), $($text)*);
    }};
}

/// The template of a bar that counts rows.
pub(crate) const ROWS_BAR: &str =
    "{prefix} {wide_bar:.cyan/dim} {human_pos}/{human_len} rows ETA {eta}";

/// The interval at which a progress bar is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// A progress bar on a terminal, and nothing elsewhere.
///
/// # Panics
/// When `template` is not one of indicatif's.
pub(crate) fn progress_bar(template: &str, prefix: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    let bar = ProgressBar::new(length)
        .with_style(style)
        .with_prefix(prefix);
    bar.enable_steady_tick(TICK);
    bar
}

pub(crate) use {error_line, line};
