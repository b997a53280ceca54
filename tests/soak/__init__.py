"""The feeder for long beside stand-ins that misbehave at random."""
