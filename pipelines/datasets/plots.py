"""Statistics as bars: in the terminal, and as a page that needs nothing from elsewhere."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape

from trivox.pipelines.datasets.figures import Statistics, ordered
from trivox.platform.store.files import write_atomically

WIDTH = 40


def in_terminal(found: Statistics) -> list[str]:
    """Lines: a heading for each table, then a bar for each row, the longest WIDTH wide."""
    lines = []
    for name, table in sorted(found.tables.items()):
        if not table:
            continue
        lines.append(name)
        most = max(table.values())
        for label, count in ordered(table):
            lines.append(f"  {label[:28]:<28} {'█' * max(1, round(WIDTH * count / most))} {count}")
    return lines


def write_page(found: Statistics, title: str, path: Path) -> None:
    """One HTML file with a bar chart for each table; raises DiskFull."""
    environment = Environment(
        loader=PackageLoader("trivox.pipelines", "templates"), autoescape=select_autoescape()
    )
    tables = [
        (name, ordered(table), max(table.values()))
        for name, table in sorted(found.tables.items())
        if table
    ]
    page = environment.get_template("dataset.html.j2").render(
        title=title, found=found, tables=tables
    )
    write_atomically(path, page.encode())
