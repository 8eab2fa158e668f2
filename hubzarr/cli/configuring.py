"""The command configure: where arrays and datasets live, for good."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import hubzarr as hub
from hubzarr.cli import show
from hubzarr.cli.asking import Asker
from hubzarr.cli.command import Answer, Command, UsageError, flag, option, store_options
from hubzarr.cli.doctoring import examined, say_report
from hubzarr.cli.providers import CREDENTIALS, PROVIDERS, place_of, provider_of
from hubzarr.config import (
    Root,
    changed_text,
    check_root_name,
    config_path,
    get_config,
    is_root_name,
    is_secret,
    parse_bytes,
    reset_config,
    secrets_in,
    user_folder,
    write_file,
)
from hubzarr.errors import HubzarrError, NotFoundError, StorageError
from hubzarr.storage import open_storage
from hubzarr.storage.buckets import bucket_exists, create_bucket
from hubzarr.storage.probing import Report

__all__ = ["COMMANDS"]

_PROCESSES: Final = 2


@dataclass(slots=True)
class _Plan:
    """What is going to be written, and what was done for it."""

    name: str
    url: str
    options: dict[str, Any]
    default: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    created: bool = False
    report: Report | None = None
    notes: list[str] = field(default_factory=list)


def _configure(args: argparse.Namespace) -> Answer:
    with _config_file():
        return _configured(args)


@contextlib.contextmanager
def _config_file() -> Iterator[None]:
    """The file that HUBZARR_CONFIG names may be missing here, and be made: no error."""
    path = config_path()
    made = bool(os.environ.get("HUBZARR_CONFIG")) and not os.path.exists(path)
    if made:
        write_file(path, "")
    try:
        yield
    finally:
        if made and os.path.exists(path) and not os.path.getsize(path):
            os.unlink(path)  # nothing was configured


def _configured(args: argparse.Namespace) -> Answer:
    if args.show:
        return _shown()
    if args.remove is not None:
        return _removed(args.remove)
    asker = Asker(False if args.yes or args.json else None)
    url, options = place_of(provider_of(args, asker), args, asker)
    options |= store_options(args.option)
    if args.single_writer:
        options["single_writer"] = True
    plan = _named(url, options, args, asker)
    plan.created = _created(plan, args, asker)
    _ask_for_cache(plan, args, asker)
    if not args.no_check:
        _check(plan, asker)
    return _written(plan, None if asker.asks else plan.report)


# -- questions ------------------------------------------------------------------


def _named(url: str, options: dict[str, Any], args: argparse.Namespace, asker: Asker) -> _Plan:
    """The root's name, and whether it becomes the default one."""
    config = get_config()
    name = asker.text("A short name for it", args.name, _proposed(url), check=check_root_name)
    if name in config.roots and not args.yes:
        if not asker.asks:
            raise UsageError(f"there is a root {name!r} already: say --yes to replace it")
        if not asker.confirms(f"Replace the root {name!r}, {config.roots[name].url}?", None, False):
            raise UsageError("nothing was changed")
    others = (root.url for other, root in config.roots.items() if other != name)
    first = config.root not in others  # nothing else is, or it is already
    question = "Use it for plain names, such as 'alice/x'?"
    plan = _Plan(name, url, options, asker.confirms(question, args.default, first))
    if plan.default:
        plan.settings["root"] = name
    elif _has_namespace(name):
        plan.notes.append(
            f"names that begin with {name}/ now mean this root, and no longer the namespace of "
            "that name under the default root"
        )
    return plan


def _proposed(url: str) -> str:
    """A name made of the bucket or folder."""
    place = url.partition("://")[2].partition("/")[0] or os.path.basename(url.rstrip("/"))
    word = re.sub(r"[^a-z0-9_-]+", "-", place.lower()).strip("-")[:32]
    if "://" not in url and word == "hubzarr":
        return "local"
    return word if is_root_name(word) else "hub"


def _has_namespace(name: str) -> bool:
    try:
        return f"{name}/" in open_storage(get_config().root).list_dir("")
    except HubzarrError:  # the default root is out of reach: no moment to complain
        return False


