"""The published "openb" inflation experiment (Weng et al., USENIX ATC 2023): ours beside its policies, one run."""
