"""The feeder: connects to venues, hands their frames to the core, publishes what the core makes of them.

`connection`, `plan` and `snapshots` are sans-I/O (times are arguments); `transport*` and `http` are thin
adapters of libraries; `state` is the state directory; `service` drives it all from one event loop.
"""
