"""Streams on several machines: Ray places their workers, a supervisor brings lost ones back."""
