"""Background services with `run_once(now)`: rounds, numbering, expiry, silence. `service` keeps them running."""
