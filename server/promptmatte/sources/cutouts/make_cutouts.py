"""Makes the cut-out mattes of the test pictures: python make_cutouts.py (needs promptmatte[demo]).

A hand-placed outline gives sure foreground and background, GrabCut finds the edge between
them, and closed-form matting (Levin, Lischinski and Weiss, 2008) gives the edge its softness.
Only the results, 8-bit alpha PNGs as large as the photographs, are shipped and read.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import scipy.sparse  # type: ignore[import-untyped]
import scipy.sparse.linalg  # type: ignore[import-untyped]
import skimage.data

Image = npt.NDArray[np.uint8]

# Outlines in pixels (x, y) of the photographs, clockwise.
ASTRONAUT = [
    (55, 530), (30, 490), (24, 465), (20, 415), (22, 385), (28, 345), (33, 315), (43, 283),
    (57, 250), (80, 227), (107, 207), (114, 192), (124, 170), (140, 155), (165, 149), (184, 149),
    (180, 131), (168, 122), (155, 102), (152, 80), (162, 52), (188, 30), (210, 18), (237, 15),
    (268, 22), (290, 44), (302, 80), (298, 102), (285, 125), (272, 137), (265, 155), (258, 173),
    (280, 192), (297, 215), (305, 236), (330, 248), (347, 272), (354, 290), (360, 320),
    (366, 346), (380, 345), (405, 342), (425, 348), (452, 362), (475, 390), (492, 425),
    (499, 452), (510, 475), (520, 530),
]  # fmt: skip
CAT = [
    (41, -20), (34, 30), (31, 60), (31, 90), (34, 115), (41, 135), (49, 155), (57, 175),
    (67, 195), (81, 214), (99, 231), (120, 246), (142, 258), (165, 268), (190, 276), (215, 282),
    (240, 285), (265, 282), (285, 275), (302, 262), (312, 245), (318, 225), (324, 212),
    (336, 200), (346, 188), (354, 170), (361, 150), (362, 130), (358, 110), (355, 90), (353, 78),
    (362, 65), (372, 50), (383, 25), (405, -20),
]  # fmt: skip


def trimap(image: Image, outline: list[tuple[int, int]], reach: int, band: int) -> Image:
    """0 background, 128 unknown, 255 foreground, [H, W].

    GrabCut moves the outline by at most `reach` pixels; `band` pixels on each side of
    the edge it finds are left unknown.
    """
    height, width = image.shape[:2]
    pad = 32  # so that outlines may leave the picture
    inside = np.zeros((height + 2 * pad, width + 2 * pad), np.uint8)
    cv2.fillPoly(inside, [np.array(outline, np.int32) + pad], 1)

    def grown(mask: Image, by: int) -> Image:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
        return np.asarray(cv2.dilate(mask, kernel), np.uint8)

    labels = np.full_like(inside, cv2.GC_BGD)
    labels[grown(inside, reach) > 0] = cv2.GC_PR_BGD
    labels[inside > 0] = cv2.GC_PR_FGD
    labels[grown(1 - inside, reach) == 0] = cv2.GC_FGD
    padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(padded, labels, None, *models, 6, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    found = cv2.morphologyEx(cv2.morphologyEx(found, cv2.MORPH_OPEN, disc), cv2.MORPH_CLOSE, disc)

    result = np.full_like(found, 128)
    result[grown(found, band) == 0] = 0
    result[grown(1 - found, band) == 0] = 255
    return np.asarray(result[pad : pad + height, pad : pad + width])


def closed_form_alpha(image: Image, known: Image, epsilon: float = 1e-5) -> Image:
    """Alpha uint8 [H, W] that is smooth where the colours are, and equals the trimap."""
    height, width = known.shape
    rgb = image.reshape(-1, 3).astype(np.float64) / 255
    index = np.arange(height * width).reshape(height, width)
    windows = np.lib.stride_tricks.sliding_window_view(index, (3, 3)).reshape(-1, 9)
    near = cv2.dilate((known == 128).astype(np.uint8), np.ones((5, 5), np.uint8))[1:-1, 1:-1]
    windows = windows[near.ravel() > 0]
    colours = rgb[windows]  # [N, 9, 3]
    centred = colours - colours.mean(axis=1, keepdims=True)
    covariance = np.einsum("nij,nik->njk", centred, centred) / 9 + epsilon / 9 * np.eye(3)
    affinity = 1 + np.einsum("nij,njk,nlk->nil", centred, np.linalg.inv(covariance), centred)
    values = np.eye(9) - affinity / 9
    rows, columns = np.repeat(windows, 9, axis=1), np.tile(windows, 9)
    size = height * width
    laplacian = scipy.sparse.csr_matrix(
        (values.ravel(), (rows.ravel(), columns.ravel())), shape=(size, size)
    )
    unknown = np.flatnonzero(known.ravel() == 128)
    alpha = known.ravel() / 255
    fixed = alpha.copy()
    fixed[unknown] = 0
    system = laplacian[unknown][:, unknown] + 1e-6 * scipy.sparse.identity(unknown.size)
    alpha[unknown] = scipy.sparse.linalg.spsolve(system.tocsc(), -(laplacian @ fixed)[unknown])
    return (np.clip(alpha, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(height, width)


def main() -> None:
    """Writes the mattes beside this file."""
    folder = Path(__file__).parent
    for name, photo, outline, reach, band in (
        ("astronaut", skimage.data.astronaut(), ASTRONAUT, 7, 4),
        ("chelsea", skimage.data.chelsea(), CAT, 3, 4),
    ):
        alpha = closed_form_alpha(photo, trimap(photo, outline, reach, band))
        ok, data = cv2.imencode(".png", alpha, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        if not ok:
            raise RuntimeError(f"expected OpenCV to encode {name}.png; it did not")
        (folder / f"{name}.png").write_bytes(data.tobytes())


if __name__ == "__main__":
    main()
