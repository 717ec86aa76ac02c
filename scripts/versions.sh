#!/usr/bin/env bash
# Runs a representative part of the tests twice: with the lowest version of every declared dependency, and with the newest.
# Writes docs/versions.md.
#
# usage: scripts/versions.sh [FOLDER]    FOLDER (.versions) gets the environments: on a PC 12 GB for torch with CUDA; with
#                                        UV_TORCH_BACKEND=cpu, uv installs torch for the CPU
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.versions}
uv=$folder/uv/bin/uv
export TORCH_LOGS=-torch.utils.cpp_extension  # no line on stderr where nvcc is installed and no GPU is found
PATH=$PATH:$(echo "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin | tr ' ' ':')  # where uv finds other Pythons

# Of each part that depends on other packages the tests that need them most. In CI the whole suite runs with pinned versions.
tests=(
  tests/test_block.py tests/bench/{report,test_{macs,results,table}.py} tests/cli/test_{bench,hydra_errors,output,show}.py
  tests/config tests/compiler/test_{dispatch_modes,passes}.py tests/error_messages tests/invariants/test_{export,half_precision}.py
  tests/kernels/test_{attention,batch_norm,compiled_autograd,custom_ops}.py tests/networks/test_{adapter,families,saving,zoos}.py
  tests/operators/test_{batch_norm_tools,linear,pool}.py tests/papers/test_{recordings,seven_papers}.py
  tests/training/{data,report,runs,verdicts} tests/training/test_{static_gates,trainer}.py
)

# NAME PYTHON RESOLUTION: an environment of its own, in which the tests run
run() {
  local python=$folder/$1/bin/python
  "$uv" venv --quiet --clear --python "$2" "$folder/$1"
  "$uv" pip install --quiet --python "$python" --resolution "$3" --editable '.[dev]'
  "$uv" pip list --quiet --python "$python" --format json >"$folder/$1/packages.json"
  "$python" --version >"$folder/$1/python.txt"
  OMP_NUM_THREADS=1 "$python" -m pytest -q -n logical --maxprocesses=8 --junitxml="$folder/$1/tests.xml" "${tests[@]}" || failed=1
}

failed=0
python3 -m venv "$folder/uv"
"$folder/uv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
read -r lowest newest < <(python3 scripts/versions_page.py --pythons)
run lowest "$lowest" lowest-direct
run newest "$newest" highest
python3 scripts/versions_page.py "$folder"
exit $failed
