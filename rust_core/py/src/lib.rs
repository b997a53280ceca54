//! `outcrier._core`: names for Python, and nothing else. What happens is in `outcrier-core` and `outcrier-net`.
#![allow(clippy::too_many_arguments, reason = "Python calls with keywords, which name them")]
#![allow(clippy::needless_pass_by_value, reason = "PyO3 converts lists into vectors of their own")]

mod decoder;
mod feed;
mod log;
mod market;
mod mirrored;
mod monitor;
mod orders;
mod outlet;
mod publisher;
mod receiver;
mod relay;
mod sockets;
mod upkeep;
mod wire;
mod wishes;

use std::net::Ipv4Addr;

use outcrier_core::decimal::{self, DecimalError};
use outcrier_core::receive::Line;
use outcrier_net::clock;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Bits that `Feed.on_frame` returns.
const HANDLED: u8 = 0;
const FOR_PYTHON: u8 = 1;
const NOTICES: u8 = 2;

/// CLOCK_MONOTONIC in nanoseconds.
#[pyfunction]
fn mono_ns() -> u64 {
    clock::mono_ns()
}

/// UTC nanoseconds since the epoch.
#[pyfunction]
fn wall_ns() -> i64 {
    clock::wall_ns()
}

/// How the system's wall clock is kept: whether it is, the correction under way, the estimated error and its bound.
#[pyfunction]
fn system_clock(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let system = clock::system_clock();
    let values = PyDict::new(py);
    values.set_item("synchronised", system.synchronised)?;
    values.set_item("offset_ns", system.offset_ns)?;
    values.set_item("error_ns", system.error_ns())?;
    Ok(values)
}

/// Mantissa of a decimal text at 10**exp.
#[pyfunction]
fn parse_decimal(text: &str, exp: i8) -> PyResult<i64> {
    decimal::parse(text.as_bytes(), exp).map_err(|error| match error {
        DecimalError::Junk => value_error(format!("{text:?} is no decimal number")),
        DecimalError::Overflow => value_error(format!("{text:?} does not fit 64 bits at 10**{exp}")),
        DecimalError::NeedsFiner { exp: needed } => {
            value_error(format!("{text:?} has more digits than 10**{exp} holds, it needs 10**{needed}"))
        }
    })
}

/// Bad arguments: the text names what is wrong.
fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// An IPv4 address given as text.
fn address(name: &str, text: &str) -> PyResult<Ipv4Addr> {
    text.parse().map_err(|_| value_error(format!("{name} {text:?} is no IPv4 address")))
}

/// IPv4 addresses given as texts.
fn addresses(name: &str, texts: &[String]) -> PyResult<Vec<Ipv4Addr>> {
    texts.iter().map(|text| address(name, text)).collect()
}

/// The same of one, where empty text means none.
fn optional_address(name: &str, text: &str) -> PyResult<Option<Ipv4Addr>> {
    if text.is_empty() { Ok(None) } else { address(name, text).map(Some) }
}

/// A plane by its number.
fn line(plane: u8) -> PyResult<Line> {
    Line::from_number(plane).ok_or_else(|| value_error(format!("plane {plane} is none of 0 to 5")))
}

/// A socket that cannot be had: the text names group, interface and port.
fn os_error(error: &outcrier_net::NetError) -> PyErr {
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// Native core of Outcrier.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::decoder::Decoder;
    #[pymodule_export]
    use super::feed::Feed;
    #[pymodule_export]
    use super::log::{LogReader, LogWriter, log_survey};
    #[pymodule_export]
    use super::market::Market;
    #[pymodule_export]
    use super::mirrored::MirroredOrders;
    #[pymodule_export]
    use super::monitor::Monitor;
    #[pymodule_export]
    use super::orders::{Inference, OrderBook};
    #[pymodule_export]
    use super::publisher::Publisher;
    #[pymodule_export]
    use super::receiver::{Receiver, layouts};
    #[pymodule_export]
    use super::relay::Relay;
    #[pymodule_export]
    use super::wire::{decode_frame, health_probe, wire_layouts};
    #[pymodule_export]
    use super::{mono_ns, parse_decimal, system_clock, wall_ns};
    use outcrier_core::receive::Reported;
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("HANDLED", super::HANDLED)?;
        module.add("FOR_PYTHON", super::FOR_PYTHON)?;
        module.add("NOTICES", super::NOTICES)?;
        let states: Vec<_> = Reported::ALL.iter().map(|state| state.as_str()).collect();
        module.add("STATES", PyTuple::new(module.py(), states)?)
    }
}
