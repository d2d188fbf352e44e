"""Real programs measured in the same run as ours: Slurm, HyperQueue, Ray; and the ceilings of PostgreSQL and gRPC."""
