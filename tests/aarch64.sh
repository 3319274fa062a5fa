#!/usr/bin/env bash
# Tests gd on aarch64, emulated by qemu: `bash tests/aarch64.sh [folder]`, as root, in half an hour, outside of CI.
# The folder keeps what was downloaded. Debian's packages debootstrap and qemu-user-static are needed, and that the kernel
# hands programs of aarch64 to qemu (binfmt_misc), which the second sees to. docs/platforms.md has the last result.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD work=$(realpath "${1:-$(mktemp -d)}")
root=$work/root packages=$work/packages python=$work/root/usr/bin/python3.11

if [ ! -e "$python" ]; then # debootstrap's second stage would install packages; unpacking them is enough
    debootstrap --foreign --variant=minbase --arch=arm64 --include=python3,libgomp1 bookworm "$root" > "$work/log"
    for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
fi
wheels="--only-binary=:all: --python-version 3.11 --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64
    --platform manylinux_2_28_aarch64"
# shellcheck disable=SC2086
[ -d "$packages" ] || python3 -m pip install --quiet --target "$packages" $wheels numpy "numba>=0.68,<0.69" scipy \
    threadpoolctl scikit-learn safetensors tqdm pytest pytest-xdist hypothesis mpmath

cat > "$work/digests.py" << 'PY'
"""Prints a digest of each activation, of optimizers, and of a small network's training."""
import sys

import numpy as np

sys.path.insert(0, sys.argv[1] + "/tests")
from scenario_tools import digest, stepped, trained

import gd

for dtype in (np.float32, np.float64):
    x = np.random.default_rng(0).uniform(-6, 6, 10_001).astype(dtype)
    for name in ("sigmoid", "tanh", "gelu", "softplus", "log_sigmoid", "elu", "silu", "mish", "hard_swish", "softsign"):
        print(name, dtype.__name__, digest(getattr(gd, name)(x), {}))
for k in range(4):
    print("optimizer", k, stepped(k))
print("network", trained(0))
PY

emulated() {
    QEMU_LD_PREFIX=$root PYTHONPATH=$packages:$here GD_CACHE_DIR=$work/kernels PYTHONDONTWRITEBYTECODE=1 "$python" "$@"
}
GD_CACHE_DIR=$work/kernels PYTHONPATH=$here python3 "$work/digests.py" "$here" > "$work/here"
emulated "$work/digests.py" "$here" > "$work/there"
same=$(grep -cFxf "$work/here" "$work/there" || true)
echo "$same of $(wc -l < "$work/here") results have the bits that they have on $(uname -m); others:"
grep -vFxf "$work/here" "$work/there" | sed 's/ [0-9a-f]*$//' || true

# Without comparisons with long double, which has 113 bits there and takes long, and limits of memory, which qemu ignores
emulated -m pytest -q -n0 -p no:cacheprovider tests/test_math.py tests/test_machine_code.py tests/test_networks.py \
    tests/test_state_dir.py -k "not (test_accuracy and float64) and not memory"
