"""Points of a depth camera under a matte: a masked XYZ texture, a PLY file, live or from files."""