def _created(plan: _Plan, args: argparse.Namespace, asker: Asker) -> bool:
    """Make the bucket or folder if it is missing and wanted."""
    if args.no_check and not args.create:
        return False
    if bucket_exists(plan.url, plan.options) is not False:
        return False
    place = plan.url if "://" not in plan.url else "/".join(plan.url.split("/")[:3])
    local = "://" not in plan.url
    given = True if args.create or (local and not asker.asks) else None
    if not asker.confirms(f"{place} does not exist. Create it?", given, asker.asks):
        if asker.asks:
            return False
        raise NotFoundError(f"{place} does not exist: create it, or say --create")
    create_bucket(plan.url, plan.options)
    return True


def _ask_for_cache(plan: _Plan, args: argparse.Namespace, asker: Asker) -> None:
    """A disk cache, for stores that are not on this machine."""
    config = get_config()
    if args.cache_dir is not None:
        plan.settings["cache_dir"] = args.cache_dir
    elif "://" in plan.url and config.cache_dir is None and asker.asks:
        question = "Keep what is read from it on the local disk, to read it only once?"
        if not asker.confirms(question, None, True):
            return
        default = os.path.join(user_folder("cache"), "hubzarr")
        plan.settings["cache_dir"] = asker.text("Folder for it", None, default)
        size = asker.text("At most", args.cache_size, "10GiB", check=parse_bytes)
        plan.settings["cache_size"] = size
    if args.cache_size is not None:
        parse_bytes(args.cache_size)
        plan.settings["cache_size"] = args.cache_size


def _check(plan: _Plan, asker: Asker) -> None:
    """Try it out before anything is written."""
    before = get_config().roots
    try:
        # As it will be, so that options of a root that is replaced don't count.
        hub.configure(roots={**before, plan.name: Root(plan.name, plan.url, plan.options)})
        plan.report = report = examined(plan.url, plan.options, _PROCESSES)
    finally:
        hub.configure(roots=None)
    if asker.asks:
        say_report(report, short=True)
    if report.verdict == "unusable":
        if not asker.confirms("Write the settings all the same?", None, False):
            failed = "; ".join(c.detail for c in report.checks if c.ok is False)
            raise StorageError(
                f"{plan.url} can't be used, so nothing was written: {report.advice} {failed} "
                "(--no-check writes all the same)"
            )
    elif report.verdict == "one writer" and not plan.options.get("single_writer"):
        question = "Promise that only one process writes there at a time?"
        if asker.confirms(question, None, False):
            plan.options["single_writer"] = True


# -- writing ----------------------------------------------------------------------


