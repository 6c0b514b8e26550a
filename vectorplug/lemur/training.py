"""Features that are trained: directions and thresholds by which the targets are predicted best."""

import numpy as np
import numpy.typing as npt

__all__ = ["RIDGE", "first_features", "second_moment", "trained_features"]

Floats = npt.NDArray[np.float32]

# Of the mean of the features' second moments, added to each.
RIDGE = 1e-3
# Standard deviations, over the sample, by which a token must lie beyond the mean in a direction to be felt there.
THRESHOLD = 1.0
# Principal axes of the documents whose targets are learnt: with twice as many nothing more was found.
TARGETS = 256
# Steps of the descent, tokens of each, and how many of them go by one solution of the weights.
STEPS = 200
TOKENS = 512
STEPS_A_SOLUTION = 10
# The first step, as a share of the root mean square of what is learnt; the last is near zero.
RATE = 0.15
# Adam's memory of the gradient, and of its square.
MEMORY, MEMORY_OF_SQUARES = 0.9, 0.98


def first_features(tokens: Floats, count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Directions float32 [count, dim] and thresholds float32 [count] of `tokens` float32 [n, dim], not all equal.

    Each direction leads from the mean of the tokens to one of them, which follows what tokens are like as no Gaussian
    does; beyond their number directions are Gaussian. Features are as large as the tokens' own numbers, in the root
    mean square.
    """
    mean = tokens.mean(axis=0, dtype=np.float64).astype(np.float32)
    anchors = tokens[random.permutation(len(tokens))[:count]] - mean
    directions = np.concatenate([anchors, random.standard_normal((count - len(anchors), tokens.shape[1]), np.float32)])
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.where(norms > 0, norms, 1)
    heights = tokens @ directions.T - directions @ mean
    # Where there are few different tokens, some must still reach beyond.
    edges = np.minimum(THRESHOLD * heights.std(axis=0), heights.max(axis=0) / 2)
    scale = np.float32(_size(tokens) / _size(np.maximum(heights - edges, 0)))
    return directions * scale, (directions @ mean + edges) * scale


def trained_features(
    tokens: Floats, targets: Floats, directions: Floats, thresholds: Floats, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Directions and thresholds that predict `targets` float32 [documents, n] of `tokens` float32 [n, dim] better.

    What is descended is the squared error of the ridge regression of the targets on the features and the tokens
    themselves. Its weights are solved anew every few steps, so that the gradient is that of the features alone
    (variable projection, Golub & Pereyra 1973); the steps are Adam's (arXiv 1412.6980). Targets are taken along the
    principal axes of the documents.
    """
    wanted = _principal(targets)
    count, size = len(directions), _size(wanted)
    if not size:  # documents that are all alike: nothing to learn
        return directions, thresholds
    wanted /= size
    # A threshold is the weight of one more number, the same in every token and about as large as a token is.
    level = np.float32(_size(tokens) * np.sqrt(tokens.shape[1]))
    inputs = np.concatenate([tokens, np.full((len(tokens), 1), -level, np.float32)], axis=1)
    learnt = np.concatenate([directions, thresholds[:, None] / level], axis=1)
    rate = RATE * _size(learnt)
    gradient_mean, square_mean = np.zeros_like(learnt), np.zeros_like(learnt)
    for step in range(STEPS):
        if step % STEPS_A_SOLUTION == 0:
            features = np.concatenate([np.maximum(inputs @ learnt.T, 0), tokens], axis=1)
            weights = np.linalg.solve(second_moment(features), features.T @ wanted / np.float32(len(tokens)))
            weights = weights.astype(np.float32)
        chosen = random.integers(len(tokens), size=TOKENS)
        drawn = inputs[chosen]
        features = np.maximum(drawn @ learnt.T, 0)
        error = features @ weights[:count] + tokens[chosen] @ weights[count:] - wanted[chosen]
        gradient = ((error @ weights[:count].T) * (features > 0)).T @ drawn
        gradient_mean += (1 - MEMORY) * (gradient - gradient_mean)
        square_mean += (1 - MEMORY_OF_SQUARES) * (gradient * gradient - square_mean)
        mean = gradient_mean / (1 - MEMORY ** (step + 1))
        root = np.sqrt(square_mean / (1 - MEMORY_OF_SQUARES ** (step + 1)))
        pace = rate * (1 + np.cos(np.pi * (step + 1) / STEPS)) / 2
        # A feature that no token reaches has no gradient, and stays.
        learnt -= np.float32(pace) * np.divide(mean, root, out=np.zeros_like(mean), where=root > 0)
    return learnt[:, :-1], learnt[:, -1] * level


def second_moment(features: Floats) -> npt.NDArray[np.float64]:
    """float64 [features, features]: the mean over `features` [n, features] of their products, and its ridge."""
    moment = (features.T @ features).astype(np.float64) / len(features)
    moment[np.diag_indices(len(moment))] += RIDGE * np.trace(moment) / len(moment)
    return moment


def _principal(targets: Floats) -> Floats:
    """float32 [n, axes]: `targets` along the axes in which documents differ most."""
    axes = np.linalg.eigh((targets @ targets.T).astype(np.float64))[1][:, ::-1][:, :TARGETS]
    return targets.T @ axes.astype(np.float32)


def _size(numbers: Floats) -> float:
    return float(np.sqrt(np.square(numbers, dtype=np.float64).mean()))
