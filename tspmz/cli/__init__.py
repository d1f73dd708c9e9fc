"""The command line: options generated from the configuration, and one module per command."""
