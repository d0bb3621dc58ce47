//! Whole runs of asynchronous steps.
