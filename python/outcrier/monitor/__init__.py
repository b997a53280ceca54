"""What the monitors show: what is on the wire, and what feeders say of themselves."""
