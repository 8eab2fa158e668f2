"""Object store servers on this machine to test against, and a proxy that injects faults."""
