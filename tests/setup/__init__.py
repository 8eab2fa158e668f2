"""Setting up: named roots, the config file, configure, doctor, the catalogue."""
