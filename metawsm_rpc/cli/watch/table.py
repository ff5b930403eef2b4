"""A table of the live view that touches only what has changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from metawsm_rpc.cli.watch.rows import Cell, Row


class LiveTable(DataTable[Text]):
    """Shows rows; the mark stays on what it was on, whatever comes and goes around it."""

    def __init__(self, headings: Sequence[str], **options: Any) -> None:
        super().__init__(cursor_type="row", **options)
        self._headings = tuple(headings)
        self._keys: tuple[ColumnKey, ...] = ()
        self._shown: Mapping[str, tuple[Cell, ...]] = {}

    def on_mount(self) -> None:
        """Make the columns."""
        self._keys = tuple(self.add_column(heading.upper(), key=heading) for heading in self._headings)

    @property
    def marked(self) -> str | None:
        """The key of the row that the mark is on."""
        keys = tuple(self._shown)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Bring the table to these rows."""
        wanted = {row.key: row.cells for row in rows}
        if tuple(wanted) == tuple(self._shown):
            self._update(wanted)
        else:
            self._rebuild(wanted)

    def mark(self, key: str) -> None:
        """Put the mark on a row, if it is there."""
        keys = tuple(self._shown)
        if key in keys:
            self.move_cursor(row=keys.index(key), animate=False)

    def _update(self, wanted: Mapping[str, tuple[Cell, ...]]) -> None:
        for key, cells in wanted.items():
            before = self._shown[key]
            if cells == before:
                continue
            for column, old, new in zip(self._keys, before, cells, strict=True):
                if old != new:
                    # A column that only ever widens is not measured again whole.
                    wider = cell_len(new.text) > self.columns[column].content_width
                    self.update_cell(key, column, _text(new), update_width=wider)
        self._shown = wanted

    def _rebuild(self, wanted: Mapping[str, tuple[Cell, ...]]) -> None:
        marked, position, left = self.marked, self.cursor_row, self.scroll_x
        self._shown = wanted
        self.clear()
        for key, cells in wanted.items():
            self.add_row(*map(_text, cells), key=key)
        if wanted:
            row = tuple(wanted).index(marked) if marked in wanted else min(position, len(wanted) - 1)
            self.move_cursor(row=row, animate=False)
            self.call_after_refresh(self.scroll_to, x=left, animate=False)


def _text(cell: Cell) -> Text:
    # A plain string would be read as markup.
    return Text(cell.text, cell.style, no_wrap=True, end="")
