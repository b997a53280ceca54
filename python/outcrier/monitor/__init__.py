"""What `udp_monitor` shows: rates, losses and last seen by channel, plane and message type."""
