"""Every entry of small tensors; the one that is pointed at lights up those that it is made of, or that it helps make.

A component of its own, since what a pointer touches must answer at once: nothing goes to the server. Pointing, a tap,
and the keyboard (Tab to a tensor, then the arrow keys) all do; a click keeps what is lit, another one lets it go.
"""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

_CSS = """
.tt-entries { color: var(--st-text-color); font-family: var(--st-font); }
.tt-row { display: flex; flex-wrap: wrap; align-items: center; justify-content: center; gap: 0.6rem 1.4rem; }
.tt-made { display: flex; align-items: center; gap: 1.4rem; max-width: 100%; }
.tt-tensor { margin: 0; min-width: 0; max-width: 100%; }
.tt-name { text-align: center; font-weight: 700; margin-bottom: 0.15rem; }
.tt-slices { display: flex; flex-wrap: wrap; gap: 0.4rem 0.8rem; justify-content: center; }
.tt-slice { overflow-x: auto; }
.tt-slice > div { text-align: center; font-size: 0.85rem; }
table { border-collapse: separate; border-spacing: 2px; margin: 0 auto; }
th { font-weight: 400; font-size: 0.72rem; opacity: 0.65; padding: 0 0.2rem; min-width: 0.8rem; }
th.tt-letter { font-weight: 700; font-size: 0.95rem; opacity: 1; }
td {
  min-width: 2.35rem; height: 2.1rem; padding: 0 0.2rem; text-align: center; border-radius: 5px; cursor: pointer;
  font-variant-numeric: tabular-nums; font-size: 0.92rem; outline: none; transition: opacity 0.12s;
  border: 1px solid var(--st-border-color); box-sizing: border-box; user-select: none;
}
.tt-small td { min-width: 1.9rem; height: 1.8rem; font-size: 0.8rem; }
.tt-entries.tt-chosen td { opacity: 0.3; }
.tt-entries.tt-chosen td.tt-lit { opacity: 1; box-shadow: 0 0 0 2px var(--st-text-color); }
td:focus-visible { box-shadow: 0 0 0 2px var(--st-primary-color); opacity: 1 !important; }
.tt-sign { font-size: 1.6rem; opacity: 0.7; }
.tt-why {
  min-height: 3.2em; margin-top: 0.7rem; text-align: center; line-height: 1.6; font-size: 1rem;
  font-variant-numeric: tabular-nums;
}
.tt-hint { opacity: 0.65; }
"""

