//! Hostile and broken collectors.
