"""The server: `streamlit run app.py`. Starts the engine, serves plotly.js, runs dashboard/router.py for each visitor.

The router is a file of its own because Streamlit takes a folder `pages` beside the script that it runs for its own
kind of pages, and answers the first link to one of ours with "page not found".
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from dashboard.live_figure import PLOTLY_FILE, PLOTLY_PATH
from dashboard.session import engine, sweeps


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """The training process warms up before the first visitor comes, and ends with the server."""
    started = engine()
    yield
    sweeps().close()
    started.close()


async def plotly_script(_: Request) -> FileResponse:
    return FileResponse(PLOTLY_FILE, media_type="text/javascript", headers={"Cache-Control": "max-age=31536000"})


app = st.App("dashboard/router.py", lifespan=lifespan, routes=[Route(f"/{PLOTLY_PATH}", plotly_script)])
