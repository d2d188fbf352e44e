"""The pages of the console: each asks use cases, and hands what they say to a template."""
