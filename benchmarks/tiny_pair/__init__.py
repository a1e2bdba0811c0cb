"""A tiny SAM and a tiny CLIP, trained on photographs with masks, and what the product's own
prompters make of them: their truth without released weights."""