_JS = """
const MOST_TERMS = 6
const states = new WeakMap()

const make = (tag, className, text) => {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text !== undefined) node.textContent = text
  return node
}

const show = (value) => {
  const whole = Number.isInteger(value)
  const text = whole ? String(value) : value.toPrecision(3)
  return text.replace("-", "−")
}

// The place of an entry in a flattened tensor, and back.
const flat = (tensor, index) => index.reduce((sum, at, axis) => sum * tensor.shape[axis] + at, 0)

function letters(tensor, index) {
  const fixed = {}
  for (const [axis, letter] of [...tensor.term].entries()) {
    if (letter in fixed && fixed[letter] !== index[axis]) return null
    fixed[letter] = index[axis]
  }
  return fixed
}

function agrees(tensor, index, fixed) {
  const own = letters(tensor, index)
  return own !== null && Object.keys(own).every((letter) => !(letter in fixed) || own[letter] === fixed[letter])
}

function explanation(data, fixed) {
  const loops = [...data.summed]
  const count = loops.reduce((product, letter) => product * data.sizes[letter], 1)
  const at = { ...fixed }
  const result = data.result
  const place = (tensor) => [...tensor.term].map((letter) => at[letter])
  const value = (tensor) => tensor.values[flat(tensor, place(tensor))]
  const named = (tensor) => tensor.name + (tensor.term ? `[${place(tensor).join(", ")}]` : "")
  const symbols = [], numbers = []
  for (let number = 0; number < Math.min(count, MOST_TERMS); number++) {
    let rest = number
    for (const letter of [...loops].reverse()) {
      at[letter] = rest % data.sizes[letter]
      rest = Math.floor(rest / data.sizes[letter])
    }
    symbols.push(data.tensors.map(named).join("·"))
    const shown = data.tensors.map((tensor) => show(value(tensor)))
    const bracket = (text, first) => (text.startsWith("−") && !first ? `(${text})` : text)
    numbers.push(shown.map((text, factor) => bracket(text, number === 0 && factor === 0)).join("·"))
  }
  const more = count > MOST_TERMS ? ` + … (${count} terms)` : ""
  return [
    `${named(result)} = ${symbols.join(" + ")}${more}`,
    `= ${numbers.join(" + ")}${more} = ${show(value(result))}`,
  ]
}

function build(host, data) {
  host.replaceChildren()
  host.classList.remove("tt-chosen")
  const row = make("div", "tt-row"), why = make("div", "tt-why")
  why.setAttribute("aria-live", "polite")
  const every = []
  let kept = null

  const light = (chosen) => {
    host.classList.toggle("tt-chosen", chosen !== null)
    const fixed = chosen && letters(chosen.tensor, chosen.index)
    for (const entry of every) {
      entry.cell.classList.toggle("tt-lit", chosen !== null && (entry === chosen || (fixed !== null
        && entry.tensor !== chosen.tensor && agrees(entry.tensor, entry.index, fixed))))
    }
    why.replaceChildren()
    if (chosen === null) {
      why.append(make("span", "tt-hint", "Point at an entry, or tap it, to see what it is made of."))
    } else if (chosen.tensor === data.result) {
      for (const line of explanation(data, fixed)) why.append(make("div", "", line))
    } else if (fixed === null) {
      why.append(make("span", "", "This entry is off the diagonal: the result does not use it."))
    } else {
      const made = every.filter((entry) => entry.tensor === data.result && entry.cell.classList.contains("tt-lit"))
      const many = made.length === 1 ? "1 entry" : `${made.length} entries`
      why.append(make("span", "", `${chosen.tensor.name}[${chosen.index.join(", ")}] goes into ${many} of ` +
        `${data.result.name}.`))
    }
  }

  const grid = (tensor, leading) => {
    const inner = tensor.shape.slice(leading.length)
    const axes = [...tensor.term].slice(leading.length)
    const isRow = inner.length < 2 && tensor.row
    const rows = isRow ? 1 : (inner[0] ?? 1), columns = isRow ? inner[0] : (inner[1] ?? 1)
    const down = isRow ? "" : (axes[0] ?? ""), across = isRow ? axes[0] : (axes[1] ?? "")
    const table = make("table", Math.max(columns, rows) > 8 ? "tt-small" : "")
    const coloured = (node, letter) => { node.style.color = data.colours[letter] ?? ""; return node }
    if (axes.length) {
      const head = make("tr")
      head.append(make("th"))
      if (across) {
        const letter = coloured(make("th", "tt-letter", across + " →"), across)
        letter.colSpan = columns
        head.append(letter)
      }
      table.append(head)
      const numbers = make("tr")
      numbers.append(down ? coloured(make("th", "tt-letter", down + " ↓"), down) : make("th"))
      for (let column = 0; column < columns; column++) numbers.append(make("th", "", across ? column : ""))
      table.append(numbers)
    }
    const cells = []
    for (let r = 0; r < rows; r++) {
      const line = make("tr")
      if (axes.length) line.append(make("th", "", down ? r : ""))
      for (let c = 0; c < columns; c++) {
        const index = [...leading, ...(axes.length === 2 ? [r, c] : axes.length === 1 ? [isRow ? c : r] : [])]
        const place = flat(tensor, index)
        const cell = make("td", "", tensor.texts[place])
        const strength = Math.min(1, Math.abs(tensor.values[place]) / (tensor.most || 1))
        const ground = tensor.values[place] < 0 ? "221, 107, 31" : "47, 127, 209"
        cell.style.background = `rgba(${ground}, ${(0.6 * strength).toFixed(3)})`
        cell.tabIndex = place === 0 ? 0 : -1
        cell.setAttribute("aria-label", `${tensor.name}${index.length ? `[${index.join(", ")}]` : ""} = ` +
          tensor.texts[place])
        const entry = { tensor, index, cell }
        cell.onpointerenter = (event) => event.pointerType === "mouse" && kept === null && light(entry)
        cell.onfocus = () => { if (kept === null) light(entry) }
        cell.onclick = () => { kept = kept === entry ? null : entry; light(entry) }
        cell.onkeydown = (event) => {
          const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key]
          if (event.key === "Escape") { kept = null; light(null) }
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); cell.click() }
          if (!step) return
          event.preventDefault()
          kept = null
          cells.find((other) => other.r === r + step[0] && other.c === c + step[1])?.cell.focus()
        }
        cells.push({ r, c, cell })
        every.push(entry)
        line.append(cell)
      }
      table.append(line)
    }
    return table
  }

  const figure = (tensor) => {
    tensor.most = Math.max(...tensor.values.map(Math.abs))
    const node = make("figure", "tt-tensor"), slices = make("div", "tt-slices")
    node.append(make("div", "tt-name", tensor.name))
    for (let slice = 0; slice < (tensor.shape.length === 3 ? tensor.shape[0] : 1); slice++) {
      const holder = make("div", "tt-slice")
      if (tensor.shape.length === 3) {
        const letter = tensor.term[0]
        const title = make("div", "", `${letter} = ${slice}`)
        title.style.color = data.colours[letter]
        holder.append(title)
      }
      holder.append(grid(tensor, tensor.shape.length === 3 ? [slice] : []))
      slices.append(holder)
    }
    node.append(slices)
    return node
  }

  for (const tensor of data.tensors) row.append(figure(tensor))
  const made = make("div", "tt-made")
  made.append(make("div", "tt-sign", "→"), figure(data.result))
  row.append(made)
  row.onpointerleave = () => kept === null && light(null)
  host.append(row, why)
  light(null)
}

export default function ({ data, parentElement }) {
  const host = parentElement.querySelector(".tt-entries")
  if (states.get(host) === data.entries) return
  states.set(host, data.entries)
  build(host, JSON.parse(data.entries))
}
"""

_COMPONENT = st.components.v2.component("einsum_entries", html='<div class="tt-entries"></div>', css=_CSS, js=_JS)


def entries(cells: dict[str, Any], *, key: str) -> None:
    """Draw what `dashboard.einsum_cells.cells` has made."""
    # As text: Streamlit would look at every number of a nested object.
    _COMPONENT(key=key, data={"entries": json.dumps(cells, separators=(",", ":"))})
