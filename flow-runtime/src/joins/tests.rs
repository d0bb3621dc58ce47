//! What waits of one key.
