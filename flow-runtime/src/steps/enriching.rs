//! `enrich`: what is looked up for an item, through a cache.
