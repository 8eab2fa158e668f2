"""Manifests, versions and the log: what a repository was at every commit."""
