"""The manifests can be applied, hold to the strictest of Kubernetes' security standards, and fit each other.

Their form is checked against Kubernetes' own schemas, which come with a package: no cluster is asked.
"""

from __future__ import annotations

import re
import shlex
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.test_code_blocks import ROOT, blocks, words
from tokenward import config
from tokenward.cli.main import whole_parser
from tokenward.settings import Settings

MANIFESTS = sorted((ROOT / "docs" / "kubernetes").glob("*.yaml"))
PAGE = ROOT / "docs" / "kubernetes.md"
OLDEST = "1.29"
"""The first in which a sidecar needs no switch."""
DAEMON = "tokenward"


def objects(manifest: Path) -> list[dict[str, Any]]:
    """Everything in a manifest."""
    yaml = pytest.importorskip("yaml", reason="NOT LINTED: PyYAML is not installed (extra: dev)")
    loaded: list[dict[str, Any]] = list(yaml.safe_load_all(manifest.read_text()))
    return loaded


@pytest.fixture(params=MANIFESTS, ids=lambda manifest: manifest.name)
def pod(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The pod of a manifest's workload."""
    [found] = [each["spec"]["template"]["spec"] for each in objects(request.param) if "template" in each["spec"]]
    assert isinstance(found, dict)
    return found


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def daemon_of(pod: dict[str, Any]) -> dict[str, Any]:
    """Its container with the daemon."""
    [found] = [each for each in containers(pod) if each["name"] == DAEMON]
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """What the page's configuration says, as our own loader reads it from where a pod has it."""
    [text] = blocks(PAGE, "toml")
    volume, dated = tmp_path / "etc", "..2026_11_21"
    (volume / dated).mkdir(parents=True)
    (volume / dated / "config.toml").write_text(text)
    (volume / dated / "config.toml").chmod(0o440)
    (volume / "..data").symlink_to(dated)
    (volume / "config.toml").symlink_to("..data/config.toml")
    volume.chmod(0o777 | stat.S_ISVTX)
    environ = {"HOME": "/state", "TOKENWARD_CONFIG": str(volume / "config.toml")}
    return config.load(None, environ, uid=volume.stat().st_uid, platform=sys.platform).settings


def test_there_are_some() -> None:
    """What the other tests go through is there, and the page leads to each."""
    assert MANIFESTS
    assert all(f"(kubernetes/{manifest.name})" in PAGE.read_text() for manifest in MANIFESTS)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest.name)
def test_a_manifest_fits_the_schemas(manifest: Path) -> None:
    """Every object, of the oldest version that it is for and of the newest known; with no member too many."""
    validate = pytest.importorskip(
        "kubernetes_validate", reason="NOT LINTED: kubernetes-validate is not installed (extra: dev)"
    )
    for each in objects(manifest):
        for version in (OLDEST, validate.latest_version()):
            validate.validate(each, version, strict=True)
        broken = {**each, "spec": {**each["spec"], "replicaz": 1}}
        with pytest.raises(validate.ValidationError):
            validate.validate(broken, OLDEST, strict=True)


def test_a_pod_is_restricted(pod: dict[str, Any]) -> None:
    """As Kubernetes' Pod Security Standard of that name demands, and nothing can be written but volumes."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod)
    assert all(set(volume) - {"name"} <= {"emptyDir", "secret", "configMap"} for volume in pod["volumes"])
    for each in containers(pod):
        context = each["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["runAsUser"] > 0
        assert "memory" in each["resources"]["limits"]


def test_no_secret_is_in_an_environment(pod: dict[str, Any]) -> None:
    """Only places are; nothing comes out of a Secret."""
    for each in containers(pod):
        assert "envFrom" not in each
        for variable in each.get("env", []):
            assert set(variable) == {"name", "value"}
            assert variable["name"] in {"HOME", "TOKENWARD_CONFIG", "TOKENWARD_SOCKET"}
            assert variable["value"].startswith("/")


def test_what_is_mounted_is_there(pod: dict[str, Any]) -> None:
    """Each mount has its volume and each Secret the command that makes it; only the daemon sees it."""
    [made] = [line for block in blocks(PAGE, "sh") for line in block.splitlines() if "create secret" in line]
    typed = shlex.split(made)
    files = {word.partition("=")[2] for word in typed if word.startswith("--from-file=")}
    assert typed[:4] == ["kubectl", "create", "secret", "generic"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {each["secret"]["secretName"] for each in volumes.values() if "secret" in each} == {typed[4]}
    assert [each["secret"]["defaultMode"] for each in volumes.values() if "secret" in each] == [0o440]
    for each in containers(pod):
        mounts = {mount["name"]: mount for mount in each["volumeMounts"]}
        assert set(mounts) <= set(volumes)
        if each["name"] != DAEMON:
            assert set(mounts) == {"sockets"}
            assert mounts["sockets"]["readOnly"] is True
    mounted = daemon_of(pod)["volumeMounts"]
    assert {mount["name"] for mount in mounted} == set(volumes)
    [secrets] = [mount["mountPath"] for mount in mounted if "secret" in volumes[mount["name"]]]
    assert {"config.toml", "fleet.key"} == files
    [variable] = [each["value"] for each in daemon_of(pod)["env"] if each["name"] == "TOKENWARD_CONFIG"]
    assert variable == f"{secrets}/config.toml"


def test_the_configuration_fits_the_pod(pod: dict[str, Any], settings: Settings) -> None:
    """Its socket lies where the program looks, in a directory that the daemon makes; its user may ask."""
    [socket] = settings.sockets
    [program] = pod["containers"]
    assert {"name": "TOKENWARD_SOCKET", "value": str(socket.path)} in program["env"]
    assert socket.uids == (program["securityContext"]["runAsUser"],)
    daemon = daemon_of(pod)
    assert daemon["securityContext"]["runAsUser"] not in socket.uids
    assert daemon["securityContext"]["runAsGroup"] == pod["securityContext"]["fsGroup"]
    shell = daemon["command"][-1]
    assert f"mkdir -p -m 0755 {socket.path.parent} && exec tokenward daemon" in shell
    [mount] = [each["mountPath"] for each in daemon["volumeMounts"] if each["name"] == "sockets"]
    assert str(socket.path.parent.parent) == mount
    [secrets] = [each["mountPath"] for each in daemon["volumeMounts"] if each["name"] == "tokenward"]
    assert str(settings.store.shared_key_file) == f"{secrets}/fleet.key"


def test_commands_can_be_typed(pod: dict[str, Any], settings: Settings) -> None:
    """The daemon's and the probes'; no probe has a token in its output, and one asks as the program does."""
    daemon = daemon_of(pod)
    probes = [daemon[name]["exec"]["command"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    for command in [daemon["command"], *probes]:
        [typed] = re.findall(r"tokenward [a-z].*", command[-1]) if command[0] == "sh" else [shlex.join(command)]
        asked = whole_parser().parse_args(words(typed))
        if "token" in vars(asked).values():
            assert command[-1].endswith(">/dev/null")
    assert f"TOKENWARD_SOCKET={settings.sockets[0].path} " in probes[-1][-1]
