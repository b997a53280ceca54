"""Real processes and sockets in network namespaces, with faults between them (docs/reliability.md).

Needs Linux, root, iproute2 and nftables; where something is missing the tests are skipped and say what.
"""
