"""A preview of the dashboards without Grafana: each panel's queries run on a Prometheus, drawn into one HTML page.

    python -m deploy.grafana.preview http://127.0.0.1:9090 --minutes 60 --output preview.html

It shows whether queries give what they should and roughly how it looks; it is not Grafana.
"""

import argparse
import html
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.grafana import draw
from deploy.grafana.ask import Prometheus, Refused, answers, choices
from deploy.grafana.boards import BOARDS
from deploy.grafana.model import GRID_COLUMNS, Board, Panel

ROW_PIXELS: Final = 36
NO_WISHES: Final[Mapping[str, str]] = {}

STYLE: Final = """
body{margin:0;background:#111217;color:#ccccdc;font:13px/1.4 Inter,"Noto Sans","Noto Sans CJK SC",sans-serif}
header{padding:14px 20px;background:#181b1f;border-bottom:1px solid #2c3235;position:sticky;top:0;z-index:1}
header b{color:#ff9830} nav a{color:#6e9fff;margin-right:16px;text-decoration:none}
section{padding:6px 20px 24px} h2{margin:18px 0 2px;font-size:20px} .about{color:#9a9aa8;margin:0 0 10px}
.row{font-size:14px;font-weight:600;margin:14px 0 6px;border-bottom:1px solid #2c3235;padding-bottom:3px}
.grid{display:grid;grid-template-columns:repeat(24,1fr);gap:8px}
.panel{background:#181b1f;border:1px solid #24272e;border-radius:3px;padding:8px 10px;overflow:hidden;display:flex;
flex-direction:column;min-width:0}
.title{font-weight:600;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.picture{flex:1;min-height:0;overflow:hidden} .none{color:#ff7383}
.stat{height:100%;display:flex;align-items:center;justify-content:center;border-radius:3px;color:#fff;font-weight:600}
.legend{font-size:11px;color:#9a9aa8;overflow:hidden;max-height:32px} .legend i{display:inline-block;width:10px;
height:3px;margin:0 4px 3px 8px}
table{width:100%;border-collapse:collapse;font-size:12px} td,th{text-align:left;padding:2px 8px;
border-bottom:1px solid #24272e} .bar{display:grid;grid-template-columns:34% 1fr 64px;gap:8px;
align-items:center;height:22px}
.bar div{background:#24272e;height:12px} .bar div div{height:12px} svg{width:100%;height:100%;display:block}
.choices{color:#9a9aa8;font-size:12px}
"""


def page(
    prometheus: Prometheus,
    boards: Sequence[Board],
    *,
    seconds: float,
    end: float,
    rate_interval_seconds: int,
    wanted: Mapping[str, str] = NO_WISHES,
) -> str:
    """Return the page: the time shown is `seconds` up to `end` (since 1970). Raise Refused.

    `wanted`: values of variables, such as {"city": "ganzhou"}; of the others everything, or the first one.
    """
    links = " ".join(f'<a href="#{board.uid}">{html.escape(board.title)}</a>' for board in boards)
    told = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Xisuan dashboards, a preview</title>',
        f"<style>{STYLE}</style><header><b>This is not Grafana.</b> A preview: every panel's queries, run on "
        f"{html.escape(prometheus.url)}, the last {seconds / 60:.0f} minutes up to "
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(end))} UTC.<nav>{links}</nav></header>",
    ]
    for board in boards:
        chosen = {**choices(prometheus, board), **wanted}
        told += _board(prometheus, board, chosen, end - seconds, end, rate_interval_seconds)
    return "\n".join([*told, "</html>"])


def _board(
    prometheus: Prometheus,
    board: Board,
    chosen: Mapping[str, str],
    start: float,
    end: float,
    rate_interval_seconds: int,
) -> list[str]:
    shown = ", ".join(f"{v.title}: {'All' if chosen[v.name] == '.*' else chosen[v.name]}" for v in board.variables)
    told = [
        f'<section id="{board.uid}"><h2>{html.escape(board.title)}</h2><p class="about">{html.escape(board.about)}</p>',
        f'<div class="choices">{html.escape(shown)}</div>',
    ]
    for row in board.rows:
        told.append(f'<div class="row">{html.escape(row.title)}</div><div class="grid">')
        for panel in row.panels:
            found = answers(
                prometheus, panel, chosen, start=start, end=end, rate_interval_seconds=rate_interval_seconds
            )
            told.append(_panel(panel, draw.picture(panel, found, start, end)))
        told.append("</div>")
    return [*told, "</section>"]


def _panel(panel: Panel, picture: str) -> str:
    width = min(panel.width, GRID_COLUMNS)
    return (
        f'<div class="panel" style="grid-column:span {width};height:{panel.height * ROW_PIXELS}px" '
        f'title="{html.escape(panel.about)}"><div class="title">{html.escape(panel.title)}</div>{picture}</div>'
    )


def main(arguments: Sequence[str]) -> int:
    """Write the page; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.grafana.preview", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("prometheus", help="its address, such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=60.0, help="how much of the past is shown")
    parser.add_argument("--rate-interval", type=int, default=60, help="seconds over which rates are taken")
    parser.add_argument("--choose", action="append", default=[], metavar="NAME=VALUE", help="value of a variable")
    parser.add_argument("--output", type=Path, default=Path("dashboards-preview.html"))
    given = parser.parse_args(arguments)
    try:
        text = page(
            Prometheus(given.prometheus),
            BOARDS,
            seconds=given.minutes * 60,
            end=time.time(),
            rate_interval_seconds=given.rate_interval,
            wanted=dict(each.partition("=")[::2] for each in given.choose),
        )
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    given.output.write_text(text)
    print(f"written: {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
