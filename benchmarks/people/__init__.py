"""People keyed by the embedded model and by MediaPipe's selfie segmentation, in the same run."""
