"""The audit: what must never happen, checked from outside.

It reads the tables with SQL of its own and the engines' own records of what ran, and shares no code with the writers.
"""
