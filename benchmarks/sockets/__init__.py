"""Programs and their handling for the rows that need sockets: load, consumers, the end-to-end driver."""
