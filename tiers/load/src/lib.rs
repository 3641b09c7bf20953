//! The load tester and the ladder.
