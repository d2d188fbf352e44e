"""Traces replayed in virtual time: the production planner and placer beside the usual queue policies."""
