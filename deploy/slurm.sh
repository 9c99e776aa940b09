#!/bin/bash
# Trivox on SLURM: a Ray cluster over the nodes of the job, and on its first node a worker that takes queued rounds.
# The workspace lies on a file system that all nodes mount. Submit with:
#   sbatch --export=ALL,TRIVOX_WORKSPACE=/shared/ws,TRIVOX_VENV=/shared/trivox/.venv deploy/slurm.sh
# Ten minutes before the time limit SLURM sends SIGTERM to the worker: its round is queued again, and the next job
# goes on with it.
#SBATCH --job-name=trivox
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@600
#SBATCH --output=trivox-%j.log
set -euo pipefail

: "${TRIVOX_WORKSPACE:?the workspace, on a file system that all nodes mount}"
: "${TRIVOX_VENV:?the folder of the virtual environment that Trivox is installed in}"
export PATH="$TRIVOX_VENV/bin:$PATH" OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0
port=${RAY_PORT:-6379}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

on_node() { # on_node NODE ARGUMENTS...: a Ray of that node that lives as long as this job
    local node=$1
    shift
    # srun does not take over --cpus-per-task of the job (SLURM 22.05 and later).
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
        ray start --block --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" "$@" &
}

on_node "$head" --head --node-ip-address="$address" --port="$port"
for _ in $(seq 60); do
    ray status --address="$address:$port" >/dev/null 2>&1 && break
    sleep 2
done
ray status --address="$address:$port" >/dev/null # or the job ends here
for node in "${nodes[@]:1}"; do
    on_node "$node" --address="$address:$port"
done

# Not `exec`: the signal comes to this script, which hands it on and waits until the round is queued again.
RAY_ADDRESS="$address:$port" trivox worker --workspace "$TRIVOX_WORKSPACE" &
worker=$!
trap 'kill -TERM "$worker"' TERM
wait "$worker" || wait "$worker" || true
