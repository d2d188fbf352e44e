"""Xisuan broker: everything that touches the world. See ARCHITECTURE.md for the map."""
