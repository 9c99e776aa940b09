"""What is given to clusters is well formed; what can be said offline of it holds."""

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def manifests() -> dict[str, Any]:
    loaded = yaml.safe_load_all((DEPLOY / "raycluster.yaml").read_text(encoding="utf-8"))
    return {one["kind"]: one for one in loaded}


def test_the_manifest_names_one_cluster_one_volume_and_this_ray(manifests: dict[str, Any]) -> None:
    assert manifests.keys() == {"PersistentVolumeClaim", "RayCluster", "Deployment"}
    for one in manifests.values():
        assert one["apiVersion"] and one["metadata"]["name"] and one["spec"]
    cluster, worker = manifests["RayCluster"], manifests["Deployment"]
    assert cluster["spec"]["rayVersion"] == ray.__version__
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    # KubeRay's schema: values of rayStartParams are strings.
    assert all(isinstance(one, str) for group in groups for one in group["rayStartParams"].values())
    pods = [group["template"]["spec"] for group in [*groups, worker["spec"]]]
    (image,) = {container["image"] for pod in pods for container in pod["containers"]}
    assert image == "<registry>/trivox:<version>"
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert "/workspace" in {mount["mountPath"] for mount in container["volumeMounts"]}
        (claim,) = (v["persistentVolumeClaim"] for v in pod["volumes"] if v["name"] == "workspace")
        assert claim["claimName"] == manifests["PersistentVolumeClaim"]["metadata"]["name"]


def test_the_worker_drives_that_cluster_and_trains_on_a_gpu_of_its_own(
    manifests: dict[str, Any],
) -> None:
    cluster, worker = manifests["RayCluster"], manifests["Deployment"]["spec"]
    assert worker["selector"]["matchLabels"] == worker["template"]["metadata"]["labels"]
    (container,) = worker["template"]["spec"]["containers"]
    (script,) = container["args"]
    # KubeRay's name of the head's service; the node of the driver has no room for actors.
    assert f"--address={cluster['metadata']['name']}-head-svc:6379" in script
    assert "--num-cpus=0 --num-gpus=0" in script
    # exec: the signal that ends the pod reaches the worker.
    assert script.endswith("&& exec trivox worker --workspace /workspace")
    assert {"name": "RAY_ADDRESS", "value": "auto"} in container["env"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_image_is_made_of_what_there_is() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    root = DEPLOY.parent
    files = [word for line in lines for word in line.split() if word.startswith("requirements/")]
    assert files and all((root / word.strip(')"')).is_file() for word in files)
    (base,) = (line for line in lines if line.startswith("FROM"))
    wanted = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert base.startswith("FROM python:3.11-") and "3.11" in wanted["requires-python"]
    assert "-f deploy/Dockerfile -t <registry>/trivox:<version>" in lines[1]


def test_the_slurm_script_is_sound() -> None:
    script = DEPLOY / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)
    text = script.read_text(encoding="utf-8")
    directives = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    first_command = next(
        i for i, line in enumerate(text.splitlines()) if line and not line.startswith("#")
    )
    # SLURM reads directives until the first command only.
    assert all(line in text.splitlines()[:first_command] for line in directives)
    assert '--cpus-per-task="$SLURM_CPUS_PER_TASK"' in text
    assert "#SBATCH --signal=B:TERM@600" in directives and "set -euo pipefail" in text
