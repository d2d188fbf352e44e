"""Worlds: validated documents that say which hubs, accelerator models, clusters and cities there are."""
