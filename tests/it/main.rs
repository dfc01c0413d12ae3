//! The whole system: the real binary, used over HTTP as customers and staff would,
//! and killed in the middle.

mod cli;
mod kill;
mod people;
mod walk;
mod world;
