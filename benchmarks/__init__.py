"""Measurements: side by side with a rival or a ceiling in one run, seeded, and void without a clean audit."""
