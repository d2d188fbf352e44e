"""Xisuan scheduler: decides and touches nothing. See ARCHITECTURE.md."""
