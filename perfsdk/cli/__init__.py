"""The command `perfsdk`: each subcommand is a package with `add_arguments` and `run`."""
