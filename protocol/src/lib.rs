//! The wire between library and daemon.
