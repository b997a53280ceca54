"""What no venue escapes: every one of `outcrier.venues.VENUES`, over every recording and sample found for it."""
