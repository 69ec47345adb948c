//! Short runs of known stories.
