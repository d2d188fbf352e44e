"""Engines: what really runs jobs on a cluster, behind one protocol (`protocol.py`) and one conformance suite.

Kept free of imports: the supervisor of the local engine starts through this package and has to start fast.
"""
