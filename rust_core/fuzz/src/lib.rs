//! Fuzz targets of Outcrier: what they do with the bytes that libFuzzer makes up, and real frames to begin with.

pub mod bodies;
pub mod log;
