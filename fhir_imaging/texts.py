"""Words for people in the language of the installation: English as written in the code, or a catalogue made of it.

Templates say ``{% trans %}…{% endtrans %}`` or ``_("…")``; word tables mark theirs with ``N_`` and translate with ``gettext``
where a page is made. ``make texts`` collects them all into ``smart_app/translations/imaging_cds.pot``.
"""

from __future__ import annotations

from contextvars import ContextVar
from gettext import NullTranslations, translation
from pathlib import Path

from jinja2 import Environment

DOMAIN = "imaging_cds"
SOURCE_LANGUAGE = "en"

_ENGLISH = NullTranslations()
_spoken: ContextVar[tuple[str, NullTranslations]] = ContextVar("spoken", default=(SOURCE_LANGUAGE, _ENGLISH))


def catalogue(language: str, directory: Path) -> NullTranslations:
    """The translations of a language: ``directory/<language>/LC_MESSAGES/imaging_cds.mo``. ValueError where there are none."""
    if language == SOURCE_LANGUAGE:
        return _ENGLISH
    try:
        return translation(DOMAIN, str(directory), [language])
    except OSError as exc:
        raise ValueError(f"there is no translation for {language}") from exc


def speak(language: str, translations: NullTranslations) -> None:
    """What follows in this request is in that language."""
    _spoken.set((language, translations))


def language() -> str:
    """The language being spoken, for ``lang`` attributes."""
    return _spoken.get()[0]


def gettext(message: str) -> str:
    """The message in the language being spoken."""
    # The empty message is a catalogue's own head.
    return _spoken.get()[1].gettext(message) if message else ""


def ngettext(one: str, many: str, number: int) -> str:
    """The message for that number of things."""
    return _spoken.get()[1].ngettext(one, many, number)


def said(words: str | None) -> str:
    """Words of one of our tables in the language being spoken; what a record says passes as it is.

    A filter for templates: unlike ``_`` its outcome is text, never markup.
    """
    return gettext(words) if words else ""


def N_(message: str) -> str:
    """Marks a message of a table, which is translated where it is shown."""
    return message


def install(environment: Environment) -> None:
    """Lets the templates of an application speak. May be called again."""
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.globals["language"] = language
    environment.filters["said"] = said
