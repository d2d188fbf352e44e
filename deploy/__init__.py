"""What a machine needs, and what operators see: dashboards, rules, alerts, runbooks."""
