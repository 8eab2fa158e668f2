"""What stores across a network have in common: failures, patience, doubt."""
