"""Alpha of the unknown pixels about an edge, solved for all of them at once; for work off line."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]
Places = npt.NDArray[np.intp]

FLATNESS = 1e-6
"""Variance of a colour, of 1, under which a window counts as flat."""

PRIOR = 0.02
"""Weight of the guess beside that of the neighbours. Without it, thing and ground that look
alike run into each other: four times the error of the guess on such pictures."""

SURE_PRIOR = 0.1
"""What is added to it where the guess is 0 or 1."""

TOLERANCE = 1e-3
"""Size of the residual, relative to that of the right side, at which the solution will do."""

MAX_STEPS = 400

COARSEST_PX = 128
"""A picture whose sides are all at least this long is solved at half the size before."""

OFFSETS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
"""The pixels of a window, from its centre."""


def closed_form_alpha(pixels: Pixels, guess: Pixels, unknown: npt.NDArray[np.bool_]) -> Pixels:
    """Alpha uint8 [H, W], a new array: the guess where it is known, elsewhere solved.

    pixels: uint8 RGB [H, W, 3]; guess: alpha uint8 [H, W], from which the solution starts;
    unknown: bool [H, W]. Closed-form matting (Levin, Lischinski and Weiss 2008): in every
    window of 3 x 3 alpha is as linear in colour as it can be. Solved by conjugate gradients,
    at half the size first.
    """
    alpha = guess.copy()
    inner = unknown.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    if inner.any():
        start = _from_half(pixels, guess, inner)
        alpha[inner] = np.clip(
            255 * _solved(pixels, guess, inner, start[inner] / 255) + 0.5, 0, 255
        )
    return alpha


def _solved(
    pixels: Pixels, guess: Pixels, unknown: npt.NDArray[np.bool_], solution: Floats
) -> Floats:
    """Alpha of the unknown pixels, 0 to 1, in their order, by conjugate gradients.

    solution: where to start from; changed in place.
    """
    places = np.flatnonzero(unknown)
    neighbours, weights = _laplacian(pixels, unknown)
    guessed = guess.ravel()[places] / 255
    trust = PRIOR + SURE_PRIOR * (2 * guessed - 1) ** 8
    diagonal = weights[:, 12]
    diagonal += trust
    whole = guess.ravel() / 255
    whole[places] = 0

    def applied(values: Floats) -> Floats:
        """The system times values of the unknown pixels."""
        whole[places] = values
        product: Floats = np.einsum("ij,ij->i", weights, whole[neighbours])
        return product

    right = trust * guessed - applied(np.zeros(places.size))
    whole[:] = 0
    residual = right - applied(solution)
    direction = scaled = residual / diagonal
    energy = float(residual @ scaled)
    goal = TOLERANCE * float(np.linalg.norm(right))
    for _ in range(MAX_STEPS):
        if float(np.linalg.norm(residual)) <= goal:
            break
        product = applied(direction)
        step = energy / float(direction @ product)
        solution += step * direction
        residual -= step * product
        scaled = residual / diagonal
        energy, before = float(residual @ scaled), energy
        direction = scaled + energy / before * direction
    return solution


def _from_half(pixels: Pixels, guess: Pixels, unknown: npt.NDArray[np.bool_]) -> Pixels:
    """A better guess, of large pictures: the solution at half the size, enlarged."""
    height, width = guess.shape
    if min(height, width) < COARSEST_PX:
        return guess
    half_wh = width // 2, height // 2
    small, small_guess = (
        cv2.resize(picture, half_wh, interpolation=cv2.INTER_AREA) for picture in (pixels, guess)
    )
    small_unknown = cv2.resize(unknown.view(np.uint8), half_wh, interpolation=cv2.INTER_NEAREST)
    solved = closed_form_alpha(small, small_guess, small_unknown > 0)
    return np.asarray(cv2.resize(solved, (width, height)), np.uint8)


def _laplacian(pixels: Pixels, unknown: npt.NDArray[np.bool_]) -> tuple[Places, Floats]:
    """The rows of the matting Laplacian of the unknown pixels: the places of the 25 pixels
    about each, in the flattened picture, and their weights; [N, 25] both."""
    width = unknown.shape[1]
    places = np.flatnonzero(unknown)
    row_of = np.full(unknown.size, -1, np.intp)
    row_of[places] = np.arange(places.size)
    near = cv2.dilate(unknown.view(np.uint8), np.ones((3, 3), np.uint8))
    near[[0, -1]] = near[:, [0, -1]] = 0
    centres = np.flatnonzero(near)
    steps = np.array([y * width + x for y, x in OFFSETS])
    colours = pixels.reshape(-1, 3)[centres[:, np.newaxis] + steps] / 255
    colours -= colours.mean(axis=1, keepdims=True)
    spread = np.einsum("nij,nik->njk", colours, colours) / 9 + FLATNESS / 9 * np.eye(3)
    along = colours @ np.linalg.inv(spread)
    weights = np.zeros((places.size, 25))
    for i, (y, x) in enumerate(OFFSETS):
        rows = row_of[centres + steps[i]]
        inside = rows >= 0
        rows = rows[inside]
        for j, (other_y, other_x) in enumerate(OFFSETS):
            slot = 5 * (other_y - y + 2) + other_x - x + 2
            affinity = (1 + np.einsum("nk,nk->n", along[inside, i], colours[inside, j])) / 9
            weights[rows, slot] += (i == j) - affinity
    around = [(y * width + x) for y in range(-2, 3) for x in range(-2, 3)]
    neighbours = np.clip(places[:, np.newaxis] + np.array(around), 0, unknown.size - 1)
    return neighbours, weights
