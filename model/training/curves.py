"""Draws a run's loss table as a picture."""

from __future__ import annotations

from pathlib import Path

from configs.errors import UserError
from model.training.loop import read_losses


def check_matplotlib() -> None:
    """Raises UserError where matplotlib, of the extra `train`, is missing."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            "training needs the optional package matplotlib: install it with: pip install -c "
            "constraints.txt -e '.[train]' in Voxloom's folder"
        ) from error


def draw_losses(table: Path, picture: Path) -> None:
    """One panel a loss, training and validation in it; replaces the picture at once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_losses(table)
    names = list(dict.fromkeys(row.loss for row in rows))
    if not names:
        return
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4.5 * columns, 3 * lines), layout="tight")
    FigureCanvasAgg(figure)
    for number, name in enumerate(names, 1):
        panel = figure.add_subplot(lines, columns, number)
        for which, style in (("train", "-"), ("validation", ".-")):
            shown = [row for row in rows if row.loss == name and row.which == which]
            if shown:
                steps, values = [row.step for row in shown], [row.value for row in shown]
                panel.plot(steps, values, style, label=which, linewidth=1)
        panel.set_title(name)
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
        panel.legend()
    part = picture.with_name(picture.name + ".part")
    figure.savefig(part, format="png", dpi=80)
    part.replace(picture)
