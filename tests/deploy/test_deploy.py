"""What is given to clusters is well formed; what can be said offline of it holds."""

import shutil
import subprocess
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
    assert manifests.keys() == {"PersistentVolumeClaim", "RayCluster", "RayJob"}
    for one in manifests.values():
        assert one["apiVersion"] and one["metadata"]["name"] and one["spec"]
    cluster, job = manifests["RayCluster"], manifests["RayJob"]
    assert cluster["spec"]["rayVersion"] == ray.__version__
    assert job["spec"]["clusterSelector"]["ray.io/cluster"] == cluster["metadata"]["name"]
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in groups:
        # KubeRay's schema: values of rayStartParams are strings, and every pod has a container.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["image"] and container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert "/workspace" in {mount["mountPath"] for mount in container["volumeMounts"]}
        (claim,) = (v["persistentVolumeClaim"] for v in pod["volumes"] if v["name"] == "workspace")
        assert claim["claimName"] == manifests["PersistentVolumeClaim"]["metadata"]["name"]
    assert "--workspace /workspace" in job["spec"]["entrypoint"]


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
    assert "#SBATCH --signal=B:TERM@600" in directives and "set -euo pipefail" in text
