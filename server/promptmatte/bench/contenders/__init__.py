"""Those who make mattes of the same frames, each in a process of its own."""
