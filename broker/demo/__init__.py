"""The demo: a day of a real trace, time compressed, served by real brokers, agents and processes, then audited."""
