"""A disk cache in front of slow stores."""
