"""Sessions that other processes write to: forks of arrays and of stores, merged by the owner."""
