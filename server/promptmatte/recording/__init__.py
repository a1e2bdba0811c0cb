"""Video files and picture sequences with alpha, written off line or while the mattes go on."""
