"""The agent: speaks for one cluster, dials the broker, and keeps what runs equal to what should run.

It knows the wire and its engine, nothing of the broker's inside: import contracts keep it shippable alone.
"""
