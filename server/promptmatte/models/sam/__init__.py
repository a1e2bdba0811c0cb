"""segment_anything's models: load_sam reads one, SamNetwork runs it."""

from promptmatte.models.sam.checkpoint import load_sam
from promptmatte.models.sam.features import SamFeatures
from promptmatte.models.sam.network import SamNetwork

__all__ = ["SamFeatures", "SamNetwork", "load_sam"]
