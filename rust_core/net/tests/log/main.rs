//! The log as a publisher uses it, what a crash leaves of it, and disks that are full, slow or broken.

mod common;
mod crash;
mod damage;
mod disk;
mod lifecycle;
mod manifests;
mod mounted;
