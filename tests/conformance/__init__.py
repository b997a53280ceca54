"""What no venue escapes: each of `outcrier.venues.VENUES`, over every recording and sample of it."""
