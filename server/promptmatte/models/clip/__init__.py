"""CLIP: any open_clip model whose image tower is open_clip's own VisionTransformer."""

from promptmatte.models.clip.load import load_clip
from promptmatte.models.clip.network import ClipNetwork

__all__ = ["ClipNetwork", "load_clip"]
