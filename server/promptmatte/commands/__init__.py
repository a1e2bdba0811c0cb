"""The sub-commands of the command line, one a file: add_parser() and run()."""
