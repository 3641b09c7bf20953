//! HTTP in: listeners, routes, balancing, pages.
