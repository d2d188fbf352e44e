"""Placement policies: what a city's job allows, signed by the broker for one lease, checked by agents and auditors."""
