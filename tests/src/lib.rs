//! The end-to-end tests are in `it/`; this crate has no code of its own.
