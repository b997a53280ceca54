"""Recorded sessions of exchanges: reading them, replaying them, standing in for the exchange with them."""
