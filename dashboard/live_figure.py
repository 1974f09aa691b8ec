"""A plotly figure that updates in place: node, zoom and hover survive every update.

The only file that knows about the component. plotly.js comes out of the installed plotly, served by the app itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly
import streamlit as st

PLOTLY_FILE = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
# Where app.py serves it; a new version has a new address, so that browsers may keep it.
PLOTLY_PATH = f"plotly-{plotly.__version__}.min.js"

_JS = """
const loading = (window.ttPlotly ??= {})

function plotly(url) {
  loading[url] ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = url
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => reject(new Error("plotly.js could not be loaded from " + url))
    document.head.appendChild(script)
  })
  return loading[url]
}

function themed(layout, host) {
  const style = getComputedStyle(host)
  const token = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise
  const text = token("--st-text-color", style.color)
  const line = token("--st-border-color", "#8884")
  const ground = token("--st-background-color", "#fff")
  const axis = (given) => ({ gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, ...given })
  return {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: token("--st-font", "sans-serif"), size: 13, color: text, ...layout.font },
    hoverlabel: { bgcolor: ground, bordercolor: line, font: { color: text } },
    xaxis: axis(layout.xaxis),
    yaxis: axis(layout.yaxis),
  }
}

const states = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector(".tt-live-figure")
  let state = states.get(host)
  if (!state) {
    state = { drawn: false, busy: false, next: null, hover: null, clicked: null, config: null }
    states.set(host, state)
    // A host that is just being hidden has no size to take, and plotly says so by a rejection.
    const resize = () => host.clientWidth && window.Plotly.Plots.resize(host).catch(() => {})
    state.observer = new ResizeObserver(() => state.drawn && resize())
    state.observer.observe(host)
  }
  host.style.height = data.height + "px"
  host.setAttribute("aria-label", data.alt)
  state.next = data.figure
  state.clicked = (value) => setTriggerValue("clicked", value)

  async function draw() {
    if (state.busy || !state.next) return
    if (host._dragging) return void setTimeout(draw, 100)
    state.busy = true
    const figure = JSON.parse(state.next)
    state.next = null
    try {
      const Plotly = await plotly(new URL(data.script, document.baseURI).href)
      if (!host.isConnected) return
      // One object for all updates: with a new one plotly would build the chart anew.
      state.config ??= {
        responsive: false, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
        toImageButtonOptions: { format: "svg", filename: data.name },
        modeBarButtonsToAdd: [{
          name: "png", title: "Download plot as PNG", icon: Plotly.Icons.disk,
          click: (plot) => Plotly.downloadImage(plot, { format: "png", scale: 2, filename: data.name }),
        }],
      }
      await Plotly.react(host, figure.data, themed(figure.layout, host), state.config)
      if (!state.drawn) {
        state.drawn = true
        host.on("plotly_hover", (event) => { state.hover = event.xvals?.[0] ?? event.points?.[0]?.x ?? null })
        host.on("plotly_unhover", () => { state.hover = null })
        host.on("plotly_click", (event) => {
          const told = event.points?.map((point) => point.customdata).find((value) => value !== undefined)
          if (told !== undefined) state.clicked(Array.isArray(told) ? told[0] : told)
        })
      }
      if (state.hover !== null) Plotly.Fx.hover(host, { xval: state.hover }, "xy")
    } catch (error) {
      host.textContent = "The chart cannot be drawn: " + error.message
    } finally {
      state.busy = false
    }
    draw()
  }
  draw()

  return () => {
    state.observer.disconnect()
    states.delete(host)
    if (state.drawn && window.Plotly) window.Plotly.purge(host)
  }
}
"""

_COMPONENT = st.components.v2.component(
    "live_figure",
    html='<div class="tt-live-figure" role="img" style="width:100%"></div>',
    js=_JS,
    isolate_styles=False,
)


def live_figure(
    figure: dict[str, Any], *, key: str, alt: str, height: int = 340, on_click: Callable[[Any], None] | None = None
) -> None:
    """Draw a figure given as plain data; the same key updates the same node.

    figure: {"data": [...], "layout": {...}}; a constant layout.uirevision keeps the viewer's zoom.
    alt: what the figure shows, for those who do not see it.
    on_click: called with the customdata of a point that was clicked; of a list the first entry.
    """

    def clicked() -> None:
        if on_click is not None and st.session_state[key].clicked is not None:
            on_click(st.session_state[key].clicked)

    _COMPONENT(
        key=key,
        on_clicked_change=clicked,
        # As text: Streamlit would look at every number of a nested object.
        data={
            "figure": json.dumps(figure, separators=(",", ":")),
            "alt": alt,
            "height": height,
            "name": key,
            "script": PLOTLY_PATH,
        },
        height=height,
    )
