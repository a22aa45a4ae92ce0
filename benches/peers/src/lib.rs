//! Holds no code: the benches are in `benches/`.
