"""Who we are to an API server: the pod's service account, or a kubeconfig.

The `kubernetes` package reads both, exec plugins and token files included. What it reads once, this module reads
again every minute: rotated tokens, CA bundles and client certificates are taken up without a restart.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_incluster_config
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigLoader, KubeConfigMerger

from sluice.errors import Permanent

REFRESH_SECONDS = 60.0
RELOAD_SECONDS = 10.0  # a server that answers 401 for good does not make us run an exec plugin for each request

# What the `kubernetes` package raises for files that are missing, half written, or something else.
_UNREADABLE = (ConfigException, OSError, KeyError, TypeError, ValueError, yaml.YAMLError)
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoCredentials(Permanent):
    """There is no service account, or the kubeconfig is missing or means nothing."""


@dataclass(frozen=True, slots=True)
class _Source:
    """How to fill a Configuration. `runs_plugin`: with an exec plugin or auth provider, not to be run for nothing."""

    fill: Callable[[Configuration], None]
    runs_plugin: bool
    origin: str


class Credentials:
    """Everything that a connection to one API server needs. Safe to use from several threads and loops.

    Attributes:
        server: base URL without a trailing slash.
        proxy: URL of the proxy the kubeconfig names, or None.
        origin: where the credentials come from, for messages.
    """

    def __init__(self, source: _Source, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._configuration = self._load()
        self._rejected = False
        self._checked_at = self._loaded_at = monotonic()
        self.origin = source.origin
        self.server = str(self._configuration.host).rstrip("/")
        self.proxy: str | None = self._configuration.proxy or None
        self.tls = self._tls_context() if self.server.startswith("https:") else None
        self._header = self._read_header()

    @property
    def files(self) -> Files:
        """The files behind the TLS context, for a client that makes its own."""
        configuration = self._configuration
        return Files(
            ca=configuration.ssl_ca_cert,
            certificate=configuration.cert_file,
            key=configuration.key_file,
            verify=bool(configuration.verify_ssl),
        )

    async def authorization(self) -> str | None:
        """The value of the Authorization header, at most a minute old; None where a client certificate is all.

        Files and plugins are read in a thread. Where they cannot be read, the last known value is used: the server
        is the one to say that it is no longer good.
        """
        if not self._is_due():
            return self._header
        return await asyncio.to_thread(self.authorization_now)

    def authorization_now(self) -> str | None:
        """As `authorization`, blocking."""
        with self._lock:
            if self._is_due():
                self._refresh()
        return self._header

    def reject(self) -> None:
        """Tell that the server answered 401: the next request reads everything anew, plugins included."""
        self._rejected = True

    def _is_due(self) -> bool:
        now = self._monotonic()
        if self._rejected and now - self._loaded_at >= RELOAD_SECONDS:
            return True
        return now - self._checked_at >= REFRESH_SECONDS

    def _refresh(self) -> None:
        now = self._checked_at = self._monotonic()
        try:
            if self._rejected or not self._source.runs_plugin:
                self._configuration = self._load()
                self._loaded_at, self._rejected = now, False
                if self.tls is not None:
                    _load_files(self.tls, self.files)
            self._header = self._read_header()
        except (*_UNREADABLE, NoCredentials):
            # A file in the middle of its replacement: what we have may be good for a while yet.
            self._loaded_at = now

    def _load(self) -> Configuration:
        configuration = Configuration()
        try:
            self._source.fill(configuration)
        except _UNREADABLE as error:
            raise NoCredentials(f"{self._source.origin}: {str(error)[:300]}") from error
        if getattr(configuration, "tls_server_name", None):
            raise NoCredentials(
                f"{self._source.origin}: tls-server-name is not supported; use a server name that the certificate has"
            )
        return configuration

    def _read_header(self) -> str | None:
        # The hook behind this call is what runs an exec plugin again when its token is about to expire.
        value = self._configuration.get_api_key_with_prefix("BearerToken")
        return value.strip() if value else None

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        files = self.files
        if files.ca:
            # Only the cluster's own authority, not the system's beside it.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not files.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            _load_files(context, files)
        except OSError as error:
            raise NoCredentials(f"{self._source.origin}: certificates cannot be loaded: {error}") from error
        return context


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of PEM files; None where there is none."""

    ca: str | None
    certificate: str | None
    key: str | None
    verify: bool


def load_credentials(kubeconfig: str | None = None, context: str | None = None) -> Credentials:
    """Load credentials: those of the kubeconfig that is named, else of the pod, else of the default kubeconfig.

    Args:
        kubeconfig: path, or several joined by `:`. None: the pod's service account, or else `KUBECONFIG` as it was at
            the start of the process, or else `~/.kube/config`.
        context: of the kubeconfig; None is its current one. Naming one rules out the pod's service account.

    Raises:
        NoCredentials: none of them is there, or it means nothing.
    """
    if kubeconfig is None and context is None:
        try:
            return Credentials(_Source(_fill_from_pod, runs_plugin=False, origin="the pod's service account"))
        except NoCredentials:
            if _NAMESPACE_FILE.exists():
                raise  # we are in a pod: another identity would be a surprise
    return Credentials(_kubeconfig_source(kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION, context))


def _fill_from_pod(configuration: Configuration) -> None:
    # Without its own refreshing: every load reads the file.
    load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]  # has no types


def _kubeconfig_source(path: str, context: str | None) -> _Source:
    origin = f"kubeconfig {path}" + (f", context {context}" if context else "")
    try:
        config: Any = KubeConfigMerger(path).config  # type: ignore[no-untyped-call]  # has no types
    except _UNREADABLE as error:
        raise NoCredentials(f"{origin}: {str(error)[:300]}") from error
    if config is None:
        raise NoCredentials(f"{origin}: there is no such file. Name one with --kubeconfig, or run inside a cluster")

    def fill(configuration: Configuration) -> None:
        merged = KubeConfigMerger(path).config  # type: ignore[no-untyped-call]  # has no types
        loader = KubeConfigLoader(merged, context, config_base_path=None)  # type: ignore[no-untyped-call]  # has no types
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]  # has no types

    return _Source(fill, runs_plugin=_runs_plugin(config.value), origin=origin)


def _runs_plugin(config: object) -> bool:
    users = config.get("users") if isinstance(config, dict) else None
    unwrapped = [getattr(user, "value", user) for user in users or ()]  # the merger wraps what it merged
    entries = [user.get("user") for user in unwrapped if isinstance(user, dict)]
    return any(isinstance(entry, dict) and bool({"exec", "auth-provider"} & set(entry)) for entry in entries)


def _load_files(context: ssl.SSLContext, files: Files) -> None:
    """Load authorities and client certificate; those loaded before stay, and new connections use the newest."""
    if files.ca:
        context.load_verify_locations(cafile=files.ca)
    if files.certificate:
        context.load_cert_chain(files.certificate, files.key)
