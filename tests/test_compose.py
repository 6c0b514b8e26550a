"""What docker-compose.yml and the Dockerfile promise: pinned, healthy before used, for this machine only, read-only."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import vectorplug
from vectorplug.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DATABASES = {name: service for name, service in SERVICES.items() if name not in OURS}

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
every_server = pytest.mark.parametrize("service", OURS.values(), ids=OURS)


def filled(value: object) -> str:
    """A value as compose fills it in, with nothing in the environment but the key."""
    text = re.sub(r"\$\{VECTORPLUG_API_KEY(:\?[^}]*)?\}", "a-key", str(value))
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def image_environment() -> dict[str, str]:
    """The variables that the last stage of the Dockerfile sets."""
    last = DOCKERFILE.split("\nFROM ")[-1].replace("\\\n", " ")
    lines = [line.removeprefix("ENV ") for line in last.splitlines() if line.startswith("ENV ")]
    return dict(part.split("=", 1) for line in lines for part in shlex.split(line))


def environment(service: dict[str, Any]) -> dict[str, str]:
    return image_environment() | {name: filled(value) for name, value in service["environment"].items()}


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])


@every_service
def test_images_are_pinned(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(-\w+)?", service["image"])


def test_the_base_image_is_pinned() -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base)
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert set(stages) == {"${PYTHON_IMAGE}", "dependencies"}


@every_server
def test_our_image_is_of_this_version(service: dict[str, Any]) -> None:
    assert service["image"].startswith(f"vectorplug:{vectorplug.__version__}-")


@every_service
def test_ports_are_open_to_this_machine_only(service: dict[str, Any]) -> None:
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize("service", DATABASES.values(), ids=DATABASES)
def test_databases_have_a_health_check(service: dict[str, Any]) -> None:
    assert "ready" in " ".join(service["healthcheck"]["test"])


def test_our_image_has_a_health_check_that_its_python_runs() -> None:
    (command,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    python, *options, program = yaml.safe_load(command)
    assert python == "python"
    assert options[-1] == "-c"
    compile(program, "HEALTHCHECK", "exec")
    assert "/readyz" in program
    assert not any("healthcheck" in service for service in OURS.values())


@every_server
def test_the_server_has_no_rights_and_a_read_only_file_system(service: dict[str, Any]) -> None:
    user = service["user"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert f"USER {user}" in DOCKERFILE
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@every_server
def test_whatever_is_written_has_a_place(service: dict[str, Any]) -> None:
    (volume,) = service["volumes"]
    name, _, folder = volume.partition(":")
    assert name in COMPOSE["volumes"]
    assert f"VOLUME {folder}\n" in DOCKERFILE
    for variable in ("HF_HOME", "NUMBA_CACHE_DIR"):
        assert image_environment()[variable].startswith(f"{folder}/")
    assert service["tmpfs"] == ["/tmp"]


@every_server
def test_every_variable_is_a_setting_that_is_accepted(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {name: value for name, value in environment(service).items() if name.startswith("VECTORPLUG_")}
    assert ours.keys() <= {f"VECTORPLUG_{name.upper()}" for name in Settings.model_fields}
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert [key.get_secret_value() for key in read.api_keys] == ["a-key"]
    assert read.host == "0.0.0.0"
    assert read.model_fields_set == {name.removeprefix("VECTORPLUG_").lower() for name in ours}


@every_server
def test_requests_may_end_before_the_server_is_killed(service: dict[str, Any]) -> None:
    assert seconds(service["stop_grace_period"]) > int(environment(service)["VECTORPLUG_DRAIN_TIMEOUT"])
    assert 'ENTRYPOINT ["vectorplug"]' in DOCKERFILE


def test_there_is_no_key_but_that_of_the_environment() -> None:
    assert all("${VECTORPLUG_API_KEY:?" in str(service["environment"]) for service in OURS.values())
    for service in DATABASES.values():
        for name, value in service["environment"].items():
            if name.endswith(("_APIKEY", "__TOKEN")):
                assert value == "${VECTORPLUG_API_KEY}"


def test_databases_ask_for_paths_that_are_served() -> None:
    from vectorplug.server.app import VENDORS
    from vectorplug.server.wire import qdrant

    port = Settings.model_fields["port"].default
    (store,) = [service for service in DATABASES.values() if "qdrant" in service["image"]]
    address = urlsplit(store["environment"]["QDRANT__INFERENCE__ADDRESS"])
    assert address.path in {route.path for route in qdrant.router.routes}
    assert address.netloc == f"vectorplug:{port}"
    for service in DATABASES.values():
        origins = [filled(value) for name, value in service["environment"].items() if name.endswith("_INFERENCE_API")]
        assert len(origins) == (0 if service is store else 3)
        for origin in map(urlsplit, origins):
            assert origin.netloc == f"key:a-key@vectorplug:{port}"
            assert origin.path in VENDORS


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_a_profile_is_a_server_and_two_databases_that_find_it(profile: str) -> None:
    running = {name: service for name, service in SERVICES.items() if profile in service["profiles"]}
    (server,) = [name for name in running if name in OURS]
    assert "vectorplug" in {server, *aliases(running[server])}
    (weaviate,) = [name for name, service in running.items() if "weaviate" in service["image"]]
    assert "weaviate" in {weaviate, *aliases(running[weaviate])}
    assert running[weaviate]["depends_on"] == {server: {"condition": "service_healthy"}}
    assert sum("qdrant" in service["image"] for service in running.values()) == 1
    assert len(running) == 3


def aliases(service: dict[str, Any]) -> list[str]:
    return service.get("networks", {}).get("default", {}).get("aliases", [])


def test_only_the_gpu_profile_takes_a_gpu() -> None:
    gpu = SERVICES["vectorplug-gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert environment(gpu)["VECTORPLUG_DEVICE"] == "cuda"
    assert environment(SERVICES["vectorplug"])["VECTORPLUG_DEVICE"] == "cpu"
    assert "deploy" not in SERVICES["vectorplug"]


def test_the_page_names_the_versions() -> None:
    page = (ROOT / "docs" / "docker.md").read_text("utf-8")
    for service in DATABASES.values():
        assert service["image"] in page


def compose() -> list[str]:
    """docker-compose, or the plugin; a skip that says so without either."""
    if path := shutil.which("docker-compose"):
        return [path]
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    pytest.skip("neither docker-compose nor the plugin of docker is installed")


@pytest.mark.parametrize("key", [None, "a-key"])
def test_compose_reads_it_and_asks_for_a_key(key: str | None, tmp_path: Path) -> None:
    none = tmp_path / "none.env"
    none.write_text("")
    told = {name: value for name, value in os.environ.items() if not name.startswith(("VECTORPLUG_", "COMPOSE_"))}
    if key is not None:
        told["VECTORPLUG_API_KEY"] = key
    for profile in ("cpu", "gpu"):
        outcome = subprocess.run(
            [*compose(), "--env-file", none, "--profile", profile, "config"],
            cwd=ROOT,
            env=told,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (outcome.returncode == 0) == (key is not None), outcome.stderr
        if key is None:
            assert "set it in .env" in outcome.stderr
