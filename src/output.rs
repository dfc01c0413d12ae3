//! Lines for the person at the terminal.
//!
//! **Invariant:** a line that cannot be written is dropped. `println!` would panic, and a
//! shop whose standard output is a closed pipe or lies on a full disk would end.

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

pub(crate) use {error_line, line};
