"""Checks that a program speaks the shared-memory protocol of docs/shm-protocol.md.

The suite plays the server, also a damaged, dead or hostile one; the program under test, the
candidate, is driven by lines of JSON on its standard input and output.
"""
