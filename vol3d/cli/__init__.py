"""The command line: one file per command, and the only prints of the toolkit."""