def _text_of_file() -> str:
    try:
        with open(config_path(), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StorageError(f"can't read {config_path()!r}: {error.strerror}") from error


def _written(plan: _Plan, report: Report | None) -> Answer:
    """Write the file; the report is one that was not shown yet."""
    path = config_path()
    table = {"url": plan.url, **plan.options}
    write_file(path, changed_text(_text_of_file(), plan.settings, {plan.name: table}))
    reset_config()
    for key in ("root", "roots", *plan.settings):
        variable = f"HUBZARR_{key.upper()}"
        if os.environ.get(variable):
            plan.notes.append(f"{variable} is set in the environment, and wins over the file")
    if secrets := list(secrets_in(plan.options)):
        plan.notes.append(
            f"the file holds secrets ({', '.join(secrets)}); a profile or the environment is safer"
        )
    document = {
        "file": path,
        "name": plan.name,
        "url": plan.url,
        "options": _without_secrets(plan.options),
        "default": plan.default or get_config().root == plan.url,
        "settings": plan.settings,
        "created": plan.created,
        "verdict": None if plan.report is None else plan.report.verdict,
        "notes": list(dict.fromkeys(plan.notes)),
    }

    def shown() -> None:
        if report is not None:
            say_report(report, short=True)
        _say_written(document)

    return Answer(document, shown)


def _say_written(document: Mapping[str, Any]) -> None:
    name, url = document["name"], document["url"]
    if document["created"]:
        show.line(f"created {url}")
    kind = "the default root" if document["default"] else "a root"
    show.line(f"{name} ({url}) is {kind} now, by {document['file']}")
    for note in document["notes"]:
        show.line(f"! {note}")
    start = "" if document["default"] else f"{name}/"
    listed = "" if document["default"] else f" {name}"
    show.line("")
    show.line("next:")
    show.line(f"  hubzarr ls{listed}")
    show.line(
        f"  python -c 'import hubzarr as hub; hub.from_numpy([1, 2], \"{start}hello/first\")'"
    )


def _removed(name: str) -> Answer:
    if name not in get_config().roots:
        known = ", ".join(get_config().roots) or "none"
        raise NotFoundError(f"there is no root {name!r}; configured: {known}")
    text = _text_of_file()
    named = re.search(rf"^\s*root\s*=\s*[\"']{re.escape(name)}[\"']", text, re.MULTILINE)
    settings = {"root": None} if named else {}
    write_file(config_path(), changed_text(text, settings, {name: None}))
    reset_config()
    gone = name not in get_config().roots
    said = f"{name} is no longer a root; what is stored there stays"
    if not gone:
        said = f"{name} is still a root: HUBZARR_ROOTS in the environment names it"
    return Answer({"file": config_path(), "removed": name}, lambda: show.line(said))


# -- looking ----------------------------------------------------------------------


def _without_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with dots for secrets."""
    return {
        key: "…"
        if is_secret(key, value)
        else (_without_secrets(value) if isinstance(value, Mapping) else value)
        for key, value in options.items()
    }


def _shown() -> Answer:
    config, path = get_config(), config_path()
    roots = {
        name: {"url": root.url, "options": _without_secrets(root.options)}
        for name, root in config.roots.items()
    }
    settings = {
        key: getattr(config, key)
        for key in ("cache_dir", "cache_size", "transport", "offline", "author")
    }
    variables = sorted(key for key in os.environ if key.startswith("HUBZARR_"))
    document = {
        "file": path,
        "exists": os.path.exists(path),
        "root": config.root,
        "roots": roots,
        "settings": settings,
        "environment": variables,
    }

    def shown() -> None:
        show.pairs(
            [
                ("file", path if document["exists"] else f"{path} (not there yet)"),
                ("root", config.root),
                *((key, "off" if value is None else value) for key, value in settings.items()),
                ("environment", " ".join(variables) or "nothing"),
            ]
        )
        if roots:
            show.line("")
            rows = [(n, r.url, _say_options(r.options)) for n, r in config.roots.items()]
            show.table(("name", "URL", "options"), rows)

    return Answer(document, shown)


def _say_options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in _without_secrets(options).items())


COMMANDS: Final = (
    Command(
        "configure", "say where arrays and datasets live, once and for all", _configure,
        (
            option("--provider", help=", ".join(name for name, _ in PROVIDERS),
                   choices=[name for name, _ in PROVIDERS], metavar="KIND"),
            option("--bucket", help="bucket or container", metavar="NAME"),
            option("--prefix", help="folder in the bucket", metavar="PATH"),
            option("--folder", help="of this machine", metavar="PATH"),
            option("--url", help="any other place that fsspec knows", metavar="URL"),
            option("--endpoint", help="of an S3-compatible store", metavar="URL"),
            option("--region", help="of the bucket", metavar="NAME"),
            option("--credentials", help=f"{', '.join(CREDENTIALS)}; 'stored' takes the keys from "
                   "the environment or asks", choices=CREDENTIALS, metavar="KIND"),
            option("--profile", help="of ~/.aws; for gcs, a key file", metavar="NAME"),
            flag("--anon", help="without credentials: it is public"),
            option("--account", help="Azure storage account", metavar="NAME"),
            option("--project", help="Google Cloud project", metavar="NAME"),
            option("-o", "--option", help="another option of the store", action="append",
                   default=[], metavar="KEY=VALUE"),
            option("--name", help="of the root: hub://NAME/alice/x is below it", metavar="NAME"),
            option("--default", help="whether plain names live there",
                   action=argparse.BooleanOptionalAction, default=None),
            flag("--create", help="make the bucket or folder if it is missing"),
            option("--cache-dir", help="folder of the disk cache; off: none", metavar="PATH"),
            option("--cache-size", help="how much it may hold, such as 50GiB", metavar="SIZE"),
            flag("--single-writer", help="promise that only one process ever writes there"),
            flag("--no-check", help="don't try it out"),
            flag("--yes", help="ask nothing: take the defaults, replace a root of that name"),
            flag("--show", help="show the settings, without secrets"),
            option("--remove", help="forget a root; what is stored there stays", metavar="NAME"),
        ),
        details="Without arguments, it asks. Secrets are never arguments: other users see those.",
    ),
)  # fmt: skip
