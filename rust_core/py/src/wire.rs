//! Frames in plain values, for tools and tests that do not care for speed.

use outcrier_core::receive;
use outcrier_core::wire::{self, Described, FieldLayout, Header, RetxRequest, Value, Values, msg};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList};

use crate::publisher::keyring;
use crate::value_error;

fn value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::U64(number) => PyInt::new(py, *number).into_any(),
        Value::I64(number) => PyInt::new(py, *number).into_any(),
        Value::F64(number) => PyFloat::new(py, *number).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
    })
}

pub(crate) fn dict<'py>(py: Python<'py>, values: &Values) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, field) in values {
        dict.set_item(name, value(py, field)?)?;
    }
    Ok(dict)
}

fn frame<'py>(py: Python<'py>, described: &Described) -> PyResult<Bound<'py, PyDict>> {
    let all = dict(py, &described.header)?;
    all.set_item("msg", described.msg)?;
    all.set_item("root", dict(py, &described.root)?)?;
    let records: Vec<_> = described.records.iter().map(|record| dict(py, record)).collect::<PyResult<_>>()?;
    all.set_item("records", PyList::new(py, records)?)?;
    let messages: Vec<_> =
        described.messages.iter().map(|message| frame(py, message)).collect::<PyResult<_>>()?;
    all.set_item("messages", PyList::new(py, messages)?)?;
    Ok(all)
}

/// Checks and decodes one frame.
#[pyfunction]
pub(crate) fn decode_frame<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let checked = wire::check(data).map_err(|refusal| value_error(refusal.as_str()))?;
    frame(py, &wire::describe(&checked))
}

/// Message, type number, part and fields of every struct of the wire.
#[pyfunction]
pub(crate) fn wire_layouts() -> Vec<(&'static str, u8, &'static str, Vec<FieldLayout>)> {
    wire::layouts()
}

/// Asks a retransmit server whether it is there, and for nothing.
#[pyfunction]
#[pyo3(signature = (*, channel, session, venue, correlation, consumer_id, cookie=0, keys=""))]
pub(crate) fn health_probe<'py>(
    py: Python<'py>,
    channel: u8,
    session: u32,
    venue: u16,
    correlation: u64,
    consumer_id: u64,
    cookie: u64,
    keys: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let keys = keyring(keys)?;
    let about =
        Header { channel_seq: correlation, ..Header::new(msg::RETX_REQUEST, channel, session, venue) };
    let probe = receive::health_probe(about, RetxRequest { consumer_id, cookie }, keys.as_ref());
    Ok(PyBytes::new(py, &probe))
}
