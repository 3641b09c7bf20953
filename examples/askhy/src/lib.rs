//! 부탁하냥: a small board of requests and cheers.
