"""The results: one table, a file of JSON with all numbers, and a chart."""

import dataclasses
import json
import math
import os
import time
import xml.sax.saxutils

import harness

FOLDER = os.path.join(harness.ROOT, "build", "bench")


@dataclasses.dataclass
class Row:
    """
    One promise, and what was measured. other is what stands beside it, and ratio the median of the ratios to that.
    The limit is about the ratio, or if absolute, about what was measured.
    """

    name: str
    measured: float
    unit: str
    other_name: str
    other: float
    ratio: float
    limit: float
    absolute: bool = False

    @property
    def of_limit(self):
        """The part of the limit that is taken, by the digits that are printed."""
        return round(self.measured if self.absolute else self.ratio, 2) / self.limit

    @property
    def kept(self):
        return self.of_limit <= 1

    def limit_text(self):
        return number(self.limit, self.unit) if self.absolute else f"{self.limit:.2f}x"

    def too_much(self):
        value = number(self.measured, self.unit) if self.absolute else f"{self.ratio:.2f}x {self.other_name}"
        return f"too much: {self.name}: {value}, not {self.limit_text()}"


def number(value, unit):
    digits = 0 if value >= 1000 or unit == "B" else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}".strip()


def cells(row):
    beside = ("", "") if math.isnan(row.other) else (f"{number(row.other, row.unit)} {row.other_name}",
                                                     f"{row.ratio:.2f}x")
    return [row.name, number(row.measured, row.unit), *beside, row.limit_text(), "ok" if row.kept else "too much"]


HEADINGS = ["", "pgweir", "beside", "ratio", "limit", ""]


def table(rows):
    """The lines of the table, numbers to the right."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return ["  ".join(text.ljust(width) if column in (0, 2, 5) else text.rjust(width)
                      for column, (text, width) in enumerate(zip(line, widths))).rstrip() for line in lines]


def print_table(rows):
    print("\n" + "\n".join(table(rows)))
    for row in rows:
        if not row.kept:
            print(row.too_much())


def save(rows, details, about):
    """Writes both files and returns their paths."""
    os.makedirs(FOLDER, exist_ok=True)
    stem = os.path.join(FOLDER, time.strftime("%Y%m%d-%H%M%S"))
    with open(stem + ".json", "w") as file:
        json.dump(valid({**about, "rows": [{**dataclasses.asdict(row), "kept": row.kept} for row in rows],
                         "measurements": details}), file, indent=1)
    with open(stem + ".svg", "w") as file:
        file.write(chart(rows, about))
    return stem + ".json", stem + ".svg"


def valid(value):
    """The same without what JSON does not know: numbers that are none."""
    if isinstance(value, dict):
        return {key: valid(part) for key, part in value.items()}
    if isinstance(value, list):
        return [valid(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


# The chart ----------------------------------------------------------------------------------------------------

LINE, NAMES, BARS, FIGURES = 22, 420, 360, 260  # pixels: height of a row, width of the three columns
FULL = 1.5  # times the limit; longer bars end here
COLOURS = {True: "#3b7dd8", False: "#d8563b"}


def chart(rows, about):
    """A bar for each row: how much of its limit it takes. Right of the line is too much."""
    limit = NAMES + BARS / FULL
    height = LINE * (len(rows) + 3)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{NAMES + BARS + FIGURES}" height="{height}" '
             'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
             text(10, LINE - 6, "pgweir: what is measured, as a part of its limit", "start", "bold")]
    for at, row in enumerate(rows):
        parts += bar(LINE * (at + 1.5), row)
    bottom = LINE * (len(rows) + 1.5)
    parts += [f'<line x1="{limit:.1f}" y1="{LINE * 1.3:.1f}" x2="{limit:.1f}" y2="{bottom:.1f}" stroke="black"/>',
              text(limit, bottom + 14, "limit", "middle"),
              text(10, bottom + 14, f"{about['date']}: {about['rounds']} rounds of {about['seconds']} s", "start"),
              "</svg>"]
    return "\n".join(parts) + "\n"


def bar(top, row):
    width = min(row.of_limit, FULL) * BARS / FULL
    says = f"{number(row.measured, row.unit) if row.absolute else f'{row.ratio:.2f}x {row.other_name}'}" \
           f" (limit {row.limit_text()})"
    return [text(NAMES - 8, top + 14, row.name, "end"),
            f'<rect x="{NAMES}" y="{top + 3:.1f}" width="{width:.1f}" height="{LINE - 6}" '
            f'fill="{COLOURS[row.kept]}"/>',
            text(NAMES + BARS + 8, top + 14, says, "start")]


def text(x, y, words, anchor, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{xml.sax.saxutils.escape(words)}</text>")
