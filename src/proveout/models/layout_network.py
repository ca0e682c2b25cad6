"""The network of the layout encoder, in torch. `layout_encoder` prepares its inputs, trains it and stores it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHORTEST, LONGEST = 3.0, 300.0  # wavelengths of the rotary positions, in heights of a line
OCTAVES = (1, 4)  # of the sines and cosines of a segment's place on its page
PLACED = 4 + 8 * len(OCTAVES)  # numbers that say where a segment is: its box, and a sine and a cosine of it for each octave


@dataclass(frozen=True)
class PageInputs:
    """One document. Segments are rows; a candidate names its segment by the row."""

    vectors: Tensor  # (segments, 384): what each text means
    boxes: Tensor  # (segments, 4): x0, y0, x1, y1 as shares of the page
    shapes: Tensor  # (segments, shapes): how each text is written
    phrases: Tensor  # (segments, 2 x fields): similarity in meaning to each field's labels and to its not_labels
    places: Tensor  # (segments, 2): left edge and middle, in heights of a line
    pages: list[Tensor]  # the rows of each page
    candidates: Mapping[str, tuple[Tensor, Tensor, Tensor]]  # field to rows, (candidates, 2) whether at the ends, columns

    def to(self, device: str) -> "PageInputs":
        return PageInputs(
            self.vectors.to(device),
            self.boxes.to(device),
            self.shapes.to(device),
            self.phrases.to(device),
            self.places.to(device),
            [rows.to(device) for rows in self.pages],
            {name: (a.to(device), b.to(device), c.to(device)) for name, (a, b, c) in self.candidates.items()},
        )


class LayoutNetwork(nn.Module):  # type: ignore[misc]
    """Transformer over the segments of a page, and a head that scores each candidate of each field.

    Queries and keys are turned by their places, across and down, so attention depends on distances (rotary positions,
    arXiv:2104.09864, in two dimensions).
    """

    means: Tensor
    deviations: Tensor
    descriptions: Tensor

    def __init__(
        self, fields: int, columns: int, shapes: int, texts: int, width: int, heads: int, layers: int, drop: float
    ) -> None:
        super().__init__()
        self.text = nn.Linear(texts, width)
        self.shape = nn.Linear(PLACED + shapes, width)
        self.phrase = nn.Linear(2 * fields, width)
        self.layers = nn.ModuleList(_Layer(width, heads, drop) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.column = nn.ModuleList(
            nn.Sequential(nn.Linear(columns, width), nn.GELU(), nn.Linear(width, width)) for _ in range(fields)
        )
        self.ends = nn.Linear(2, width)
        self.description = nn.Linear(texts, width)
        head = [nn.LayerNorm(2 * width), nn.Linear(2 * width, width), nn.GELU(), nn.Dropout(drop), nn.Linear(width, 1)]
        self.head = nn.Sequential(*head)
        self.none = nn.Parameter(torch.zeros(fields))  # score of "no candidate is right"
        self.register_buffer("means", torch.zeros(fields, columns))
        self.register_buffer("deviations", torch.ones(fields, columns))
        self.register_buffer("descriptions", torch.zeros(fields, texts))

    def forward(self, document: PageInputs) -> list[Tensor]:
        """Per field, in the order of the candidates' mapping: scores of its candidates and of "none", (candidates + 1,)."""
        waves = [wave(document.boxes * octave * math.pi) for octave in OCTAVES for wave in (torch.sin, torch.cos)]
        placed = torch.cat([document.boxes, *waves, document.shapes], 1)
        segments = self.text(document.vectors) + self.shape(placed) + self.phrase(document.phrases)
        states = torch.zeros_like(segments)
        for rows in document.pages:
            page, turns = segments[rows], _turns(document.places[rows], segments.shape[1] // self.layers[0].heads)
            for layer in self.layers:
                page = layer(page, *turns)
            states = states.index_copy(0, rows, page.to(states.dtype))
        states, asked = self.norm(states), self.description(self.descriptions)
        return [self._scores(at, states, asked[at], *parts) for at, parts in enumerate(document.candidates.values())]

    def _scores(self, field: int, states: Tensor, asked: Tensor, rows: Tensor, ends: Tensor, columns: Tensor) -> Tensor:
        usual = ((columns - self.means[field]) / self.deviations[field]).clamp(-4, 4)
        if self.training:  # whole columns are hidden, so that no single one decides
            usual = usual * (torch.rand(1, usual.shape[1], device=usual.device) > 0.2)
        states = states[rows] + self.ends(ends) + self.column[field](usual)
        scores = self.head(torch.cat([states, states * asked], 1))[:, 0]
        return torch.cat([scores.float(), self.none[field : field + 1]])


class _Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.heads = heads
        self.all, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(drop)

    def forward(self, page: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        n, width = page.shape
        query, key, value = self.all(self.before(page)).view(n, 3, self.heads, -1).permute(1, 2, 0, 3)  # (heads, n, .)
        query, key = _turned(query, cosines, sines), _turned(key, cosines, sines)
        seen = F.scaled_dot_product_attention(query[None], key[None], value[None])[0].transpose(0, 1).reshape(n, width)
        page = page + self.drop(self.out(seen))
        return page + self.drop(self.wide(self.between(page)))


def _turns(places: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles, (n, width / 2): a quarter of a head for each dimension of the page."""
    wavelengths = torch.logspace(math.log10(SHORTEST), math.log10(LONGEST), width // 4, device=places.device)
    angles = torch.cat([places[:, :1] * 2 * math.pi / wavelengths, places[:, 1:] * 2 * math.pi / wavelengths], 1)
    return angles.cos(), angles.sin()


def _turned(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = heads.chunk(2, -1)
    return torch.cat([first * cosines - second * sines, first * sines + second * cosines], -1).to(heads.dtype)
