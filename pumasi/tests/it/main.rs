//! The program as its users meet it: arguments in, output and exit code out.
mod configuration;
mod program;
mod running;
