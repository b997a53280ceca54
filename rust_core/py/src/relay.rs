//! `Relay`: the bad network between publisher and consumer.

use std::collections::HashMap;

use outcrier_core::chaos::{Burst, PPM, Plan, Start};
use outcrier_net::relay::{self, RelayLine};
use outcrier_net::{Endpoint, NetError, SubscriberConfig};
use pyo3::prelude::*;

use crate::{address, addresses, os_error, value_error};

/// Lines through a bad network.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Relay {
    relay: relay::Relay,
    plan: Plan,
    seed: u64,
    rcvbuf_bytes: usize,
    names: Vec<String>,
}

#[pymethods]
impl Relay {
    #[classattr]
    #[pyo3(name = "PPM")]
    const PARTS: u32 = PPM;

    #[new]
    #[pyo3(signature = (*, seed, rcvbuf_bytes, loss=0, burst=None, reorder=0, reorder_ns=0, duplicate=0, corrupt=0,
                        truncate=0, garbage=0, delay_ns=0, jitter_ns=0))]
    fn new(
        seed: u64,
        rcvbuf_bytes: usize,
        loss: u32,
        burst: Option<(u32, u32)>,
        reorder: u32,
        reorder_ns: u64,
        duplicate: u32,
        corrupt: u32,
        truncate: u32,
        garbage: u32,
        delay_ns: u64,
        jitter_ns: u64,
    ) -> PyResult<Self> {
        let burst = burst.map(|(length, every)| Burst { every, length, start: Start::Drawn });
        let plan = Plan {
            loss,
            burst,
            reorder,
            reorder_ns,
            duplicate,
            corrupt,
            truncate,
            garbage,
            delay_ns,
            jitter_ns,
        };
        plan.check().map_err(value_error)?;
        Ok(Self { relay: relay::Relay::new(), plan, seed, rcvbuf_bytes, names: Vec::new() })
    }

    #[pyo3(signature = (name, *, number, group, interface, port, to_group, to_interface, to_port, ttl, spared,
                        sources=Vec::new(), reuse_port=false))]
    fn add_line(
        &mut self,
        name: String,
        number: u8,
        group: &str,
        interface: &str,
        port: u16,
        to_group: &str,
        to_interface: &str,
        to_port: u16,
        ttl: u8,
        spared: bool,
        sources: Vec<String>,
        reuse_port: bool,
    ) -> PyResult<()> {
        let line = RelayLine {
            from: SubscriberConfig {
                interface: address("interface", interface)?,
                group: address("group", group)?,
                port,
                rcvbuf_bytes: self.rcvbuf_bytes,
                sources: addresses("sources", &sources)?,
                reuse_port,
            },
            to: Endpoint {
                group: address("to_group", to_group)?,
                interface: address("to_interface", to_interface)?,
                port: to_port,
            },
            ttl,
            plan: if spared { Plan::default() } else { self.plan },
            seed: self.seed,
            number,
        };
        self.relay.add(&line).map_err(|error| match error {
            NetError::HearsItself(_) | NetError::TooManyLines | NetError::Plan(_) => value_error(error),
            error => os_error(&error),
        })?;
        self.names.push(name);
        Ok(())
    }

    /// Without the GIL: other threads run meanwhile, and none of them can reach this relay.
    fn run(&mut self, py: Python<'_>, timeout_ns: u64) -> PyResult<()> {
        py.detach(|| self.relay.run(timeout_ns)).map_err(PyErr::from)
    }

    fn counts(&self) -> Vec<(&str, HashMap<&'static str, u64>)> {
        let counts = self.relay.counts().into_iter().map(|counts| counts.list().into_iter().collect());
        self.names.iter().map(String::as_str).zip(counts).collect()
    }

    fn waiting(&self) -> usize {
        self.relay.waiting()
    }

    fn effective_rcvbuf(&self) -> usize {
        self.relay.effective_rcvbuf()
    }
}
