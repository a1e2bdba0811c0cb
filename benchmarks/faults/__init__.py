"""What the show has to live through, done to real processes, with every matte looked at."""
