"""TouchDesigner's Python API, stood in for: see README.md in this folder."""

from __future__ import annotations

from pathlib import Path

STANDIN = Path(__file__).parent / "standin"
"""Goes on sys.path; then `import td` and `import td_bench` work."""
