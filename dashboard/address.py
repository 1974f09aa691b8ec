"""Settings <-> the address of a page. What is not the preset's own stands in the address; nothing is dropped unsaid.

The widgets' own binding to the address is not used: it drops what it does not like, and it knows no defaults that
change with a preset.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import streamlit as st

from ttcore.parse import show_modes

MAX_LENGTH = 200
# The preset of a person's own data, and the field that names the table.
OWN, TABLE = "own", "data"
_SEEN = "address_seen"
_PROBLEMS = "address_problems"

Config = TypeVar("Config")
# Reads the text of one setting into the values, or adds a sentence on why it cannot be read.
Take = Callable[[str, dict[str, Any], list[str]], None]


def text(value: Any) -> str:
    """A setting as it is typed; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return show_modes(value)
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Address(Generic[Config]):
    """The settings of one page, by their names in the address.

    prefix: what the keys of the page's controls have before that name, so that no two pages share a control.
    starts: each preset's settings on this page. own: those to start with on the table of this key; None where there is
        no such table. preset_of: the preset of a configuration's data.
    fields: each setting's value for its control. foreign: those that a preset does not have. choices: those of which
        one of a few is chosen; several: any number. special: those that are read last, each in a way of its own.
    shown: the name under which the address says what is shown; it is no setting.
    """

    prefix: str
    starts: Mapping[str, Config]
    own: Callable[[str], Config | None]
    preset_of: Callable[[Config], str]
    fields: Mapping[str, Callable[[Config], Any]]
    foreign: Callable[[str], Collection[str]]
    choices: Mapping[str, tuple[str, ...]]
    several: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    special: Mapping[str, Take] = field(default_factory=dict)
    shown: str

    # ---- the page ---------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Set the controls from a new address: the first one of a session, a typed one, or the browser's Back.

        To be called before any control is drawn. An address without settings changes nothing that a session has
        already set: it is what a link to the page leaves.
        """
        given = self._settings_of_address()
        seen = st.session_state.get(self.prefix + _SEEN)
        if seen is None or (given and given != seen):
            values, problems = self.interpret(given)
            self.put(values)
            st.session_state[self.prefix + _PROBLEMS] = problems + [
                f"`{key}` is given {len(st.query_params.get_all(key))} times; only the last one is used."
                for key in given
                if len(st.query_params.get_all(key)) > 1
            ]
            st.session_state[self.prefix + _SEEN] = given

    def write(self) -> None:
        """Put the settings that are not the preset's own into the address; to be called when all controls are drawn."""
        state = st.session_state
        names = ("preset", *self.fields)
        wanted = self.deviations({name: state[self.prefix + name] for name in names if self.prefix + name in state})
        if wanted != self._settings_of_address():
            shown = st.query_params.get(self.shown)
            st.query_params.from_dict({**wanted, **({self.shown: shown} if shown else {})})
        state[self.prefix + _SEEN] = wanted

    def put(self, values: Mapping[str, Any]) -> None:
        """Set the page's controls."""
        st.session_state.update({self.prefix + name: value for name, value in values.items()})

    def show(self, config: Config) -> None:
        """Set the page's controls from another page; its next visit finds them so."""
        self.put(self.values_of(config))
        st.session_state.setdefault(self.prefix + _SEEN, {})

    def problems(self) -> list[str]:
        """What the address asked for and could not have, a sentence each."""
        return list(st.session_state.get(self.prefix + _PROBLEMS, []))

    def forget_problems(self) -> None:
        st.session_state[self.prefix + _PROBLEMS] = []

    def _settings_of_address(self) -> dict[str, str]:
        return {key: value for key, value in st.query_params.to_dict().items() if key != self.shown}

    # ---- settings as values and as text -----------------------------------------------------------------------------

    @property
    def first(self) -> str:
        """The preset of an address that names none."""
        return next(iter(self.starts))

    @property
    def presets(self) -> tuple[str, ...]:
        return *self.starts, OWN

    def start(self, name: str, table: str = "") -> Config | None:
        """What a preset starts with; for a person's own data without their table there is nothing."""
        return self.own(table) if name == OWN else self.starts[name]

    def preset_values(self, name: str, table: str = "") -> dict[str, Any]:
        """Every control's value for a preset; `table` is that of a person's own data."""
        start = self.start(name, table)
        if start is None:
            # The controls wait for the table, which sets them.
            return self.values_of(self.starts[self.first]) | {"preset": name, TABLE: ""}
        return self.values_of(start) | {"preset": name}

    def values_of(self, config: Config) -> dict[str, Any]:
        """Every control's value for a configuration."""
        values = {name: value(config) for name, value in self.fields.items()}
        return {"preset": self.preset_of(config), **values, **self._in_order(values)}

    def deviations(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The settings that an address has to name, as text."""
        usual = self.preset_values(values.get("preset", self.first), text(values.get(TABLE)))
        usual |= {"preset": self.first, TABLE: ""}
        values = {**values, **self._in_order(values)}
        return {name: text(value) for name, value in values.items() if text(value) != text(usual[name])}

    def interpret(self, given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """The controls' values for the settings of an address, and a sentence on each that no control can hold.

        Text controls take any text up to MAX_LENGTH: what is wrong with it is said beside them.
        """
        wrong: list[str] = []
        name = given.get("preset", self.first).lower()
        if name not in self.presets:
            wrong.append(f"`preset={quoted(name)}` is none of {', '.join(self.presets)}; {self.first} is used.")
            name = self.first
        values = self.preset_values(name, given.get(TABLE, ""))
        foreign = self.foreign(name)
        for key, value in given.items():
            if key == "preset":
                continue
            if key not in self.fields:
                wrong.append(f"`{quoted(key)}` is not a setting of this page.")
            elif key in foreign:
                wrong.append(f"`{key}` is not a setting of `preset={name}`; it is left out.")
            elif key in self.choices:
                if value.lower() in self.choices[key]:
                    values[key] = value.lower()
                else:
                    options = ", ".join(self.choices[key])
                    wrong.append(f"`{key}={quoted(value)}` is none of {options}; {values[key]} is used.")
            elif len(value) > MAX_LENGTH:
                instead = f"{text(values[key])} is used" if text(values[key]) != "" else "it stays empty"
                wrong.append(f"`{key}` has {len(value):,} characters, and {MAX_LENGTH} are read at most; {instead}.")
            elif key in self.several:
                self._take_several(key, value, values, wrong)
            elif key not in self.special:
                values[key] = value
        for key, take in self.special.items():
            if key in given and key not in foreign and len(given[key]) <= MAX_LENGTH:
                take(given[key], values, wrong)
        return values, wrong

    def _take_several(self, key: str, value: str, values: dict[str, Any], wrong: list[str]) -> None:
        """Any number of choices with commas between, in the order of the options; those that are none are named."""
        options = self.several[key]
        asked = [part.strip().lower() for part in value.split(",") if part.strip()]
        values[key] = [option for option in options if option in asked]
        strangers = list(dict.fromkeys(part for part in asked if part not in options))
        if strangers:
            what, is_out = ("is none", "it is") if len(strangers) == 1 else ("are none", "they are")
            wrong.append(f"`{key}={quoted(','.join(strangers))}` {what} of {', '.join(options)}; {is_out} left out.")

    def _in_order(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        """Those of which there may be several, in the order of the options, however they were picked."""
        return {
            name: [option for option in options if option in values[name]]
            for name, options in self.several.items()
            if name in values
        }


def quoted(value: str) -> str:
    """Text from outside as a message quotes it."""
    plain = value.replace("`", "'")
    return plain if len(plain) <= 40 else plain[:37] + "..."
