"""Where a root can lie: what to ask for each provider, and the URL and options from it."""

from __future__ import annotations

import argparse
import configparser
import os
import re
from typing import Any, Final

from hubzarr.cli.asking import Asker
from hubzarr.config import user_folder
from hubzarr.errors import InvalidError

__all__ = ["CREDENTIALS", "PROVIDERS", "place_of", "provider_of"]

PROVIDERS: Final = (
    ("local", "a folder of this machine, or a network mount"),
    ("s3", "Amazon S3"),
    ("s3-compatible", "an S3-compatible store: MinIO, Ceph, Cloudflare R2, ..."),
    ("gcs", "Google Cloud Storage"),
    ("azure", "Azure Blob Storage"),
    ("url", "another URL that fsspec knows: http, sftp, hdfs, ..."),
)
CREDENTIALS: Final = ("own", "profile", "anon", "stored")

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_OWN: Final = {
    "s3": "those of this machine: AWS_ACCESS_KEY_ID, a role, ~/.aws",
    "gcs": "those of this machine: gcloud auth application-default login",
    "azure": "those of this machine: az login, a managed identity",
}
_STORED: Final = "a key stored in hubzarr's config file (better not)"


def provider_of(args: argparse.Namespace, asker: Asker) -> str:
    """The provider: given, plain from the other arguments, or asked for."""
    given = args.provider
    if given is None and args.url is not None:
        given = "url"
    if given is None and args.folder is not None:
        given = "local"
    question = "Where shall arrays and datasets live?"
    return asker.choice(question, given, PROVIDERS, flag="--provider")


def place_of(provider: str, args: argparse.Namespace, asker: Asker) -> tuple[str, dict[str, Any]]:
    """URL and storage options."""
    if provider == "local":
        default = os.path.join(user_folder("data"), "hubzarr")
        folder = asker.text("Folder", args.folder, default, flag="--folder")
        return os.path.abspath(os.path.expanduser(folder)), {}
    if provider == "url":
        url = asker.text("URL", args.url, flag="--url", check=_check_url)
        return url.rstrip("/"), {}
    if provider == "gcs":
        return _gcs(args, asker)
    if provider == "azure":
        return _azure(args, asker)
    return _s3(args, asker, compatible=provider == "s3-compatible")


def _check_url(url: str) -> None:
    if "://" not in url:
        raise InvalidError(f"{url!r} is no URL: expected something like 'sftp://host/folder'")


def _check_bucket(name: str) -> None:
    if not _BUCKET.fullmatch(name):
        raise InvalidError(
            f"bad bucket name {name!r}: expected 3 or more of a-z, 0-9, '-' and '.', such as "
            "'my-lab'"
        )


def _check_endpoint(url: str) -> None:
    if not re.fullmatch(r"https?://[^/@]+(/[^@]*)?", url):
        raise InvalidError(
            f"bad endpoint {url!r}: expected something like 'https://minio.example.org:9000'"
        )


def _below(protocol: str, args: argparse.Namespace, asker: Asker, what: str = "Bucket") -> str:
    bucket = args.bucket.partition("://")[2] if "://" in (args.bucket or "") else args.bucket
    bucket = asker.text(what, bucket, flag="--bucket", check=_check_bucket)
    prefix = asker.text("Folder in it (optional)", args.prefix, "").strip("/")
    return f"{protocol}://{bucket}/{prefix}".rstrip("/")


def _credentials(service: str, args: argparse.Namespace, asker: Asker) -> str:
    given = args.credentials
    if given is None:
        given = "profile" if args.profile else "anon" if args.anon else None
    if given is None and not asker.asks:
        given = "own"
    options = [("own", _OWN[service])]
    if service == "s3":
        options.append(("profile", f"a profile of ~/.aws{_profiles()}"))
    if service == "gcs":
        options.append(("profile", "a service account's key file"))
    options += [("anon", "none: it is public"), ("stored", _STORED)]
    if service == "gcs":
        options.pop()
    if given is not None and given not in [name for name, _ in options]:
        raise InvalidError(
            f"--credentials {given} is not for {service}; expected one of "
            f"{', '.join(name for name, _ in options)}"
        )
    return asker.choice("Credentials?", given, options, flag="--credentials")


def _s3(args: argparse.Namespace, asker: Asker, *, compatible: bool) -> tuple[str, dict[str, Any]]:
    options: dict[str, Any] = {}
    if compatible:
        options["endpoint_url"] = asker.text(
            "Endpoint", args.endpoint, flag="--endpoint", check=_check_endpoint
        ).rstrip("/")
    elif args.endpoint:
        _check_endpoint(args.endpoint)
        options["endpoint_url"] = args.endpoint
    url = _below("s3", args, asker)
    known = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    region = asker.text("Region (optional)", args.region, "" if compatible else known)
    if region:
        options["region"] = region
    kind = _credentials("s3", args, asker)
    if kind == "profile":
        default = os.environ.get("AWS_PROFILE", "default")
        options["profile"] = asker.text("Profile", args.profile, default)
    elif kind == "anon":
        options["anon"] = True
    elif kind == "stored":
        key, secret = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
        options["key"] = asker.secret("Access key", key, os.environ.get(key))
        options["secret"] = asker.secret("Secret key", secret, os.environ.get(secret))
    return url, options


def _gcs(args: argparse.Namespace, asker: Asker) -> tuple[str, dict[str, Any]]:
    options: dict[str, Any] = {}
    url = _below("gs", args, asker)
    if args.endpoint:
        _check_endpoint(args.endpoint)
        options["endpoint_url"] = args.endpoint
    known = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    project = asker.text("Project (needed to create a bucket; optional)", args.project, known)
    if project:
        options["project"] = project
    kind = _credentials("gcs", args, asker)
    if kind == "profile":
        file = asker.text("Key file", args.profile, flag="--profile", check=_check_file)
        options["token"] = os.path.abspath(os.path.expanduser(file))
    elif kind == "anon":
        options["token"] = "anon"
    return url, options


def _check_file(path: str) -> None:
    if not os.path.isfile(os.path.expanduser(path)):
        raise InvalidError(f"there is no file {path!r}")


def _azure(args: argparse.Namespace, asker: Asker) -> tuple[str, dict[str, Any]]:
    known = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME") or os.environ.get("AZURE_STORAGE_ACCOUNT")
    account = asker.text("Storage account", args.account, known, flag="--account")
    options: dict[str, Any] = {"account_name": account}
    url = _below("az", args, asker, "Container")
    kind = _credentials("azure", args, asker)
    if kind == "stored":
        variable = "AZURE_STORAGE_ACCOUNT_KEY"
        options["account_key"] = asker.secret("Account key", variable, os.environ.get(variable))
    else:
        options["anon"] = kind == "anon"
    return url, options


def _profiles() -> str:
    """Names of the profiles that there are, to choose from."""
    home = os.path.expanduser("~/.aws")
    files = [
        os.environ.get("AWS_CONFIG_FILE") or os.path.join(home, "config"),
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, "credentials"),
    ]
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(files)
    except (configparser.Error, OSError, UnicodeDecodeError):
        return ""
    names = sorted({name.removeprefix("profile ") for name in parser.sections()})
    return f": {', '.join(names[:8])}" if names else ""
