"""Processes of one broker that take its calls, and what they and the broker's own process tell each other."""
